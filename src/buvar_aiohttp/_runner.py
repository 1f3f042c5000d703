"""A runner that answers every accepted request before aiohttp closes its connections."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

import aiohttp.web

from ._requests import PATIENCE, asked, hurry

#: Polling interval while connections are drained, in seconds.
_LOOK: Final = 0.01
#: Upper bound for the iterations of the loop between accepting a connection and reporting it.
_TURNS: Final = 8
#: Seconds for a connection that was accepted just before the end to send its first request, so that no accepted client
#: is turned away, even on a very busy machine.
_LINGER: Final = 1.0


class Runner(aiohttp.web.AppRunner):
    """Runs an application, and drains its connections before aiohttp closes them.

    Once aiohttp closes a connection, it drops all data that arrives on it: the rest of a body that a handler waits for,
    or the first request of a connection that was accepted just before. Both would stay unanswered until the time-out.

    Args:
        app: The application.
        shutdown_timeout: Seconds for requests to end.
        options: As for `aiohttp.web.AppRunner`.
    """

    def __init__(self, app: aiohttp.web.Application, *, shutdown_timeout: float, **options: Any) -> None:
        # for aiohttp itself only cancelled requests are left
        super().__init__(app, shutdown_timeout=PATIENCE, **options)
        self._within = shutdown_timeout
        self._is_ending = self._is_shut_down = self._is_drained = False

    async def setup(self) -> None:
        """Create the server."""
        if not self.app.frozen:
            self.app.on_response_prepare.append(self._say_goodbye)
        await super().setup()

    async def shutdown(self) -> None:
        """Send the application's `on_shutdown` signal, once."""
        if not self._is_shut_down:
            self._is_shut_down = True
            await super().shutdown()

    async def cleanup(self) -> None:
        """Stop to listen, wait until all requests are answered, and end the application.

        Raises:
            Exception: a handler of the application's `on_shutdown` or `on_cleanup` failed; the rest is done all the
                same.
        """
        try:
            for site in self.sites:
                await site.stop()
            if not self._is_drained:
                await self._drain()
        finally:
            await super().cleanup()

    async def _drain(self) -> None:
        """Wait until all requests are answered, and close idle connections; cancel requests that take too long."""
        if self.server is None:
            return
        self._is_ending = self._is_drained = True
        begun = asyncio.get_running_loop().time()
        try:
            # applications close here what does not end by itself, such as websockets
            await self.shutdown()
        except Exception:
            await self._answer(self.server, begun)
            raise
        await self._answer(self.server, begun)

    async def _answer(self, server: aiohttp.web.Server, begun: float) -> None:
        loop = asyncio.get_running_loop()
        # the loop may have accepted connections that it has not reported yet
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        while server.connections and loop.time() < begun + max(self._within, _LINGER):
            known = asked(self.app) if loop.time() < begun + _LINGER else None
            for connection in server.connections:
                if _is_waiting(connection) and (known is None or id(connection) in known):
                    connection.force_close()
            await asyncio.sleep(_LOOK)
        hurry(self.app)

    async def _say_goodbye(self, _request: aiohttp.web.Request, response: aiohttp.web.StreamResponse) -> None:
        if self._is_ending and response.status != HTTPStatus.SWITCHING_PROTOCOLS:
            response.force_close()
            response.headers["Connection"] = "close"


def _is_waiting(connection: Any) -> bool:
    """Whether a connection is idle: it neither answers a request nor is about to."""
    # there is no other way to know; if aiohttp renames it, no connection counts as idle any more: those that are kept
    # alive are closed, and the server ends, only when the time for requests is over
    waiter = getattr(connection, "_waiter", None)
    return waiter is not None and not waiter.done()
