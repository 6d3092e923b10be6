"""`api`: a fake daemon on a socket. `volfs`: the command line against it."""

import subprocess
import sys
import threading

import pytest

from tests.cli.fake_api import Api, Handler, Server, environment


@pytest.fixture
def api(tmp_path):
    socket = str(tmp_path / "volfs.sock")
    with Server(socket, Handler) as server:
        server.api = Api(socket)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.api
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def volfs(api):
    """Runs `python -m volfs` against the API: (words) -> CompletedProcess of text."""

    def run(*words, stdin=subprocess.DEVNULL, **more):
        return subprocess.run(
            [sys.executable, "-m", "volfs", *words],
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            env=environment(**{"VOLFS_HOST": api.socket, **more}),
        )

    return run
