"""A served BINP, and connections to it without a server: plain requests, streams, WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from binp import BINP

HOST = "127.0.0.1:8000"


class Connection:
    """One connection, as a server would make it: what the application sends is read from ``sent``."""

    def __init__(self, app: Any, path: str, query: str = "", *, kind: str, headers: dict[str, str]) -> None:
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        #: the message with status and headers
        self.start: dict[str, Any] = {}
        #: cleared: nobody reads what is sent
        self.reads = asyncio.Event()
        self.reads.set()
        self._received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._received.put_nowait({"type": "websocket.connect" if kind == "websocket" else "http.request"})
        scope = {
            "type": kind,
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "ws" if kind == "websocket" else "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in {"host": HOST, **headers}.items()],
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 55555),
            "subprotocols": [],
        }
        if kind == "websocket":
            del scope["method"]
        self.task = asyncio.create_task(app(scope, self._received.get, self._send))

    async def _send(self, message: Any) -> None:
        await self.reads.wait()
        self.sent.put_nowait(message)

    async def next(self, timeout: float = 60.0) -> dict[str, Any]:
        """The next message; fails when there is none in time."""
        async with asyncio.timeout(timeout):
            return await self.sent.get()

    async def text(self) -> str:
        """The text of the next frame of a WebSocket, or of the next part of a stream."""
        message = await self.next()
        return str(message["text"]) if "text" in message else message["body"].decode()

    async def leave(self) -> None:
        """The client goes away; returns when the application has ended."""
        kind = "websocket.disconnect" if self.is_socket else "http.disconnect"
        self._received.put_nowait({"type": kind, "code": 1001})
        async with asyncio.timeout(60):
            await self.task

    is_socket = False


class Served:
    """A BINP that is served."""

    def __init__(self, binp: BINP, token: str) -> None:
        self.binp = binp
        self.headers = {"authorization": f"Bearer {token}"}
        self.open: list[Connection] = []
        transport = httpx.ASGITransport(binp.app, raise_app_exceptions=False)
        self.http = httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}", headers=self.headers)

    async def stream(self, query: str = "", *, through: Any = None, **headers: str) -> Connection:
        """An event stream whose first message was read."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        made = Connection(
            through or self.binp.app, "/internal/events", query, kind="http", headers={**self.headers, **headers}
        )
        self.open.append(made)
        made.start = await made.next()
        return made

    async def socket(self, path: str) -> Connection:
        """A WebSocket that was accepted."""
        made = Connection(self.binp.app, path, kind="websocket", headers=self.headers)
        made.is_socket = True
        self.open.append(made)
        assert (await made.next())["type"] == "websocket.accept"
        return made

    async def ended(self, run: int) -> dict[str, Any]:
        """A run once it has ended."""
        async with asyncio.timeout(60):
            while (found := (await self.http.get(f"/internal/runs/{run}")).json())["ended_at"] is None:
                await asyncio.sleep(0.01)
        return dict(found)

    async def close(self) -> None:
        """End what is still open."""
        await self.http.aclose()
        for connection in self.open:
            connection.task.cancel()
        if self.open:
            await asyncio.wait([connection.task for connection in self.open])


@pytest.fixture
async def served(binp: BINP, db: str) -> AsyncIterator[Served]:
    """A BINP whose services run, behind its door."""
    await binp.home.open(serving=True)
    binp.home.lead()
    # the first connection makes the token
    async with httpx.AsyncClient(transport=httpx.ASGITransport(binp.app), base_url=f"http://{HOST}") as stranger:
        assert (await stranger.get("/internal/actions/")).status_code == 401
    token = Path(db.removeprefix("sqlite:///") + ".token").read_text()
    made = Served(binp, token)
    yield made
    await made.close()
