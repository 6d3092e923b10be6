"""From what the real file system says of an inode to what FUSE says of it. Asks nobody anything."""

import os
import stat

from pyfuse3 import EntryAttributes, StatvfsData


def attributes(number: int, generation: int, status: os.stat_result) -> EntryAttributes:
    """All that stat(2) shows, under the view's own number."""
    entry = EntryAttributes()
    entry.st_ino, entry.generation = number, generation
    entry.st_mode, entry.st_nlink, entry.st_rdev = status.st_mode, status.st_nlink, status.st_rdev
    entry.st_uid, entry.st_gid = status.st_uid, status.st_gid
    entry.st_size, entry.st_blksize, entry.st_blocks = status.st_size, status.st_blksize, status.st_blocks
    entry.st_atime_ns, entry.st_mtime_ns, entry.st_ctime_ns = status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns
    return entry


def permits(status: os.stat_result, wanted: int, uid: int, gid: int) -> bool:
    """access(2) by the mode bits. Knows no supplementary groups and no ACL: errs on the side of refusing."""
    if uid == 0:
        return not wanted & os.X_OK or stat.S_ISDIR(status.st_mode) or bool(status.st_mode & 0o111)
    shift = 6 if uid == status.st_uid else 3 if gid == status.st_gid else 0
    return not wanted & ~(status.st_mode >> shift) & 0o7


def statistics(real: os.statvfs_result) -> StatvfsData:
    answer = StatvfsData()
    answer.f_bsize, answer.f_frsize, answer.f_namemax = real.f_bsize, real.f_frsize, real.f_namemax
    answer.f_blocks, answer.f_bfree, answer.f_bavail = real.f_blocks, real.f_bfree, real.f_bavail
    answer.f_files, answer.f_ffree, answer.f_favail = real.f_files, real.f_ffree, real.f_favail
    return answer
