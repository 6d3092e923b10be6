"""The keeper: holds what must outlive the daemon, and nothing else.

    keeper   lock of ROOT, /dev/fuse and the kernel's FUSE_INIT, listening sockets
       |  starts, with all of them; starts again when it ends
    daemon   everything that can be got wrong
    standby  the next daemon, loaded and asleep, with nothing in its hands

    daemon ends         FUSE_NOTIFY_RESEND, then the next daemon: clients wait, none fails
    SIGHUP              the daemon is replaced by what is installed now, once that is loaded
    SIGTERM, SIGINT     the view is detached with its binds, the daemon stops, sockets and lock go
    view is unmounted   a view that is a mount of its own (mount.volfs) was asked to stop; any other is mounted afresh
    keeper ends         the daemon sees its lifeline close and ends too; restore cleans up at the next start

Law: no pyfuse3, no trio, no LMDB in here, no file of the view open, and its path is never looked into.
"""

from volfs.keeper.keep import serve

__all__ = ["serve"]
