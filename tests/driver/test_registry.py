"""Where plugins are found: Docker's rules, on real directories with real sockets."""

import socket
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volfs.driver.address import Address, Tls, parse_json, parse_spec
from volfs.driver.registry import Registry
from volfs.errors import Invalid, NotFound


@pytest.fixture
def listen(tmp_path, monkeypatch):
    """Makes sockets, by paths relative to the test's directory."""
    monkeypatch.chdir(tmp_path)
    opened = []

    def make(path):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        opened.append(socket.socket(socket.AF_UNIX))
        opened[-1].bind(str(path))
        return str(tmp_path / path)

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def registry(tmp_path):
    return Registry([str(tmp_path / "run"), str(tmp_path / "etc"), str(tmp_path / "lib")])


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_socket_is_found_by_its_name_and_in_a_directory_of_its_name(registry, listen):
    plain, nested = listen("run/aa.sock"), listen("run/bb/bb.sock")
    assert registry.find("aa") == Address(path=plain)
    assert registry.find("bb") == Address(path=nested)
    assert registry.names() == ["aa", "bb"]


def test_the_first_match_wins(registry, listen, tmp_path):
    write(tmp_path / "lib" / "aa.json", '{"Name": "aa", "Addr": "tcp://10.0.0.1:1"}')
    assert registry.find("aa") == Address(host="10.0.0.1", port=1)
    write(tmp_path / "etc" / "aa" / "aa.json", '{"Addr": "tcp://10.0.0.2:2"}')
    assert registry.find("aa") == Address(host="10.0.0.2", port=2)
    write(tmp_path / "etc" / "aa.spec", " unix:///somewhere.sock\n")
    assert registry.find("aa") == Address(path="/somewhere.sock")
    place = listen("run/aa.sock")
    assert registry.find("aa") == Address(path=place)


def test_what_is_no_socket_and_no_file_is_no_plugin(registry, tmp_path):
    write(tmp_path / "run" / "aa.sock", "")
    (tmp_path / "etc" / "bb.spec").mkdir(parents=True)
    for name in ("aa", "bb", "cc", "", ".", "..", "../run/aa", "a\0b"):
        with pytest.raises(NotFound, match="not found"):
            registry.find(name)
    assert registry.names() == []


def test_a_file_that_cannot_be_used_is_named_and_harms_no_other(registry, listen, tmp_path):
    write(tmp_path / "etc" / "bad.json", "{")
    write(tmp_path / "etc" / "good.spec", "tcp://10.0.0.1:80")
    with pytest.raises(Invalid, match=r'the plugin file ".*bad.json" cannot be used'):
        registry.find("bad")
    assert registry.names() == ["good"]


def test_our_own_socket_is_no_plugin_of_ours_by_any_path(listen, tmp_path):
    own = listen("run/volfs.sock")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "alias.sock").symlink_to(own)
    write(tmp_path / "etc" / "told.spec", f"unix://{own}")
    registry = Registry([str(tmp_path / "run"), str(tmp_path / "etc")], [own])
    for name in ("volfs", "alias", "told"):
        with pytest.raises(Invalid, match="that is volfs itself"):
            registry.find(name)
    assert registry.names() == []


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("unix:///a/b.sock", Address(path="/a/b.sock")),
        ("tcp://localhost:8080", Address(host="localhost", port=8080)),
        ("http://h/path", Address(host="h", port=80)),
        ("https://[::1]:9", Address(host="::1", port=9, tls=Tls())),
        ("https://h", Address(host="h", port=443, tls=Tls())),
    ],
)
def test_urls_are_read_as_docker_reads_them(url, found):
    assert parse_spec(url) == found


@pytest.mark.parametrize(
    "url", ["", "/a/b.sock", "unix://relative", "ftp://h", "tcp://", "tcp://h:x", "tcp://[", "unix:"]
)
def test_a_url_that_leads_nowhere_is_refused(url):
    with pytest.raises(Invalid):
        parse_spec(url)


def test_tls_is_as_the_file_says():
    text = (
        b'{"Addr":"https://h:1","TLSConfig":{"InsecureSkipVerify":true,"CAFile":"/ca","CertFile":"/c","KeyFile":"/k"}}'
    )
    assert parse_json(text).tls == Tls(True, "/ca", "/c", "/k")
    assert parse_json(b'{"Addr":"tcp://h:1","TLSConfig":{"CAFile":"/ca"}}').tls is None, "tcp is plain, as with Docker"


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_an_address_or_refused(text):
    for parse in (parse_json, lambda data: parse_spec(data.decode(errors="replace"))):
        with suppress(Invalid):
            assert isinstance(parse(text), Address)
