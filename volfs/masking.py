"""What is not for people's eyes, found by how it is written: `password=x`, `"token": "x"`, `//user:x@host`. Pure.

Law: better one value masked too many. Where a volume's own secrets are known, `volfs.driver.discretion` finds those
too, however they are written.
"""

import re

MASK = "********"
# A key is secret when one of these is in it: password2, cred, sec_token, apikey.
_NAMES = "pass|pwd|secret|cred|token|key"
_SECRET = re.compile(_NAMES, re.IGNORECASE)
_PAIR = re.compile(
    rf"""((?:{_NAMES})[\w.-]{{0,64}}(?:\\?["'])?\s?(?:=|(?<=["'])\s?:|:(?=[^\s/:]))\s?(?:\\?["'])?)([^\s,;&"'\\}}]+)""",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(//[^/@:\s]{0,256}:)\S{1,256}@")  # bounded: else a text of many slashes takes its square


def is_secret(key: str) -> bool:
    """Whether the value of `key` is not for people's eyes."""
    return _SECRET.search(key) is not None


def masked_text(text: str) -> str:
    """Any text, such as a stranger's error or a traceback, without what looks like a secret."""
    if _SECRET.search(text):  # a log of 100,000 lines goes through here
        text = _PAIR.sub(rf"\1{MASK}", text)
    return _ADDRESS.sub(rf"\1{MASK}@", text) if "@" in text else text
