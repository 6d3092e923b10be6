"""A plugin says again what it was told, in every answer and in words of its own; nobody reads a secret there."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT, until
from volfs.mount import syscalls

pytestmark = pytest.mark.skipif(not syscalls.can_mount(), reason="needs CAP_SYS_ADMIN")
SECRET = 'qzx"ter/2 é'
OPTIONS = {"cifsopts": f"username=u,password={SECRET},ro", "password": SECRET, "share": "//u:xyzzy7@host/s"}
ECHO = f"mount.cifs -o password={SECRET}: cannot reach //u:xyzzy7@host/s, tried {json.dumps(OPTIONS)} and <{SECRET}>"
SAID = (SECRET, json.dumps(SECRET)[1:-1], json.dumps(SECRET, ensure_ascii=False)[1:-1], "xyzzy7", "qzx")


def volfs(host, *words):
    """What the command prints, on both of its ends."""
    command = [sys.executable, "-m", "volfs", *words]
    environment = {**os.environ, "VOLFS_HOST": str(host.socket)}
    ran = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, errors="replace", timeout=60
    )
    return ran.stdout + ran.stderr


def processes():
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield one.read_bytes().decode(errors="replace")


def without_secrets(said):
    found = [(who, secret) for who, text in said.items() for secret in SAID if secret in str(text)]
    assert found == []
    assert "********" in str(said), "there was nothing to hide"


def test_no_face_tells_what_a_plugin_says_again_of_its_options(serve, plugin_path, plugin, tmp_path):
    host = serve("--plugin-path", str(plugin_path), "--plugin-socket", str(tmp_path / "mine.sock"))
    said = {}
    plugin.behave(Create=f"err: {ECHO}")
    said["create"] = host.request("POST", "/volumes/create", {"Name": "no", "Driver": "fake", "DriverOpts": OPTIONS})
    plugin.behave()
    host.create("db", Driver="fake", DriverOpts=OPTIONS)
    status = {"Volume": {"Name": "db", "Status": {"said": ECHO, "deep": [{"token": SECRET}], "password": SECRET}}}
    plugin.behave(Get="raw: " + json.dumps(status))
    said["inspect"] = host.request("GET", "/volumes/db")[1]["Status"]
    failing = dict.fromkeys(("Mount", "Unmount", "Remove", "Get"), f"err: {ECHO}")
    plugin.behave(**failing)
    said["inspect again"] = host.request("GET", "/volumes/db")[1]["Status"]
    with contextlib.suppress(OSError):
        said["data"] = os.listdir(host.view / "db" / "_data")
    said["meta"], said["opts.json"] = ((host.view / "db" / name).read_text() for name in ("meta", "opts.json"))
    said["export"] = volfs(host, "export", "db", "-o", str(tmp_path / "x.tar"))
    said["remove"] = host.request("DELETE", "/volumes/db")
    said["rm"], said["df"], said["ls"] = (volfs(host, *words) for words in (["rm", "db"], ["df"], ["ls"]))
    plugin.behave(**failing, List=f"err: {ECHO}")
    until(lambda: host.request("GET", "/volumes")[1]["Warnings"])
    said["warnings"] = host.request("GET", "/volumes")[1]["Warnings"]
    said["check"] = volfs(host, "check", "--root", str(host.root), "--plugin-path", str(plugin_path))
    said["forced"] = host.request("DELETE", "/volumes/db?force=1")
    said["events"] = host.request("GET", "/events?since=1&until=1")
    said["log"], said["ps"] = host.log(), list(processes())
    assert "plugin" in said["log"]
    without_secrets(said)
