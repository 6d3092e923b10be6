"""The client of a plugin against a real one: over a socket, TCP and TLS, and against bytes that are no answer."""

import os
import subprocess
from functools import partial

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from volfs.driver.address import Address, Tls
from volfs.driver.plugin import Plugin, PluginVolume
from volfs.driver.registry import Registry
from volfs.errors import HostError, NotFound, Unavailable, VolfsError

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "trio"


@pytest.fixture
def found(plugin_path):
    """The client of a plugin that is found by its name."""
    registry = Registry([str(plugin_path)])
    return lambda name="fake": Plugin(name, lambda: registry.find(name))


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost that signs itself, and its key."""
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    )
    subprocess.run([*command.split(), "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


async def use(client, plugin):
    """Every call once."""
    await client.create("db", {"size": "1"})
    place = str(plugin.data("db"))
    assert await client.mount("db", "me") == place
    assert await client.get("db") == PluginVolume("db", place, 1767323045, {"backend": "test"})
    assert [one.name for one in await client.list()] == ["db"]
    assert await client.scope() == "local"
    await client.unmount("db", "me")
    await client.remove("db")
    assert await client.list() == []


async def test_over_a_socket(found, plugin):
    await use(found(), plugin)
    assert len(plugin.calls("Activate")) == 1, "activated once"


async def test_over_a_nested_socket_and_a_spec_file(found, start_plugin, plugin_path):
    (plugin_path / "nested").mkdir()
    await use(found("nested"), start_plugin("nested", f"unix:{plugin_path}/nested/nested.sock"))
    plugin = start_plugin("told", "tcp:0")
    (plugin_path / "told.spec").write_text(f"tcp://localhost:{plugin.address}\n")
    await use(found("told"), plugin)


async def test_over_tls_with_a_certificate_that_is_checked(found, start_plugin, plugin_path, certificate):
    plugin = start_plugin("safe", "tcp:0", *certificate)

    def describe(host, tls):
        text = f'{{"Name": "safe", "Addr": "https://{host}:{plugin.address}", "TLSConfig": {tls}}}'
        (plugin_path / "safe.json").write_text(text)

    describe("localhost", f'{{"CAFile": "{certificate[0]}"}}')
    await use(found("safe"), plugin)
    describe("localhost", "{}")
    with pytest.raises(Unavailable, match="its certificate is not accepted"):
        await found("safe").list()
    describe("127.0.0.1", f'{{"CAFile": "{certificate[0]}"}}')
    with pytest.raises(Unavailable, match="its certificate is not accepted"):
        await found("safe").list()
    describe("127.0.0.1", '{"InsecureSkipVerify": true}')
    await use(found("safe"), plugin)
    describe("localhost", '{"CAFile": "/nowhere"}')
    with pytest.raises(Unavailable, match="No such file"):
        await found("safe").list()


async def test_what_the_plugin_says_of_its_scope_counts(found, plugin):
    (plugin.directory / "scope").write_text('"GLOBAL"')
    assert await found().scope() == "global"
    (plugin.directory / "scope").write_text("7")
    assert await found().scope() == "local"
    plugin.behave(Capabilities="err: what is that")
    assert await found().scope() == "local"


async def test_its_error_is_told_in_its_words_and_no_answer_is_another_thing(found, plugin):
    plugin.behave(Get="err: backend down", List="garbage", Remove="status", Mount="close")
    with pytest.raises(HostError, match=r"VolumeDriver\.Get: backend down"):
        await found().get("db")
    for call in (found().list, lambda: found().remove("db"), lambda: found().mount("db", "me")):
        with pytest.raises(Unavailable, match="plugin fake"):
            await call()


async def test_a_plugin_that_is_starting_is_waited_for_by_create(found, start_plugin, plugin_path):
    plugin = start_plugin()
    plugin.stop()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found().create, "db", {})
        await trio.sleep(0.3)  # it is in its first pause
        plugin.start()
    assert "db" in plugin.volumes
    plugin.stop()
    with pytest.raises(Unavailable, match="Connection refused"):
        await found().list()
    os.unlink(plugin_path / "fake.sock")
    with pytest.raises(NotFound):
        await found().create("db", {})


def test_deadlines_are_dockers(found, plugin):
    """The clock jumps when everybody has waited for a while, so that minutes take no time."""

    async def ask():
        for call, seconds in ((found().list, 60), (lambda: found().mount("db", "me"), 120)):
            with pytest.raises(Unavailable, match=f"within {seconds} seconds"):
                await call()

    plugin.behave(List="hang", Mount="hang")
    trio.run(ask, clock=MockClock(autojump_threshold=0.5))
    plugin.behave()


ANSWERS = st.binary(max_size=300) | st.builds(
    lambda body: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body),
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["Err", "Volume", "Volumes", "Name", "name", "Mountpoint", "Status"]), inner
            )
        ),
    ).map(lambda value: __import__("json").dumps(value).encode()),
)


@settings(max_examples=150, deadline=None)
@given(ANSWERS)
def test_any_bytes_are_an_answer_or_an_error(answer):
    async def talk():
        async with trio.open_nursery() as nursery:

            async def serve(stream):
                async with stream:
                    await stream.receive_some(65536)
                    await stream.send_all(answer)

            [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
            port = listener.socket.getsockname()[1]
            client = Plugin("any", lambda: Address(host="127.0.0.1", port=port, tls=None))
            client._active = True
            for call in (client.list, lambda: client.get("db"), lambda: client.mount("db", "me"), client.scope):
                try:
                    await call()
                except VolfsError as error:
                    assert str(error).isprintable() or "Err" in answer.decode(errors="replace")
            nursery.cancel_scope.cancel()

    trio.run(talk)


def test_a_tls_context_needs_nothing_from_the_host():
    assert str(Address(host="h", port=1, tls=Tls())) == "https://h:1"
