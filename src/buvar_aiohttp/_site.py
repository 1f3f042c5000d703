"""Serve a unix socket that exists already."""

from __future__ import annotations

import asyncio
import socket
import ssl

from aiohttp.web import BaseRunner, BaseSite


class UnixSockSite(BaseSite):
    """Like `aiohttp.web.SockSite`, for a unix socket; the one of aiohttp asks the loop for a TCP server."""

    __slots__ = ("_sock",)

    def __init__(
        self,
        runner: BaseRunner,
        sock: socket.socket,
        *,
        ssl_context: ssl.SSLContext | None = None,
        backlog: int = 128,
    ) -> None:
        super().__init__(runner, ssl_context=ssl_context, backlog=backlog)
        self._sock = sock

    @property
    def name(self) -> str:
        """How it is called in logs."""
        scheme = "https" if self._ssl_context else "http"
        return f"{scheme}://unix:{self._sock.getsockname()}:"

    async def start(self) -> None:
        """Accept connections."""
        await super().start()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner is not set up")
        self._server = await asyncio.get_running_loop().create_unix_server(
            server, sock=self._sock, ssl=self._ssl_context, backlog=self._backlog
        )
