"""The lifespan of the application under another server: open, lead, and shut down in order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from starlette.routing import Mount

from binp.app.serving import Presence, url_of
from binp.home import Home
from binp.settings import Settings, is_loopback
from buvar import plugin
from buvar.config import ConfigSource

if TYPE_CHECKING:
    from binp.app import BINP

__all__ = ["lifespan"]

T = TypeVar("T")
Handler = Callable[[int, FrameType | None], Any]


@contextlib.asynccontextmanager
async def lifespan(
    binp: BINP, inner: contextlib.AbstractAsyncContextManager[T], *, outer: Any = None
) -> AsyncIterator[T]:
    """Serve *binp* until the server shuts down: load its plugins, and run its services if this process leads.

    The server's handlers for INT and TERM are wrapped: streams end and runs start to drain before the server waits for
    its connections. A signal while plugins are being loaded ends the loading; the server then starts, and ends at once.

    Args:
        binp: What to serve.
        inner: The user's own lifespan: entered when the plugins are loaded, before services start.
        outer: The application that the server serves, if it is not this one.

    Raises:
        InvalidSetting: the server is reachable from other machines, and authentication is off.
        StoreError: the database cannot be opened; the message says why.
        Exception: whatever a plugin or *inner* raises.
    """
    home = binp.home
    server = _server_config()
    _check_address(home.settings, server)
    stage = plugin.Stage(cancel_timeout=home.settings.grace)
    stage.context.add(binp)
    stage.context.add(home.source(), ConfigSource)
    await home.open(stage.context, serving=True)
    try:
        await binp.app.open_door()
        async with _running(home, stage, binp.all_plugins()) as is_running:
            if not is_running:
                # the server got the signal too: it ends as soon as the startup is complete
                yield cast("T", None)
                return
            async with inner as state:
                url = _url(home.settings, server)
                presence = Presence(home, url and url + _place_in(outer, binp.app))
                home.lead()
                presence.announce()
                try:
                    yield state
                finally:
                    presence.withdraw()
                    await home.wind_down()
    finally:
        await home.close()


@contextlib.asynccontextmanager
async def _running(home: Home, stage: plugin.Stage, plugins: Sequence[Any]) -> AsyncIterator[bool]:
    """Run the plugins; yields False if a signal ended their loading, after the teardown."""
    is_loading = True

    def begin() -> None:
        home.begin_shutdown()
        if is_loading:
            stage.interrupt()

    def hurry() -> None:
        home.hurry()
        if is_loading:
            stage.cancel_now()

    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(_wrapped_signals(begin, hurry))
        try:
            await stack.enter_async_context(stage.running(*plugins))
        except plugin.LoadInterruptedError:
            yield False
            return
        is_loading = False
        yield True


def _server_config() -> Any:
    """The configuration of the server that runs us, if it can be found: uvicorn handles signals by a bound method."""
    for number in (signal.SIGTERM, signal.SIGINT):
        config = getattr(getattr(signal.getsignal(number), "__self__", None), "config", None)
        if hasattr(config, "host") and hasattr(config, "port"):
            return config
    return None


def _check_address(settings: Settings, server: Any) -> None:
    if settings.auth == "none" and server is not None and not server.uds and not is_loopback(server.host):
        # the settings may name another address than the one the server listens on
        Settings(auth="none", host=server.host).check()


def _url(settings: Settings, server: Any) -> str | None:
    if server is None:
        return url_of(settings.host, settings.port)
    if server.uds or server.fd is not None or not server.port:
        # for an inherited socket or a Unix socket, the URL is unknown
        return None
    return url_of(server.host, server.port, secure=bool(server.is_ssl))


def _place_in(outer: Any, app: Any) -> str:
    """The path at which *outer* has mounted *app*, without a trailing slash."""
    mounts = [route for route in getattr(outer, "routes", ()) if isinstance(route, Mount)]
    # a mount with middlewares keeps the application in `_base_app`
    return next((one.path for one in mounts if app in (one.app, getattr(one, "_base_app", None))), "")


@contextlib.contextmanager
def _wrapped_signals(begin: Callable[[], None], hurry: Callable[[], None]) -> Iterator[None]:
    """Call *begin* at the first INT or TERM and *hurry* at further ones, before the server's own handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def wrap(former: Any) -> Handler:
        def receive(number: int, frame: FrameType | None) -> None:
            received.append(number)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing left to shut down
                loop.call_soon_threadsafe(begin if len(received) == 1 else hurry)
            former(number, frame)

        return receive

    ours: dict[signal.Signals, tuple[Any, Handler]] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        # without a Python handler the signal keeps its effect: it ends the process, or is ignored
        if callable(former := signal.getsignal(number)):
            ours[number] = former, wrap(former)
            signal.signal(number, ours[number][1])
    try:
        yield
    finally:
        for number, (former, handler) in ours.items():
            # leave a handler alone that was installed after ours
            if signal.getsignal(number) is handler:
                signal.signal(number, former)
