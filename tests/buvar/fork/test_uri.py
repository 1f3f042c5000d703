"""URIs of sockets, written in one way."""

import socket

import pytest

from buvar.fork import SocketUriError, Uri


@pytest.mark.parametrize(
    ("text", "normal", "parts"),
    [
        ("tcp://:5678", "tcp://0.0.0.0:5678", ("0.0.0.0", 5678, "")),
        ("tcp://0.0.0.0:5678", "tcp://0.0.0.0:5678", ("0.0.0.0", 5678, "")),
        ("tcp://Example.COM:80/", "tcp://example.com:80", ("example.com", 80, "")),
        ("tcp://localhost", "tcp://localhost:0", ("localhost", 0, "")),
        ("tcp://[::1]:80", "tcp://[::1]:80", ("::1", 80, "")),
        ("tcp://[0:0:0:0:0:0:0:1]:80", "tcp://[::1]:80", ("::1", 80, "")),
        ("unix:///run/app.sock", "unix:///run/app.sock", (None, None, "/run/app.sock")),
        ("unix:///run/my%20app", "unix:///run/my app", (None, None, "/run/my app")),
        ("fd://3", "fd://3", ("3", None, "")),
        ("fd://web", "fd://web", ("web", None, "")),
    ],
)
def test_uris_are_normalised(text, normal, parts):
    """FRK-03: `tcp://:5678` means every address; `.uri` offers scheme, gethost(), getport() and getpath()."""
    uri = Uri.parse(text)

    assert str(uri) == normal
    assert uri.scheme == normal.partition(":")[0]
    assert (uri.gethost(), uri.getport(), uri.getpath()) == parts
    assert Uri.parse(uri) is uri


def test_defaults_of_parts():
    """What a URI does not have is the given default."""
    uri = Uri.parse("unix:///path")

    assert (uri.gethost("nobody"), uri.getport(1)) == ("nobody", 1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("http://localhost:80", "the scheme 'http' is not known"),
        ("localhost:80", "the scheme 'localhost' is not known"),
        ("", "the scheme '' is not known"),
        ("tcp://localhost:http", "Port could not be cast to integer value as 'http'"),
        ("tcp://localhost:70000", "Port out of range 0-65535"),
        ("tcp://localhost:80/path", "the path '/path' has no meaning"),
        ("tcp://user@localhost:80", "it has parts that an address does not have"),
        ("tcp://localhost:80?x=1", "it has parts that an address does not have"),
        ("unix://relative/path", "a path begins with a slash, so there are three of them"),
        ("unix:", "a path begins with a slash, so there are three of them"),
        ("fd://", "it is incomplete"),
        (5678, "it is not text"),
    ],
)
def test_what_names_no_socket(text, complaint):
    """FRK-03: another scheme is a TypeError; each complaint says what is wrong and what can be written."""
    with pytest.raises(TypeError) as caught:
        Uri.parse(text)

    assert isinstance(caught.value, SocketUriError)
    assert caught.value.uri == text
    assert str(caught.value) == (
        f"{text!r} names no socket: {complaint}\n"
        "  fix:   write tcp://host:port, tcp://:port, tcp://[::1]:port, unix:///path, fd://number or fd://name"
    )


def test_a_port_that_does_not_exist():
    """Ports end at 65535, also when they come as a number."""
    with pytest.raises(ValueError, match="less than 65536"):
        Uri.tcp("localhost", 65536)


def test_sockets_of_other_families_have_none():
    """A socket that is neither TCP nor unix has no URI."""
    if not hasattr(socket, "AF_NETLINK"):
        pytest.skip("only Linux has them")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW) as sock, pytest.raises(TypeError, match="not known"):
        Uri.of_socket(sock)


def test_an_abstract_unix_socket():
    """A name that is not text in the file system is shown all the same."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("\0buvar-test")
        assert Uri.of_socket(sock).path == "\0buvar-test"
