"""The settings of the server, and how it listens and ends."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import logging
import os
import socket
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from buvar import config, context, fork
from buvar.names import resolve_dotted_name

from ._errors import AioHttpConfigError, require
from ._requests import PATIENCE, hurry

if TYPE_CHECKING:
    import aiohttp.web

    from buvar.plugin import Cancel


def _to_socket(value: Any) -> Any:
    """A shared socket by its URI; a socket is returned unchanged."""
    if value is None or isinstance(value, socket.socket):
        return value
    return context.get(fork.Socket, name=str(fork.Uri.parse(value)))


def _to_ssl_context(value: Any) -> Any:
    """An SSL context from a PEM file with certificate and key; a context is returned unchanged."""
    if value is None or isinstance(value, ssl.SSLContext):
        return value
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(value)
    return made


@dataclasses.dataclass
class AioHttpConfig(config.Config, section="aiohttp"):
    """Where and how the server listens; loaded from the section ``aiohttp``.

    A shared socket (see `buvar.fork.stage`) with the same address is used instead of a new one. With no address at all,
    all shared sockets are served.
    """

    #: address or name; None for all interfaces, if there is a port
    host: str | None = None
    port: int | None = None
    #: file of a Unix socket, instead of host and port
    path: str | None = None
    #: a bound socket, instead of all these; in a file, the URI of a shared one
    sock: socket.socket | None = config.var(None, converter=_to_socket)  # noqa: RUF009 - declares a field, is no shared value
    #: seconds for requests to end when the server shuts down
    shutdown_timeout: float = 60.0
    #: serve TLS; in a file, the path of a PEM file with certificate and key
    ssl_context: ssl.SSLContext | None = config.var(None, converter=_to_ssl_context)  # noqa: RUF009 - declares a field, is no shared value
    #: length of the accept queue
    backlog: int = 128
    #: let aiohttp handle signals; normally the stage does
    handle_signals: bool = False
    #: a logger or its dotted name; False for none, None for that of aiohttp
    access_log: str | bool | logging.Logger | None = config.var(None, converter=lambda value: value)  # noqa: RUF009 - declares a field, is no shared value

    def runner(self, app: aiohttp.web.Application) -> aiohttp.web.AppRunner:
        """A runner of *app* with these settings."""
        require()
        from ._runner import Runner  # needs aiohttp, which may be missing

        options: dict[str, Any] = {}
        if isinstance(self.access_log, str):
            options["access_log"] = resolve_dotted_name(self.access_log)
        elif self.access_log is False:
            options["access_log"] = None
        elif isinstance(self.access_log, logging.Logger):
            options["access_log"] = self.access_log
        return Runner(app, handle_signals=self.handle_signals, shutdown_timeout=self.shutdown_timeout, **options)

    def site(self, runner: aiohttp.web.BaseRunner) -> aiohttp.web.BaseSite:
        """The site on which *runner*, which is set up, listens; the first one if there are several.

        Raises:
            AioHttpConfigError: no address is configured and no socket is shared; a `ValueError`.
        """
        return self.sites(runner)[0]

    def sites(self, runner: aiohttp.web.BaseRunner) -> list[aiohttp.web.BaseSite]:
        """All sites on which *runner*, which is set up, listens.

        Raises:
            AioHttpConfigError: no address is configured and no socket is shared; a `ValueError`.
        """
        require()
        import aiohttp.web

        sockets = self._sockets()
        if sockets:
            return [
                aiohttp.web.SockSite(runner, sock, ssl_context=self.ssl_context, backlog=self.backlog)
                for sock in sockets
            ]
        if self.path is not None:
            return [aiohttp.web.UnixSite(runner, self.path, ssl_context=self.ssl_context, backlog=self.backlog)]
        if self.host is not None or self.port is not None:
            return [
                aiohttp.web.TCPSite(runner, self.host, self.port, ssl_context=self.ssl_context, backlog=self.backlog)
            ]
        raise AioHttpConfigError

    def _sockets(self) -> list[socket.socket]:
        """The existing sockets for the configured address."""
        if self.sock is not None:
            return [self.sock]
        shared = {name: sock for name, sock in context.find(fork.Socket).items() if isinstance(name, str)}
        if self.path is not None:
            wanted = [fork.Uri("unix", path=self.path)]
        elif self.host is not None or self.port is not None:
            wanted = [fork.Uri.tcp(self.host, self.port)]
            if self.host is None:
                wanted.append(fork.Uri.tcp("::", self.port))
        else:
            return list(dict.fromkeys(shared.values()))
        return list(dict.fromkeys(shared[str(uri)] for uri in wanted if str(uri) in shared))

    def _shared(self) -> list[fork.Socket]:
        return [sock for sock in self._sockets() if isinstance(sock, fork.Socket)]

    async def run(
        self,
        app: aiohttp.web.Application,
        *,
        runner: aiohttp.web.AppRunner | None = None,
        cancel: Cancel | None = None,
        booting: contextlib.AbstractContextManager[Any] | None = None,
    ) -> None:
        """Serve *app* until *cancel* is set or the caller is cancelled; then wait for requests and clean up.

        Args:
            app: The application.
            runner: Runs it; by default one is created.
            cancel: Ends it.
            booting: Entered while the server starts.

        Raises:
            AioHttpConfigError: no address is configured and no socket is shared; a `ValueError`.
            OSError: the address cannot be used.
        """
        runner = self.runner(app) if runner is None else runner
        try:
            with booting or contextlib.nullcontext():
                await runner.setup()
                for site in self.sites(runner):
                    await _start(site)
                for sock in self._shared():
                    # an event loop that calls listen again must not shorten the accept queue that all processes share
                    sock.listen(max(self.backlog, sock.backlog))
            await (asyncio.get_running_loop().create_future() if cancel is None else cancel.wait())
        except Exception:
            # it begins the shutdown, which may hurry this; what went wrong is raised all the same
            with contextlib.suppress(asyncio.CancelledError):
                await _end(runner, self._shared())
            raise
        except BaseException:
            hurry(app)
            await _end(runner, self._shared())
            raise
        await _end(runner, self._shared())


async def _start(site: aiohttp.web.BaseSite) -> None:
    try:
        await site.start()
    except OSError as error:
        _explain(error, site)
        raise
    except AttributeError as error:
        if error.name != "getsockname" or error.obj is not None:
            raise
        # if two processes bind an address at the same time, only one can listen on it; uvloop does not report that, but
        # returns a server without a socket, which aiohttp does not expect
        taken = OSError(errno.EADDRINUSE, f"{os.strerror(errno.EADDRINUSE)}: {site.name}")
        _explain(taken, site)
        raise taken from error


def _explain(error: OSError, site: aiohttp.web.BaseSite) -> None:
    here = context.get(fork.Fork, default=None)
    if error.errno == errno.EADDRINUSE and here is not None and here.is_child:
        shared = ", ".join(sorted(map(str, set(context.find(fork.Socket).values())))) or "none"
        error.add_note(f"each worker tried to bind {site.name} for itself; shared sockets are: {shared}")


async def _end(runner: aiohttp.web.AppRunner, shared: Iterable[fork.Socket]) -> None:
    """Shut the server down; if that is cancelled, cancel the requests."""
    ending = asyncio.get_running_loop().create_task(_clean(runner, shared), name="buvar_aiohttp: shutdown")
    try:
        # aiohttp cannot handle a cancellation during its clean-up
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        hurry(runner.app)
        await asyncio.wait({ending}, timeout=PATIENCE)
        ending.cancel()
        raise


def _own(runner: aiohttp.web.AppRunner) -> list[Any]:
    """The sockets that *runner* has created for its sites; aiohttp only exposes their addresses."""
    servers = [getattr(site, "_server", None) for site in runner.sites]
    return [sock for server in servers if server is not None for sock in getattr(server, "sockets", ())]


async def _clean(runner: aiohttp.web.AppRunner, shared: Iterable[fork.Socket]) -> None:
    try:
        await fork.stop_accepting([*shared, *_own(runner)])
    finally:
        await runner.cleanup()
