"""Archives of `volfs export`'s shape, made byte by byte: whole, or wrong in one place."""

import hashlib
import json
import tarfile

ROOT = "volumes/db/"


def entry(name="db", **more):
    found = {"Name": name, "Driver": "local", "CreatedAt": "2026-01-02T03:04:05Z", "Labels": None, "Options": None}
    return {**found, "Directory": f"volumes/{name}", "Data": True, **more}


def member(name, kind=tarfile.REGTYPE, data=b"", link="", pax=None, **more):
    """One member as bytes; `pax` are records before it."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(data), link
    info.mode = 0o755 if kind == tarfile.DIRTYPE else 0o644
    for key, value in more.items():
        setattr(info, key, value)
    before = records(pax) if pax else b""
    return before + info.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)


def directory(name, **more):
    return member(name, tarfile.DIRTYPE, **more)


def symlink(name, target):
    return member(name, tarfile.SYMTYPE, link=target)


def hard_link(name, target):
    return member(name, tarfile.LNKTYPE, link=target)


def records(pairs):
    """An extended header of pax records, given as (key, value) in bytes."""
    text = b""
    for key, value in pairs:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body) + 1
        while len(str(length)) + len(body) != length:
            length = len(str(length)) + len(body)
        text += str(length).encode() + body
    return member("PaxHeaders/x", tarfile.XHDTYPE, text)


def manifest(*entries, **more):
    text = json.dumps({"Format": 1, "Volumes": list(entries or [entry()]), **more}).encode()
    return member("volfs/manifest.json", data=text)


def sealed(body, sha256=None, count=None, name="volfs/checksum.json"):
    """`body` with its checksum and an end."""
    told = {"Sha256": sha256 or hashlib.sha256(body).hexdigest(), "Bytes": len(body) if count is None else count}
    return body + member(name, data=json.dumps(told).encode()) + bytes(1024)


def archive(*members):
    """A whole archive of one volume with these members below its root."""
    return sealed(manifest() + directory(ROOT) + b"".join(members))
