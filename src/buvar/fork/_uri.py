"""URIs of sockets: parse and normalise them."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
import urllib.parse

from ._errors import SocketUriError

#: The host that an empty host means.
ANY_HOST = "0.0.0.0"  # noqa: S104 - what tcp://:port means # nosec B104 - the caller chose it
_PORTS = 65536


@dataclasses.dataclass(frozen=True, slots=True)
class Uri:
    """The normalised URI of a socket; equal sockets have equal URIs."""

    #: ``tcp``, ``unix`` or ``fd``
    scheme: str
    #: host name or address; for ``fd``, the number or name of the descriptor
    host: str | None = None
    #: 0 for any free port
    port: int | None = None
    #: of a ``unix`` socket
    path: str = ""

    @classmethod
    def parse(cls, text: str | Uri) -> Uri:
        """Parse a URI.

        Raises:
            SocketUriError: it has another scheme, or is invalid.
        """
        if isinstance(text, Uri):
            return text
        if not isinstance(text, str):
            raise SocketUriError(text, "it is not text")
        try:
            parts = urllib.parse.urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise SocketUriError(text, str(error)) from None
        if parts.query or parts.fragment or parts.username is not None:
            raise SocketUriError(text, "it has parts that an address does not have")
        if parts.scheme == "tcp" and parts.path in ("", "/"):
            return cls.tcp(host, port)
        if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
            return cls("unix", path=urllib.parse.unquote(parts.path))
        if parts.scheme == "fd" and parts.netloc and not parts.path and port is None:
            return cls("fd", parts.netloc)
        raise SocketUriError(text, _complaint(parts))

    @classmethod
    def tcp(cls, host: str | None, port: int | None) -> Uri:
        """The URI of a host and a port; no host means every IPv4 address.

        Raises:
            SocketUriError: the port is invalid.
        """
        host = host or ANY_HOST
        if not 0 <= (port or 0) < _PORTS:
            raise SocketUriError(f"tcp://{host}:{port}", f"a port is less than {_PORTS}")
        try:
            host = ipaddress.ip_address(host).compressed
        except ValueError:
            host = host.lower()
        return cls("tcp", host, port or 0)

    @classmethod
    def of_socket(cls, sock: socket.socket) -> Uri:
        """The URI of the address that a socket is bound to.

        Raises:
            SocketUriError: the socket belongs to another address family.
        """
        address = sock.getsockname()
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            return cls.tcp(address[0], address[1])
        if hasattr(socket, "AF_UNIX") and sock.family == socket.AF_UNIX:
            return cls("unix", path=address if isinstance(address, str) else address.decode())
        raise SocketUriError(address, f"sockets of the family {sock.family!r} are not known")

    def gethost(self, default: str | None = None) -> str | None:
        """The host; *default* if there is none."""
        return default if self.host is None else self.host

    def getport(self, default: int | None = None) -> int | None:
        """The port; *default* if there is none."""
        return default if self.port is None else self.port

    def getpath(self) -> str:
        """The path; empty if there is none."""
        return self.path

    def __str__(self) -> str:
        if self.scheme == "unix":
            return f"unix://{self.path}"
        if self.scheme == "fd":
            return f"fd://{self.host}"
        host = f"[{self.host}]" if ":" in (self.host or "") else self.host
        return f"tcp://{host}:{self.port}"


def _complaint(parts: urllib.parse.SplitResult) -> str:
    if parts.scheme not in ("tcp", "unix", "fd"):
        return f"the scheme {parts.scheme!r} is not known"
    if parts.scheme == "unix":
        return "a path begins with a slash, so there are three of them"
    return f"the path {parts.path!r} has no meaning" if parts.path else "it is incomplete"
