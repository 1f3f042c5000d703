"""The errors of sockets and forking, and the exit of a program whose workers failed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from buvar.errors import BuvarError


class ForkError(BuvarError, RuntimeError):
    """Workers cannot be forked here."""


class ThreadsRunningError(ForkError):
    """Other threads are running: a fork would copy their locks but not the threads.

    Attributes:
        threads: Names of the threads.
    """

    def __init__(self, threads: Iterable[str]) -> None:
        self.threads = tuple(threads)
        super().__init__(
            f"cannot fork workers while other threads run: {', '.join(self.threads)}",
            fix="start threads, clients and exporters inside a plugin, or use forks=1",
        )


class SocketUriError(BuvarError, TypeError, ValueError):
    """A socket URI is invalid.

    Attributes:
        uri: The given URI.
    """

    def __init__(self, uri: object, what: str) -> None:
        super().__init__(
            f"{uri!r} names no socket: {what}",
            fix="write tcp://host:port, tcp://:port, tcp://[::1]:port, unix:///path, fd://number or fd://name",
        )
        self.uri = uri


class SocketNotUsableError(BuvarError, OSError):
    """A socket cannot be bound.

    Attributes:
        uri: Its URI.
        errno: The error number of the system.
    """

    def __init__(self, uri: str, error: OSError, *, fix: str | None = None) -> None:
        super().__init__(f"cannot listen on {uri}: {error.strerror or error}", fix=fix)
        self.uri = uri
        self.errno = error.errno


class WorkersFailed(SystemExit):
    """Leaves the process with the status of the first worker that failed; raised by `stage`.

    Attributes:
        code: The exit status: 3 if workers could not be started, 128 + n if signal n ended one.
        statuses: The last exit status of each worker, by number.
    """

    def __init__(self, code: int, statuses: Sequence[int]) -> None:
        super().__init__(code)
        self.statuses = list(statuses)
