"""Check the Host and Origin headers of requests."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from ._problem import Scope

__all__ = [
    "DEV_ORIGINS",
    "header",
    "headers_of",
    "host_of",
    "is_allowed_host",
    "is_local",
    "same_origin",
]

#: the origins of development servers, complete; browsers omit port 80
DEV_ORIGINS = frozenset(
    {"http://localhost", "http://localhost:80", "http://localhost:8000", "http://localhost:5000"},
)

_PORT = re.compile(r"(:[0-9]{0,5})?")
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def headers_of(scope: Scope, name: bytes) -> list[str]:
    """All values of a header, in order."""
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def header(scope: Scope, name: bytes) -> str | None:
    """The value of a header; None if there is none. Repeated headers are joined, so that none is overlooked."""
    values = headers_of(scope, name)
    return ", ".join(values) if values else None


def host_of(scope: Scope) -> str | None:
    """The requested host, without port, in lower case; None unless there is exactly one."""
    values = headers_of(scope, b"host")
    if len(values) != 1:
        return None
    split = _split(values[0].strip())
    return None if split is None else split[0]


def is_allowed_host(scope: Scope, host: str, allowed: Iterable[str]) -> bool:
    """Whether *host* is one of our names: of this machine, the address of the server, or a configured one."""
    if host in _LOCAL_NAMES or host.endswith(".localhost"):
        return True
    server = scope.get("server")
    if server and _ip(server[0]) is not None and _ip(server[0]) == _ip(host):
        return True
    if host == "testserver" and (scope.get("client") or ("",))[0] == "testclient":
        # Starlette's TestClient: over a network, every client has an address
        return True
    return any(_covers(name, host) for name in allowed)


def _covers(name: str, host: str) -> bool:
    split = _split(name.strip())
    if split is None:
        return False
    if split[0].startswith("*."):
        return host.endswith(split[0][1:])
    return host == split[0]


def is_local(scope: Scope) -> bool:
    """Whether both ends of the connection are on this machine."""
    for end in ("server", "client"):
        address = _ip((scope.get(end) or ("",))[0])
        if address is not None and not address.is_loopback:
            return False
    return True


def same_origin(scope: Scope, origin: str) -> bool:
    """Whether *origin* has the host and port of the request; the scheme may differ behind a proxy."""
    try:
        url = urlsplit(origin)
    except ValueError:
        return False
    if url.scheme not in ("http", "https") or url.path or url.query or url.fragment or url.username is not None:
        return False
    values = headers_of(scope, b"host")
    theirs = _split(url.netloc)
    ours = _split(values[0].strip()) if len(values) == 1 else None
    if theirs is None or ours is None:
        return False
    default = _DEFAULT_PORTS[url.scheme]
    return theirs[0] == ours[0] and (theirs[1] or default) == (ours[1] or default)


def _split(text: str) -> tuple[str, int | None] | None:
    """Host and port; None if *text* is neither a name nor an address."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or _ip(host) is None:
            return None
    elif text.count(":") > 1:
        # an IPv6 address without brackets, as people write it in settings
        host, rest = text, ""
    else:
        host, colon, port = text.partition(":")
        rest = colon + port
    if not _PORT.fullmatch(rest):
        return None
    host = host.lower().removesuffix(".")
    address = _ip(host)
    if not host or not host.isascii() or any(sign in host for sign in "/\\@?# \t,"):
        return None
    return (str(address) if address else host), (int(rest[1:]) if len(rest) > 1 else None)


@functools.lru_cache(1024)
def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
