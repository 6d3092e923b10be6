"""Texts that the parsers know, to begin from: each as its writer writes it, some with what is seldom in it."""

import json
from pathlib import Path

import msgspec

from tests.archive import archives
from volfs.driver.names import VolumeName
from volfs.settings import Settings
from volfs.volume.volume import Figure, Kind, Reference, State, Volume

_SAMPLES = Path(__file__).resolve().parent.parent / "container" / "samples"
ID = "a" * 64


def _texts(*values: object) -> tuple[bytes, ...]:
    return tuple(json.dumps(value).encode() for value in values)


JSON = (b"{}", b"null", b"[" * 200, b'{"a":' * 200, b'"\\ud800"', b"1e999", b"-0", b"NaN")
MOUNTINFO = (
    b"36 35 98:0 /mnt1 /srv/volumes/a\\040b/_data rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
    b"40 36 0:45 / /srv//deleted rw shared:5 propagate_from:2 - fuse.volfs /var/lib/v rw,user_id=0\n",
    b"1 1 0:1 / / rw - rootfs none rw",
)
MOUNT_OPTIONS = (
    b"addr=nas.example,rw,password=a,,b,nolock,defaults,ro,rbind,rslave",
    b"size=10m,mode=1777,uid=0,nr_inodes=5,noexec,private,shared",
    b"defaults,ro,rw,bind",
)
DEVICES = (
    b"//user:secret@host:445/share?token=a&b=c#d",
    b"smb://u:p/w@h/s",
    b":/export",
    b"host:8080/a@b",
    b"a:b@c",
    b"//[::1]/share",
)
DRIVER_OPTIONS = tuple(b"type=cifs\0device=" + one + b"\0o=addr=h,pass=x\0size=0" for one in DEVICES)
TOLD = (
    *(one + b"\0" + one for one in DRIVER_OPTIONS),
    b"a//b:c@d\0device=//u:p@h/" + b"?token=********" * 40,  # what is hidden looks like what hides it
)
SIZES = (b"0x1p990p", b"1.5g", b"1 KiB", b"1e3", b"0x1p4", b"1_000", b"5 ", b".5m", b"18446744073709551616")
OPTS = (
    b'{"MountType":"nfs","MountOpts":"addr=10.0.0.1,password=x","MountDevice":":/a","Quota":{"Size":0}}',
    b'{"mounttype":"a\\u003c","Quota":{"size":18446744073709551615},"quota":null}',
    *JSON,
)
RECORDS = tuple(
    one + b'\0{"Driver":"local","CreatedAt":"2026-01-02T03:04:05Z","Labels":{"a":"1"},"Options":{"type":"nfs"}}'
    for one in OPTS
)
NAMES = (b"db", b"a/b", b"..", b".hidden", b"a%2Fb", b"%", b"new\nline", b"\xff\xfe", b"x" * 256)
ADDRESSES = (b"unix:///run/p.sock\n", b"tcp://[::1]:80", b"https://h:443/p", b"http://u:p@h:x", b"unix://")
ADDRESS_FILES = (
    b'{"Name":"a","Addr":"https://h:1","TLSConfig":{"InsecureSkipVerify":true,"CAFile":"/c","CertFile":"","KeyFile":""}}',
    b'{"Addr":"unix:///run/p.sock"}',
    *JSON,
)
PLUGIN_ANSWERS = (
    b'{"Err":"","Volume":{"Name":"a","Mountpoint":"/m","CreatedAt":"2026-01-02T03:04:05+01:00","Status":{"x":1}}}',
    b'{"volumes":[{"NAME":"a","createdat":"0001-01-01T00:00:00Z"},null],"Capabilities":{"Scope":"global"}}',
    b'{"Implements":["VolumeDriver"],"Mountpoint":"/a"}',
    b'{"Err":"no such volume"}',
    *JSON,
)
WIRE = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 204 a\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
)
CALLS = (b'{"Name":"a","ID":"i","Opts":{"type":"tmpfs","device":"tmpfs","o":"size=1m","SIZE":""}}', b"", *JSON)
CREATES = (
    b'{"Name":"a","Driver":"local","DriverOpts":{"type":"nfs"},"Labels":{"a":null},"ClusterVolumeSpec":null}',
    b'{"name":"a","NAME":"b"} {}',
    *JSON,
)
PUBLICATIONS = (
    b'{"Work":"w","Volumes":[{"Source":"0","Inode":5,"Name":"a","Created":1,"Labels":null,"Options":{"a":"b"}}]}',
    *JSON,
)
WANTED = (b'{"Directory":"/c/ID","Owner":[0,4294967295]}', b'{"Id":"3f2a"}', *JSON)
PATHS = (b"/v1.43/volumes", b"/volumes/a%2Fb", b"/v1.24.9.9.9/x", b"/v9.9/", b"/_ping")
EVENTS = (b'1.5\n1700000000.999999999\n{"event":{"create":true},"label":["a=b"]}', b'-1\n\n{"type":["volume"]}')
FILTERS = (
    b'{"label":["a=b","c"],"name":["^d.b$","("],"dangling":["true"],"driver":["local"]}',
    b'{"label!":{"a":true},"all":["1"],"until":["5"]}',
    *JSON,
)
DAEMON_ANSWERS = (
    b'{"Name":"a","Driver":"local","Status":{"State":"ok"},"UsedBy":[],"UsageData":{"Size":-1},"CreatedAt":"x"}',
    b'{"Volumes":[{"Name":"a"}],"Warnings":["x"],"VolumesDeleted":["a"],"SpaceReclaimed":5}',
    b'{"Mounts":[{"destination":"/a","options":["ro"]}],"Warnings":[{"Text":"a"}],"Progress":{"Done":1}}',
    *JSON,
)
CONTAINERS = (
    *(
        (_SAMPLES / f"{one}.config.v2.json").read_bytes() + b"\0" + (_SAMPLES / f"{one}.hostconfig.json").read_bytes()
        for one in ("every_kind", "volumes_from")
    ),
    b'{"ID":"%b","MountPoints":{"/a":{"Type":"volume","Name":"v","Destination":"/a","RW":true,'
    b'"Spec":{"Type":"volume","VolumeOptions":{"Subpath":"../x","DriverConfig":{"Options":{"a":"b"}}}}}}}'
    b'\0{"Tmpfs":{"/t":"size=1m,mode=1777"}}' % ID.encode(),
)
BUNDLES = _texts(
    {
        "ociVersion": "1.0.2",
        "mounts": [{"destination": "/proc", "type": "proc"}, {"destination": "/dev/shm/../x"}],
        "linux": {"uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1}], "rootfsPropagation": "private"},
        "annotations": {"org.volfs.mounts": '["/data", 5]'},
    }
)
_VOLUME = Volume(
    VolumeName("a"), 5, 1, "plug", {"o": "x"}, {"a": "1"}, State.MISSING, "/m", "global", found=True, identity="i"
)
CATALOGUE = (
    b"\0" + msgspec.msgpack.encode(_VOLUME),
    b"\1" + msgspec.msgpack.encode(Reference("id", Kind.CONTAINER, "boot", 1, "web", "running")),
    b"\2" + msgspec.msgpack.encode(Figure(1, 2, 3, 4)),
)
_TREE = (
    archives.directory("volumes/db/d/"),
    archives.member("volumes/db/d/f", data=b"text", pax=[(b"mtime", b"1.5"), (b"SCHILY.xattr.user.a", b"\0\xff")]),
    archives.hard_link("volumes/db/d/h", "volumes/db/d/f"),
    archives.symlink("volumes/db/s", "/etc/shadow"),
)
ARCHIVES = (
    archives.archive(*_TREE),
    archives.archive(),
    archives.sealed(archives.manifest(archives.entry(Data=False))),
)
MEMBERS = (
    b"".join(_TREE),
    archives.directory("volumes/db/d/"),
    archives.member("volumes/db/f", data=b"x")[:512] + b"18 path=volumes/db/\n20 GNU.sparse.major=1\n"[:19],
    archives.hard_link("volumes/db/h", "volumes/db/../../x"),
)
MANIFESTS = _texts(
    {"Format": 1, "Volumes": [archives.entry(), archives.entry("../up", Driver="plug", Directory="volumes/+1")]},
    {"Format": 2},
)
FSTAB = (
    b"/srv/second\0/mnt/second\0-o\0idle=10m,run-dir=/run/s,nofail,_netdev,log=/l\0-n",
    b'/r\0/v\0-sfv\0-o\0mode=0755,plugin-socket="/a,b",x-systemd.automount,uid\0-t\0volfs',
    b"/r\0/v\0-o\0ro",
)
SETTINGS = (
    Settings("/r", "/v", "/run", ("/p",), 0o750, 0, "auto", 60.0, "text").to_json().encode(),
    b'{"root":"/r","new":5}',
    *JSON,
)
HOLDERS = (
    b'{"pid": 5, "view": "/mnt/volfs"}\n',
    b'{"pid": 1%b}' % (b"0" * 300),
    b'{"pid": "x", "view": "a\\nb"}',
    *JSON,
)
