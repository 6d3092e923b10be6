"""Cases of who may do what: modes, owners, sticky and setuid bits, ACLs."""

import os
from collections.abc import Callable
from pathlib import Path

from steps import ACCESS, DEFAULT, NOBODY, OTHER, Results, acl, as_user, case, opened, outcome, put, seen, tree


def _by_users(work: Callable[[], object]) -> list[object]:
    return [
        as_user(*who, work) for who in ((NOBODY, NOBODY, []), (OTHER, OTHER, [7]), (OTHER, 7, []), (OTHER, OTHER, []))
    ]


@case
def modes_say_who_may(at: Path) -> Results:
    for mode in (0o600, 0o640, 0o604, 0o060, 0o006, 0o444, 0o200, 0o111, 0o077):
        path = at / f"{mode:o}"
        put(path, b"data")
        os.chown(path, NOBODY, 7)
        os.chmod(path, mode)
        yield oct(mode), _by_users(path.read_bytes), _by_users(lambda path=path: put(path, b"x", os.O_WRONLY))
        yield _by_users(lambda path=path: [os.access(path, what) for what in (os.R_OK, os.W_OK, os.X_OK)])
        yield _by_users(lambda path=path: os.truncate(path, 4))
        directory = at / f"d{mode:o}"
        os.mkdir(directory)
        put(directory / "inner", b"")
        os.chown(directory, NOBODY, 7)
        os.chmod(directory, mode)
        yield _by_users(lambda directory=directory: os.listdir(directory))
        yield _by_users(lambda directory=directory: (directory / "inner").read_bytes())
        yield _by_users(lambda directory=directory: os.mkdir(directory / f"new-{os.getuid()}-{os.getgid()}"))
    yield tree(at)


@case
def owners_only(at: Path) -> Results:
    put(at / "f", b"")
    os.chown(at / "f", NOBODY, NOBODY)
    os.chmod(at / "f", 0o666)
    yield _by_users(lambda: os.chmod(at / "f", 0o6777)), seen(at / "f")
    yield (
        _by_users(lambda: os.chown(at / "f", NOBODY, 7)),
        _by_users(lambda: os.chown(at / "f", OTHER, -1)),
        seen(at / "f"),
    )
    yield _by_users(lambda: os.utime(at / "f", (1, 1))), _by_users(lambda: os.utime(at / "f"))
    yield as_user(NOBODY, NOBODY, [7], lambda: os.chown(at / "f", -1, 7)), seen(at / "f")
    yield (
        _by_users(lambda: os.setxattr(at / "f", "user.a", b"1")),
        _by_users(lambda: os.setxattr(at / "f", "trusted.a", b"1")),
    )
    os.chmod(at / "f", 0o600)
    yield _by_users(lambda: os.setxattr(at / "f", "user.a", b"1")), _by_users(lambda: os.getxattr(at / "f", "user.a"))
    yield _by_users(lambda: os.listxattr(at / "f")), _by_users(lambda: os.link(at / "f", at / "l"))


@case
def sticky_directories(at: Path) -> Results:
    os.chmod(at, 0o1777)
    for name, uid in (("root", 0), ("nobody", NOBODY), ("other", OTHER)):
        put(at / name, b"")
        os.chown(at / name, uid, uid)
        os.mkdir(at / f"d-{name}")
        os.chown(at / f"d-{name}", uid, uid)
    for name in ("root", "nobody", "other"):
        yield name, as_user(NOBODY, NOBODY, [], lambda name=name: os.rename(at / name, at / f"new-{name}"))
        yield name, as_user(NOBODY, NOBODY, [], lambda name=name: os.unlink(at / name))
        yield name, as_user(NOBODY, NOBODY, [], lambda name=name: os.rename(at / "d-nobody", at / f"d-{name}"))
        yield name, as_user(OTHER, OTHER, [], lambda name=name: os.rmdir(at / f"d-{name}"))
    yield tree(at)


@case
def setid_bits_go_when_others_write(at: Path) -> Results:
    for mode in (0o6777, 0o2766, 0o4755, 0o2775):
        for how in (
            lambda path: put(path, b"x", os.O_WRONLY),
            lambda path: put(path, b"x", os.O_WRONLY | os.O_APPEND),
            lambda path: os.truncate(path, 1),
            lambda path: put(path, b"", os.O_WRONLY | os.O_TRUNC),
            lambda path: os.chown(path, -1, os.getgid()),
        ):
            for uid, owner in ((OTHER, NOBODY), (NOBODY, NOBODY), (0, NOBODY)):
                put(at / "f", b"data")
                os.chown(at / "f", owner, OTHER)
                os.chmod(at / "f", mode)
                yield oct(mode), uid, as_user(uid, uid, [OTHER], lambda how=how: how(at / "f")), seen(at / "f")
                os.unlink(at / "f")


@case
def new_files_belong_to_their_makers(at: Path) -> Results:
    os.chmod(at, 0o777)
    os.mkdir(at / "shared")
    os.chown(at / "shared", 0, 7)
    os.chmod(at / "shared", 0o2777)
    for umask in (0, 0o22, 0o77, 0o777):

        def make(umask: int = umask) -> None:
            os.umask(umask)
            for where in (at, at / "shared"):
                put(where / f"f{umask:o}", b"", os.O_CREAT | os.O_WRONLY, 0o6777)
                os.mkdir(where / f"d{umask:o}", 0o7777)
                os.mkfifo(where / f"p{umask:o}", 0o666)
                os.symlink("t", where / f"s{umask:o}")

        yield as_user(NOBODY, NOBODY, [], make)
    yield [(str(path.relative_to(at)), seen(path)) for path in sorted(at.rglob("*"))]


@case
def acls_decide(at: Path) -> Results:
    put(at / "f", b"data")
    os.mkdir(at / "d")
    put(at / "d/inner", b"inner")
    for rights in (
        (6, 4, 0, 4, 0),
        (6, 6, 0, 6, 0),
        (6, 6, 4, 4, 4),
        (6, 0, 4, 4, 4),
        (6, 6, 6, 0, 4),
        (7, 7, 7, 7, 7),
    ):
        for name in ("f", "d"):
            yield outcome(os.setxattr, at / name, ACCESS, acl(*rights)), oct(os.stat(at / name).st_mode)
        yield rights, _by_users((at / "f").read_bytes), _by_users(lambda: put(at / "f", b"x", os.O_WRONLY))
        yield _by_users(lambda: os.listdir(at / "d")), _by_users((at / "d/inner").read_bytes)
        yield _by_users(lambda: [os.access(at / "f", what) for what in (os.R_OK, os.W_OK, os.X_OK)])
    yield outcome(os.chmod, at / "f", 0o640), outcome(os.getxattr, at / "f", ACCESS), _by_users((at / "f").read_bytes)
    yield outcome(os.removexattr, at / "f", ACCESS), outcome(os.getxattr, at / "f", ACCESS), seen(at / "f")
    yield _by_users((at / "f").read_bytes), _by_users(lambda: os.setxattr(at / "f", ACCESS, acl(7, 7, 7, 7, 7)))
    yield (
        outcome(os.setxattr, at / "f", ACCESS, b"nonsense"),
        outcome(os.setxattr, at / "f", DEFAULT, acl(7, 7, 7, 7, 7)),
    )


@case
def default_acls_are_inherited(at: Path) -> Results:
    os.chmod(at, 0o777)
    for number, rights in enumerate(((7, 7, 7, 7, 7), (7, 6, 5, 7, 0), (6, 4, 0, 4, 0))):
        directory = at / str(number)
        os.mkdir(directory)
        os.setxattr(directory, DEFAULT, acl(*rights))
        os.chmod(directory, 0o777)
        for umask in (0o22, 0o77):

            def make(umask: int = umask, directory: Path = directory) -> None:
                os.umask(umask)
                put(directory / f"f{umask:o}-{os.getuid()}", b"", mode=0o666)
                put(directory / f"x{umask:o}-{os.getuid()}", b"", mode=0o640)
                os.mkdir(directory / f"d{umask:o}-{os.getuid()}", 0o777)
                os.mkfifo(directory / f"p{umask:o}-{os.getuid()}", 0o666)

            yield as_user(OTHER, OTHER, [], make), as_user(0, 0, [], make)
        for path in sorted(directory.iterdir()):
            yield path.name, seen(path), outcome(os.getxattr, path, ACCESS), outcome(os.getxattr, path, DEFAULT)


@case
def extended_attributes(at: Path) -> Results:
    put(at / "f", b"")
    os.symlink("f", at / "l")
    for name in (
        "user.a",
        "trusted.a",
        "security.a",
        "system.a",
        "nonsense",
        "user.",
        "user." + "n" * 250,
        "user." + "n" * 251,
    ):
        for size in (0, 1, 3000, 65536, 65537):
            yield name[:20], size, outcome(os.setxattr, at / "f", name, b"v" * size)
        yield outcome(lambda name=name: len(os.getxattr(at / "f", name))), outcome(os.removexattr, at / "f", name)
    os.setxattr(at / "f", "user.b", b"2")
    yield (
        outcome(os.setxattr, at / "f", "user.b", b"3", os.XATTR_CREATE),
        outcome(os.setxattr, at / "f", "user.c", b"", os.XATTR_REPLACE),
    )
    with opened(at / "f") as file:
        os.unlink(at / "f")
        yield (
            outcome(os.getxattr, file, "user.b"),
            outcome(os.setxattr, file, "user.c", b"9"),
            outcome(os.listxattr, file),
        )
    yield outcome(os.getxattr, at / "l", "user.b"), outcome(os.listxattr, at / "l", follow_symlinks=False)
    yield outcome(os.setxattr, at / "l", "user.a", b"", follow_symlinks=False)
