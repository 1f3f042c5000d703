"""``Inject[...]`` in whatever FastAPI reads."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, HTTPException, WebSocket
from fastapi.responses import StreamingResponse

from binp import BINP, Inject
from buvar import di

LOG: list[str] = []


class Db:
    """Something that is opened and closed."""


class Cache:
    """Something that needs it."""

    def __init__(self, db: Db) -> None:
        self.db = db


class Missing:
    """Something that nobody provides."""


async def open_db() -> AsyncIterator[Db]:
    LOG.append("open")
    try:
        yield Db()
    except BaseException as error:
        LOG.append(type(error).__name__)
        raise
    finally:
        LOG.append("close")


@pytest.fixture
async def http(binp: BINP) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that has something to inject."""
    LOG.clear()
    token = di.buvar_adapters.set(di.Adapters())
    di.buvar_adapters.get().register(open_db, scope="scope")
    di.buvar_adapters.get().register(Cache)
    transport = httpx.ASGITransport(binp.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    di.buvar_adapters.reset(token)


async def test_async_route(binp: BINP, http: Any) -> None:
    """Routes have injected parameters: supplied, hidden from the API, closed when the response is done."""

    @binp.app.post("/a")
    async def route(x: int, db: Inject[Db], cache: Inject[Cache]) -> list[Any]:
        LOG.append("body")
        return [x, cache.db is db]

    assert (await http.post("/a", params={"x": 1})).json() == [1, True]
    assert LOG == ["open", "body", "close"]
    operation = (await http.get("/openapi.json")).json()["paths"]["/a"]["post"]
    assert [parameter["name"] for parameter in operation["parameters"]] == ["x"]
    assert "requestBody" not in operation


async def test_sync_route(binp: BINP, http: Any) -> None:
    """A sync route runs in a thread, and what is injected is made on the loop."""

    @binp.app.get("/a")
    def route(db: Inject[Db]) -> list[Any]:
        return [type(db).__name__, threading.current_thread() is threading.main_thread()]

    assert (await http.get("/a")).json() == ["Db", False]
    assert LOG == ["open", "close"]


async def test_router(binp: BINP, http: Any) -> None:
    """An APIRouter of FastAPI's own may have such routes, wherever it is included."""
    inner, outer = APIRouter(), APIRouter(prefix="/outer")

    @inner.get("/a")
    async def route(db: Inject[Db]) -> str:
        return type(db).__name__

    outer.include_router(inner, prefix="/inner")
    binp.app.include_router(outer)

    assert (await http.get("/outer/inner/a")).json() == "Db"


async def test_dependencies(binp: BINP, http: Any) -> None:
    """Dependencies have injected parameters too, share them with the route, and can be replaced."""

    async def who(db: Inject[Db]) -> Db:
        return db

    def deeper(cache: Inject[Cache], found: Any = Depends(who)) -> bool:  # noqa: B008 - FastAPI's way to say it
        return cache.db is found

    async def check(db: Inject[Db]) -> None:
        LOG.append("checked")

    @binp.app.get("/a", dependencies=[Depends(check)])
    async def route(db: Inject[Db], same: Any = Depends(deeper), found: Any = Depends(who)) -> list[bool]:  # noqa: B008 - FastAPI's way to say it
        return [same, found is db]

    assert (await http.get("/a")).json() == [True, True]
    assert LOG == ["open", "checked", "close"]
    binp.app.dependency_overrides[who] = lambda: "other"
    assert (await http.get("/a")).json() == [False, False]


async def test_default(binp: BINP, http: Any) -> None:
    """A parameter with a default gets it where nothing is found; one without is an error of the server."""

    @binp.app.get("/a")
    async def optional(one: Inject[Missing] | None = None) -> bool:
        return one is None

    @binp.app.get("/b")
    async def required(one: Inject[Missing]) -> None:
        pass

    assert (await http.get("/a")).json() is True
    assert (await http.get("/b")).status_code == 500


async def test_failing_route(binp: BINP, http: Any) -> None:
    """What was injected sees how the route failed, and is closed."""

    @binp.app.get("/a")
    async def route(db: Inject[Db]) -> None:
        raise HTTPException(418)

    @binp.app.get("/b")
    async def broken(db: Inject[Db]) -> None:
        raise ValueError

    assert (await http.get("/a")).status_code == 418
    assert (await http.get("/b")).status_code == 500
    assert LOG == ["open", "HTTPException", "close", "open", "ValueError", "close"]


async def test_streaming(binp: BINP, http: Any) -> None:
    """What was injected stays open until the last part of a response was sent."""

    @binp.app.get("/a")
    async def route(db: Inject[Db]) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"1"
            LOG.append("streaming")
            yield b"2"

        return StreamingResponse(parts())

    assert (await http.get("/a")).text == "12"
    assert LOG == ["open", "streaming", "close"]


async def test_with_middlewares(binp: BINP, http: Any) -> None:
    """What was injected is closed in the task that opened it, also under a middleware that runs routes in another."""

    @binp.app.middleware("http")
    async def pass_on(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    @binp.app.get("/a")
    async def route(db: Inject[Db]) -> str:
        return type(db).__name__

    assert (await http.get("/a")).json() == "Db"
    assert LOG == ["open", "close"]


async def test_journaled_route(binp: BINP, http: Any) -> None:
    """JRN-01: a journaled function is a route, its injected parameters included."""

    @binp.app.post("/a")
    @binp.journal
    async def route(x: int, db: Inject[Db]) -> list[Any]:
        return [x, type(db).__name__]

    assert (await http.post("/a", params={"x": 1})).json() == [1, "Db"]
    assert LOG == ["open", "close"]


async def test_socket(binp: BINP, http: Any) -> None:
    """A WebSocket has injected parameters, open as long as it lives."""

    @binp.app.websocket("/ws")
    async def route(websocket: WebSocket, db: Inject[Db]) -> None:
        await websocket.accept()
        LOG.append(type(db).__name__)
        await websocket.close()

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        LOG.append(message["type"])

    scope = {"type": "websocket", "path": "/ws", "headers": [(b"host", b"localhost")], "query_string": b""}
    await binp.app({**scope, "root_path": "", "scheme": "ws", "subprotocols": []}, receive, send)

    assert LOG == ["open", "websocket.accept", "Db", "websocket.close", "close"]


async def test_other_parameters_are_left_alone(binp: BINP, http: Any) -> None:
    """FastAPI's own parameters mean what they always did."""

    @binp.app.post("/a/{path}")
    async def route(path: int, body: dict[str, int], query: Annotated[str, Depends(lambda: "q")] = "x") -> list[Any]:
        return [path, body, query]

    assert (await http.post("/a/1", json={"k": 2})).json() == [1, {"k": 2}, "q"]


def test_router_from_before(run_python: Any) -> None:
    """In a router from before the application no client can send what is injected; what nobody can send is refused."""
    printed = run_python("""
import asyncio, httpx
from fastapi import APIRouter
from fastapi.exceptions import FastAPIError
from pydantic import BaseModel
from binp import BINP, Inject
from buvar import di

class Limits(BaseModel):
    top: int = 1

class Db:
    pass

router = APIRouter()

@router.post("/a")
async def a(limits: Inject[Limits]) -> int:
    return limits.top

try:
    @router.post("/b")
    async def b(db: Inject[Db]) -> None:
        pass
except FastAPIError:
    print("refused")

binp = BINP(db="sqlite:///data.db")
binp.app.include_router(router)
di.register(Limits)

async def main():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(binp.app), base_url="http://localhost") as client:
        print((await client.post("/a", json={"top": 1000})).json())

asyncio.run(main())
""")
    assert printed.split() == ["refused", "1"]
