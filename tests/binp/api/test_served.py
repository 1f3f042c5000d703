"""The platform behind a real server: what a socket sees."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from websockets.asyncio.client import connect

from binp.auth import make_ticket


class Server(uvicorn.Server):
    """A server that leaves signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
async def address(served: Any) -> AsyncIterator[str]:
    """Host and port of a served BINP."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    config = uvicorn.Config(
        served.binp.app, lifespan="off", log_config=None, ws="websockets-sansio", timeout_graceful_shutdown=5
    )
    server = Server(config)
    running = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    served.binp.home.ring.close()
    server.should_exit = True
    async with asyncio.timeout(60):
        await running


async def raw(address: str, request: str) -> str:
    """The first line of the answer to a request that is sent as it stands here."""
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.replace("\n", "\r\n").encode("latin-1"))
    line = (await reader.readline()).decode()
    writer.close()
    await writer.wait_closed()
    return line.strip()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/internal/actions/", 401),
        ("/internal/%61ctions/", 401),
        ("/%69nternal/actions/", 401),
        ("/internal%2Factions/", 401),
        ("/internal/../internal/actions/", 401),
        ("/internal/%2e%2e/internal/actions/", 401),
        ("/internal;x/actions/", 404),
        ("//internal/actions/", 404),
        ("/INTERNAL/actions/", 404),
        ("/x/../internal/actions/", 404),
        ("/%2e/internal/actions/", 404),
        ("/%2finternal/actions/", 404),
        ("/internal%00/actions/", 404),
        ("/internal%5Cactions/", 404),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_path_tricks(address: str, method: str, path: str, status: int) -> None:
    """Decision 15: however a path is written, a stranger reaches nothing of the platform (N-18)."""
    line = await raw(address, f"{method} {path} HTTP/1.1\nHost: {address}\nContent-Length: 0\nConnection: close\n\n")

    assert line.split()[1] == str(status)


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("http://localhost/internal/actions/", "Host: evil.example\n", 421),
        ("/docs", "Host: localhost\nHost: evil.example\n", 421),
        ("/docs", "", 421),
    ],
)
async def test_host_tricks(address: str, target: str, headers: str, status: int) -> None:
    """Decision 15: whatever the request line says, the Host decides, and there is one."""
    version = "1.1" if headers else "1.0"

    line = await raw(address, f"GET {target} HTTP/{version}\n{headers}Connection: close\n\n")

    assert line.split()[1] in {str(status), "400"}


async def test_login(served: Any, address: str, caplog: pytest.LogCaptureFixture) -> None:
    """N-18: a browser that opens the link is logged in; neither ticket nor token are in the server's log."""
    token = served.headers["authorization"].removeprefix("Bearer ")
    ticket = make_ticket(token)
    caplog.set_level(logging.INFO)

    async with httpx.AsyncClient(base_url=f"http://{address}", follow_redirects=True) as browser:
        page = await browser.get("/", params={"ticket": ticket}, headers={"accept": "text/html"})
        actions = await browser.get("/internal/actions/")
        used = await browser.get("/", params={"ticket": ticket}, headers={"cookie": ""})

    assert (page.status_code, page.url.path, page.url.query) == (200, "/static/index.html", b"")
    assert (actions.status_code, used.status_code) == (200, 401)
    # the client logs as well, what it likes
    log = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert any('"GET / HTTP/1.1" 303' in line for line in log)
    assert not [line for line in log if ticket in line or token in line]


async def test_refused_socket(address: str) -> None:
    """Decision 15: a WebSocket is refused before it is accepted, which a client sees as 403 (N-18)."""
    with pytest.raises(websockets.InvalidStatus) as caught:
        async with connect(f"ws://{address}/internal/journals/updates"):
            pass

    assert caught.value.response.status_code == 403


async def test_gone_sockets_leave_nothing(served: Any, address: str, until: Any) -> None:
    """API-08: 25 sockets that came and went leave nothing, without any event (N-11)."""
    ring = served.binp.home.ring
    for _ in range(25):
        async with connect(f"ws://{address}/internal/journals/updates", additional_headers=served.headers):
            pass
    async with connect(f"ws://{address}/internal/journals/updates", additional_headers=served.headers):
        await until(lambda: ring.waiting == 1)
    await until(lambda: not ring.waiting)


async def test_gone_stream_leaves_nothing(served: Any, address: str, until: Any) -> None:
    """A stream whose client is gone ends at once, without any event (N-11)."""
    ring = served.binp.home.ring
    async with httpx.AsyncClient(base_url=f"http://{address}", headers=served.headers) as client:
        async with client.stream("GET", "/internal/events") as stream:
            parts = stream.aiter_text()
            assert (await anext(parts)).startswith("retry: 1000\n\n")
            await until(lambda: ring.waiting == 1)
    await until(lambda: not ring.waiting)


async def test_shutdown_ends_streams_and_sockets(served: Any, address: str) -> None:
    """At shutdown a stream ends cleanly and a socket is closed with 1012, at once (N-11)."""
    async with (
        httpx.AsyncClient(base_url=f"http://{address}", headers=served.headers) as client,
        client.stream("GET", "/internal/events") as stream,
        connect(f"ws://{address}/internal/services/updates", additional_headers=served.headers) as ws,
    ):
        text = stream.aiter_text()
        await anext(text)

        served.binp.home.ring.close()

        async with asyncio.timeout(60):
            assert [part async for part in text][-1].endswith("retry: 1000\n\n")
            with pytest.raises(websockets.ConnectionClosedError) as caught:
                await ws.recv()
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1012
