"""Serve a BINP as a plugin of the kernel."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from binp._loop import wait_within
from binp.app import BINP
from binp.app.serving import Presence, url_of
from binp.errors import UsageError
from binp.home import Home
from buvar import context
from buvar.config import ConfigSource
from buvar.plugin import Cancel, Loader, Teardown

if TYPE_CHECKING:
    import uvicorn

__all__ = ["AddressNotUsable", "Listener", "prepare"]

_logger = logging.getLogger("binp.shutdown")

#: length of the accept queue, which also has to last while plugins are loaded
_BACKLOG = 2048
#: fraction of the grace after which requests in flight are cancelled
_REQUESTS = 0.75
#: fraction of the grace that a new connection gets for its first request when the listener is closed
_FIRST_WORD = 0.01
#: polling interval of the server's state, in seconds
_TICK = 0.01
#: how often the Date header is updated, in seconds
_DATE = 1.0


class AddressNotUsable(UsageError):
    """The server cannot listen on the address.

    Attributes:
        host: The requested host.
        port: The requested port.
    """

    def __init__(self, what: str, host: str, port: int, *, fix: str) -> None:
        super().__init__(what, host, port, where=f"[binp] host = {host!r}, port = {port}", fix=fix)
        self.host = host
        self.port = port


@dataclass(frozen=True, slots=True)
class Listener:
    """Sockets that are bound and listening: connections are not refused while the application is being loaded."""

    #: the requested name or address
    host: str
    #: the actual port, also when 0 was requested
    port: int
    sockets: tuple[socket.socket, ...]
    #: the link was printed already
    is_told: bool = False
    #: called when the server starts to answer requests
    served: Callable[[], None] | None = None

    @classmethod
    def bind(cls, host: str, port: int) -> Self:
        """Listen on every address of *host*; *port* 0 selects one free port for all of them.

        Raises:
            AddressNotUsable: the message says why, and what to do.
        """
        sockets: list[socket.socket] = []
        first: OSError | None = None
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except OSError as error:
            raise AddressNotUsable(
                f"{host!r} is not an address of this machine: {error.strerror}", host, port, fix="listen on 127.0.0.1"
            ) from None
        for family, _, _, _, address in dict.fromkeys(found):
            taken = sockets[0].getsockname()[1] if sockets else port
            try:
                sockets.append(_listen(family, (str(address[0]), int(taken), *address[2:])))
            except OSError as error:
                first = first or error
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    break
        if not sockets or (first is not None and first.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)):
            for each in sockets:
                each.close()
            raise _explain(first or OSError(errno.EADDRNOTAVAIL, "no address was found"), host, port)
        return cls(host, int(sockets[0].getsockname()[1]), tuple(sockets))

    @property
    def url(self) -> str:
        """The URL for clients on this machine."""
        return url_of(self.host, self.port)

    def close(self) -> None:
        """Stop listening: further connections are refused."""
        for each in self.sockets:
            each.close()


def _listen(family: int, address: tuple[Any, ...]) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        # a server that was just stopped leaves connections in TIME_WAIT, which would block the port
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(_BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made


def _explain(error: OSError, host: str, port: int) -> AddressNotUsable:
    if error.errno == errno.EADDRINUSE:
        return AddressNotUsable(
            f"port {port} of {host} is in use",
            host,
            port,
            fix=f"stop what listens there, or choose another port: --port {port % 65535 + 1}, or 0 for a free one",
        )
    if error.errno == errno.EACCES:
        return AddressNotUsable(
            f"this user may not listen on port {port} of {host}", host, port, fix="choose a port above 1023"
        )
    return AddressNotUsable(
        f"{host!r} is not an address of this machine: {error.strerror}", host, port, fix="listen on 127.0.0.1"
    )


async def prepare(
    binp: BINP, listener: Listener, load: Loader, teardown: Teardown, cancel: Cancel
) -> AsyncIterator[Coroutine[Any, Any, None]]:
    """Serve *binp* on *listener* until *cancel* is set; then shut down in order, within the grace.

    The home is opened first and closed last; in between, the plugins of the BINP are loaded and the lifespan of the
    FastAPI application is entered. A second signal cancels this task, which cancels everything in flight.

    Raises:
        StoreError: the database cannot be opened; the message says why.
        Exception: whatever a plugin raises.
    """
    teardown.add(listener.close)
    home = binp.home
    components = context.current_context()
    components.add(home.source(), ConfigSource)
    await home.open(components, serving=True)
    teardown.add(home.close)
    await load(*binp.all_plugins())
    app = binp.app
    # report a token that cannot be read now, not at the first request
    await app.open_door()
    state = await teardown.enter(app.router.lifespan_context(app))
    server = _make_server(app, dict(state or {}))
    yield _serve(server, listener, home, cancel)


async def _serve(server: uvicorn.Server, listener: Listener, home: Home, cancel: Cancel) -> None:
    loop = asyncio.get_running_loop()
    serving = loop.create_task(server.serve(sockets=list(listener.sockets)), name="binp server")
    life = loop.create_task(_live(server, serving, listener, home, cancel), name="binp serving")
    is_hurried = False
    while not life.done():
        try:
            await asyncio.wait({life})
        except asyncio.CancelledError:
            # the stage cancels at a second signal: skip no step of the shutdown, but do not wait
            is_hurried = True
            cancel.set()
            _hurry(server, home)
    life.result()
    if is_hurried and (task := asyncio.current_task()) is not None:
        task.uncancel()


async def _live(
    server: uvicorn.Server, serving: asyncio.Task[None], listener: Listener, home: Home, cancel: Cancel
) -> None:
    """From the first accepted connection to the end of the last service."""
    presence = Presence(home, listener.url)
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has a flag, and no event
            await asyncio.sleep(_TICK)
        if not cancel.is_set() and not serving.done():
            home.lead()
            presence.announce(is_told=listener.is_told)
            if listener.served is not None:
                listener.served()
            waiting = asyncio.ensure_future(cancel.wait())
            await asyncio.wait({waiting, serving}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
    finally:
        presence.withdraw()
        await _shut_down(server, serving, listener, home, cancel)


async def _shut_down(
    server: uvicorn.Server, serving: asyncio.Task[None], listener: Listener, home: Home, cancel: Cancel
) -> None:
    from buvar.fork import stop_accepting  # imported late: it would slow down the start of every command

    # the home drops its settings when it is closed
    grace = home.settings.grace
    await stop_accepting(listener.sockets)
    for each in getattr(server, "servers", ()):
        each.close()
    _logger.info("shutdown: listener closed")
    await _hear_out(server, grace * _FIRST_WORD)
    home.begin_shutdown()
    cancel.extend(home.patience)
    server.config.timeout_graceful_shutdown = grace * _REQUESTS  # type: ignore[assignment]  # asyncio takes any number
    _end(server)
    try:
        await serving
    finally:
        _cancel_requests(server)
        _logger.info("shutdown: requests answered")
        await home.wind_down()


async def _hear_out(server: uvicorn.Server, patience: float) -> None:
    """Give connections that were just accepted time to send a request: they were not refused, so they are served."""
    loop = asyncio.get_running_loop()
    end = loop.time() + patience
    is_silent = True
    while is_silent and loop.time() < end and not server.force_exit:
        # at least once: the server learns of an accepted connection a moment later
        await asyncio.sleep(_TICK)
        is_silent = any(getattr(each, "cycle", server) is None for each in server.server_state.connections)


def _hurry(server: uvicorn.Server, home: Home) -> None:
    home.hurry()
    server.force_exit = True
    _end(server)
    _cancel_requests(server)


def _end(server: uvicorn.Server) -> None:
    server.should_exit = True
    # the server itself checks only once a second
    server.is_ending.set()  # type: ignore[attr-defined]  # defined by EmbeddedServer below


def _cancel_requests(server: uvicorn.Server) -> None:
    for task in server.server_state.tasks:
        task.cancel()


def _make_server(app: Any, state: MutableMapping[str, Any]) -> uvicorn.Server:
    """A server inside our own process; signals, logging and the lifespan are handled by us."""
    import uvicorn

    class EmbeddedServer(uvicorn.Server):
        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            self.is_ending = asyncio.Event()

        async def main_loop(self) -> None:
            # uvicorn polls ten times a second whether it should exit, which keeps a small machine awake. Here an event
            # ends the wait, and the only periodic work is the Date header, which tick 0 updates
            while not await self.on_tick(0):
                await wait_within(self.is_ending, _DATE)

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    return EmbeddedServer(
        uvicorn.Config(
            _with_state(app, state) if state else app,
            lifespan="off",
            log_config=None,
            access_log=False,
            # set when the shutdown begins; without a limit, one open stream would block it for ever
            timeout_graceful_shutdown=1,
            server_header=False,
            proxy_headers=False,
            ws="websockets-sansio",
            ws_per_message_deflate=False,
        )
    )


def _with_state(app: Any, state: MutableMapping[str, Any]) -> Any:
    """*app* with the state from its lifespans in each scope, as a server that runs the lifespan provides it."""

    async def stateful(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        scope["state"] = {**state, **scope.get("state", {})}
        answer: Awaitable[None] = app(scope, receive, send)
        await answer

    return stateful
