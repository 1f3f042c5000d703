"""The lifespan of the application under a server that is not ours: open, lead, and shut down by the list."""

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
    """Keep *binp* served: its plugins loaded, its services running where they are led, until the server shuts down.

    The handlers that the server installed for INT and TERM are wrapped, so that streams end and runs begin to drain
    before the server waits for its connections. One that comes while plugins are loaded ends their loading; the server
    is let start, and ends.

    Args:
        binp: What is served.
        inner: The user's own lifespan: entered when the plugins are loaded, before services start.
        outer: The application that the server serves, where that is another one.

    Raises:
        InvalidSetting: the server can be reached from other machines, and nobody is asked who he is.
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
                # the server has heard the signal too: it ends as soon as it is told that we have started
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
    """Have the plugins run; false where a signal ended their loading, after the teardown."""
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
    """What the server that runs us was told, where that can be found: uvicorn handles signals by a bound method."""
    for number in (signal.SIGTERM, signal.SIGINT):
        config = getattr(getattr(signal.getsignal(number), "__self__", None), "config", None)
        if hasattr(config, "host") and hasattr(config, "port"):
            return config
    return None


def _check_address(settings: Settings, server: Any) -> None:
    if settings.auth == "none" and server is not None and not server.uds and not is_loopback(server.host):
        # the settings tell what would be listened on here, and the server knows better
        Settings(auth="none", host=server.host).check()


def _url(settings: Settings, server: Any) -> str | None:
    if server is None:
        return url_of(settings.host, settings.port)
    if server.uds or server.fd is not None or not server.port:
        # a socket that was inherited, or is in a file, says nothing of how it is reached
        return None
    return url_of(server.host, server.port, secure=bool(server.is_ssl))


def _place_in(outer: Any, app: Any) -> str:
    """The path at which *outer* has *app* mounted, without a slash at the end."""
    mounts = [route for route in getattr(outer, "routes", ()) if isinstance(route, Mount)]
    # one that has middlewares keeps what is inside of them apart
    return next((one.path for one in mounts if app in (one.app, getattr(one, "_base_app", None))), "")


@contextlib.contextmanager
def _wrapped_signals(begin: Callable[[], None], hurry: Callable[[], None]) -> Iterator[None]:
    """Call *begin* at the first INT or TERM, *hurry* at others, before the server's own handlers are called."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    received: list[int] = []

    def wrap(former: Any) -> Handler:
        def receive(number: int, frame: FrameType | None) -> None:
            received.append(number)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nothing is left to shut down
                loop.call_soon_threadsafe(begin if len(received) == 1 else hurry)
            former(number, frame)

        return receive

    ours: dict[signal.Signals, tuple[Any, Handler]] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        # a signal that nobody handles ends the process, or is ignored, as before
        if callable(former := signal.getsignal(number)):
            ours[number] = former, wrap(former)
            signal.signal(number, ours[number][1])
    try:
        yield
    finally:
        for number, (former, handler) in ours.items():
            # whoever put another handler there meanwhile keeps it
            if signal.getsignal(number) is handler:
                signal.signal(number, former)
