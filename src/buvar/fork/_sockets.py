"""Sockets named by a URI, which are bound and listening before the fork, and are closed without losing connections."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from typing import Any

from ._errors import SocketNotUsableError, SocketUriError
from ._systemd import listen_fds
from ._uri import Uri

#: Length of the accept queue; the system may limit it.
BACKLOG = 2048
_PROBE = 1.0


class Socket(socket.socket):
    """A stream socket named by a URI; equal if the URIs are equal.

    Args:
        uri: ``tcp://host:port`` (no host: every IPv4 address; no port: any free one), ``tcp://[address]:port``,
            ``unix:///path``, or ``fd://number`` for an open descriptor.

    Raises:
        SocketUriError: the URI is invalid; a `TypeError`.
        SocketNotUsableError: the host is unknown, or the descriptor is not a stream socket.
    """

    def __init__(self, uri: str | Uri) -> None:
        asked = Uri.parse(uri)
        #: Length of the accept queue.
        self.backlog = BACKLOG
        #: Other names: the requested one, and the one from systemd.
        self.aliases: set[str] = set()
        self._made: tuple[int, int, int] | None = None
        if asked.scheme == "fd":
            self._adopt(asked)
        else:
            family, self._address = _resolve(asked)
            super().__init__(family, socket.SOCK_STREAM)
            #: The normalised URI; a requested port 0 stays 0.
            self.uri = asked

    def _adopt(self, asked: Uri) -> None:
        if not (asked.host or "").isdecimal():
            raise SocketUriError(str(asked), "no socket of that name was passed to this process")
        try:
            super().__init__(fileno=int(asked.host or ""))
        except OSError as error:
            raise SocketNotUsableError(str(asked), error, fix="pass an open socket under that number") from None
        if self.type != socket.SOCK_STREAM:
            self.detach()
            raise SocketNotUsableError(str(asked), OSError(errno.ENOTSOCK, "it is not a stream socket"))
        self.uri = Uri.of_socket(self)
        self._address = self.getsockname()
        self.aliases.add(str(asked))
        self.set_inheritable(False)

    @property
    def address(self) -> str:
        """The URI of the address that it is actually bound to, with the actual port."""
        return str(Uri.of_socket(self)) if self.is_listening else str(self.uri)

    @property
    def is_listening(self) -> bool:
        """Whether it accepts connections."""
        return self.fileno() >= 0 and bool(self.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))

    def bind(self) -> None:  # type: ignore[override]  # the address is in the URI
        """Bind and listen; does nothing if it is listening already.

        A stale file of a ``unix`` socket is replaced, but not one that somebody listens on.

        Raises:
            SocketNotUsableError: the address is in use, not of this machine, or not permitted.
        """
        if not self.is_listening:
            try:
                self._bind()
            except OSError as error:
                raise SocketNotUsableError(str(self.uri), error, fix=_remedy(self.uri, error)) from None
        # a property of the open file description, so it affects all processes that share it
        self.setblocking(False)

    def _bind(self) -> None:
        if self.uri.scheme == "unix" and not self.aliases:
            with _locked(os.path.dirname(self.uri.path)):  # noqa: PTH120 - the address of a socket is text
                _remove_stale(self.uri.path)
                super().bind(self._address)
                made = os.stat(self.uri.path)  # noqa: PTH116 - a socket's address is text
                self._made = os.getpid(), made.st_dev, made.st_ino
                self.listen()
            return
        if not self.aliases:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self.family == socket.AF_INET6:
                # allows tcp://:80 and tcp://[::]:80 side by side on every system
                self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            super().bind(self._address)
        self.listen()

    def listen(self, backlog: int = 0, /) -> None:
        """Listen; the accept queue, which all processes share, never becomes shorter than `backlog`."""
        super().listen(max(backlog, self.backlog))

    def close(self) -> None:
        """Close it in this process; the process that created the file of a ``unix`` socket removes it."""
        if self._made is not None and self._made[0] == os.getpid():
            made, self._made = self._made, None
            with contextlib.suppress(OSError):
                now = os.stat(self.uri.path)  # noqa: PTH116 - a socket's address is text
                if made[1:] == (now.st_dev, now.st_ino):  # otherwise a successor has put its own file there
                    os.unlink(self.uri.path)  # noqa: PTH108 - a socket's address is text
        super().close()

    def dup(self) -> socket.socket:  # type: ignore[override]  # a copy has a life of its own
        """A plain socket on the same open file description."""
        return socket.socket(fileno=os.dup(self.fileno()))

    def __eq__(self, other: object) -> bool:
        return self.uri == other.uri if isinstance(other, Socket) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.uri)

    def __str__(self) -> str:
        return str(self.uri)


class Sockets(dict[str, Socket]):
    """Sockets by their normalised URI; the same URI twice gives one socket.

    Sockets passed by the service manager are always included. A requested URI that is the address of a passed socket,
    or ``fd://name``, refers to that socket.

    Args:
        uris: The sockets to create.

    Raises:
        SocketUriError: a URI is invalid; a `TypeError`.
        SocketNotUsableError: a host is unknown.
    """

    def __init__(self, *uris: str | Uri) -> None:
        super().__init__()
        try:
            for number, name in listen_fds().items():
                with contextlib.suppress(SocketNotUsableError):  # of another type, and not meant for us
                    passed = self._keep(Socket(f"fd://{number}"))
                    passed.aliases.update((name, f"fd://{name}") if name else ())
            for uri in uris:
                asked = Uri.parse(uri)
                if str(asked) not in self.names():
                    self._keep(Socket(asked))
        except BaseException:
            self.close()
            raise

    def _keep(self, sock: Socket) -> Socket:
        return self.setdefault(str(sock), sock)

    def names(self) -> dict[str, Socket]:
        """The sockets under all their names: normalised URI, actual address, aliases."""
        found: dict[str, Socket] = {}
        for sock in self.values():
            found.update(dict.fromkeys((str(sock), sock.address, *sorted(sock.aliases)), sock))
        return found

    @contextlib.contextmanager
    def bind(self) -> Iterator[Sockets]:
        """Bind all of them inside the block; afterwards they are closed, in the process that opened them.

        Raises:
            SocketNotUsableError: one cannot be bound; then none is.
        """
        owner = os.getpid()
        try:
            for sock in self.values():
                sock.bind()
            yield self
        finally:
            if os.getpid() == owner:
                self.close()

    def close(self) -> None:
        """Close all of them in this process."""
        for sock in self.values():
            sock.close()


async def stop_accepting(sockets: Iterable[socket.socket]) -> None:
    """Stop accepting connections on *sockets* in the running event loop, and finish setting up the accepted ones.

    Connections that wait in the queue are accepted first: they would be reset if no other process listened any more.

    Await this before closing the servers: in asyncio, a server that is closed right after it has accepted a connection
    drops it, because it creates the transport one iteration later. Closed sockets are skipped.
    """
    loop = asyncio.get_running_loop()
    await _iterate()
    for sock in sockets:
        if sock.fileno() >= 0:
            with contextlib.suppress(NotImplementedError):  # some event loops have no such readers
                loop.remove_reader(sock)
    # one iteration for the task that creates the transport, one for the protocol to be told
    await _iterate()


async def _iterate() -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def _resolve(uri: Uri) -> tuple[socket.AddressFamily, Any]:
    if uri.scheme == "unix":
        return socket.AF_UNIX, uri.path
    try:
        found = socket.getaddrinfo(uri.host, uri.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SocketNotUsableError(str(uri), error, fix="use an address of this machine, such as 127.0.0.1") from None
    # for a name with both kinds of address, prefer IPv4, as for an empty host
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, address


def _remedy(uri: Uri, error: OSError) -> str:
    if uri.scheme == "unix":
        return _remedy_of_path(uri.path, error)
    if error.errno == errno.EADDRINUSE:
        return "end the program that listens there, or use another address"
    if error.errno in (errno.EACCES, errno.EPERM):
        return "use a port above 1023 and a folder that may be written, or let systemd pass the socket"
    return "use an address of this machine, such as 127.0.0.1"


def _remedy_of_path(path: str, error: OSError) -> str:
    if error.errno is None:  # not an error of the system: the path does not fit into an address
        return "use a shorter path: an address holds about 100 bytes"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"make the folder {os.path.dirname(path)} first"  # noqa: PTH120 - a socket's address is text
    if error.errno == errno.EADDRINUSE:
        is_socket = os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode)  # noqa: PTH110, PTH116 - the same
        there = "end the program that listens there" if is_socket else "remove what is there, which is no socket"
        return f"{there}, or use another path"
    return "use a path in a folder that may be written, or let systemd pass the socket"


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Lock the folder against others that replace a file in it at the same time."""
    import fcntl  # not on Windows, which has no socket files

    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove_stale(path: str) -> None:
    """Remove the file of a socket that nobody listens on; anything else there makes the bind fail."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116 - a socket's address is text
            return
    except OSError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108 - a socket's address is text
        except OSError:
            # somebody listens, but is too busy to answer
            return
