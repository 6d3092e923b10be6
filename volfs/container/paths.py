"""Paths inside of a container and of a Docker data root, as text.

Law: no path that `clean` returns is relative, has a `.` or `..` in it, or ends in a slash.
"""


def clean(path: str) -> str:
    """`path` as Go's filepath.Clean makes it of an absolute path; a relative one is taken from the root."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def depth(path: str) -> int:
    """The number of components of a clean path, 0 for the root."""
    return 0 if path == "/" else path.count("/")


def split(path: str) -> tuple[str, str]:
    """The directory and the name of a clean path."""
    directory, _, name = path.rpartition("/")
    return directory or "/", name
