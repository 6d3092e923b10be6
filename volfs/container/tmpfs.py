"""The options of a container's tmpfs, as Docker merges them into its defaults.

Law: later words win over earlier ones that say the same thing or its opposite, and keep their own place; `defaults`
says nothing; a word that is neither a mount flag nor a key of tmpfs is Invalid. Source: moby's MergeTmpfsOptions.
"""

from volfs.driver.names import quoted
from volfs.errors import Invalid

DEFAULTS = ("noexec", "nosuid", "nodev", "rprivate")
_OPPOSITES = (
    ("ro", "rw"),
    ("nosuid", "suid"),
    ("nodev", "dev"),
    ("noexec", "exec"),
    ("sync", "async"),
    ("dirsync",),
    ("remount",),
    ("mand", "nomand"),
    ("noatime", "atime"),
    ("nodiratime", "diratime"),
    ("relatime", "norelatime"),
    ("strictatime", "nostrictatime"),
    ("bind", "rbind", "unbindable", "runbindable", "private", "rprivate", "shared", "rshared", "slave", "rslave"),
)
_FLAGS = {word: words[0] for words in _OPPOSITES for word in words}
_KEYS = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol")


def merged(text: str) -> list[str]:
    """Docker's defaults and then the words of `text`, each meaning once; raises Invalid."""
    kept: dict[str, str] = {}
    for word in reversed([*DEFAULTS, *(text.split(",") if text else [])]):
        if word == "defaults":
            continue
        key, equals, _ = word.partition("=")
        meaning = _FLAGS.get(word) or (key if equals and key in _KEYS else None)
        if meaning is None:
            raise Invalid(f"invalid tmpfs option [{quoted(word)}]")
        kept.setdefault(meaning, word)
    return list(reversed(kept.values()))
