"""The application: the door outermost, the user's routes first, the platform beside them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

from binp import BINP
from binp.app._application import Application
from buvar import context

HOST = "http://127.0.0.1:8000"


@pytest.fixture
async def http(binp: BINP) -> AsyncIterator[httpx.AsyncClient]:
    """A client without credentials."""
    transport = httpx.ASGITransport(binp.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=HOST) as client:
        yield client


@pytest.fixture
async def bearer(http: httpx.AsyncClient, db: str) -> dict[str, str]:
    """Headers with the token, which the first connection makes."""
    await http.get("/")
    return {"authorization": "Bearer " + Path(db.removeprefix("sqlite:///") + ".token").read_text()}


async def knock(app: Any, path: str, **scope: Any) -> list[dict[str, Any]]:
    """Everything that *app* sends to a connection of that path, which reaches it as it stands here."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": f"{scope.get('type', 'http')}.connect"}

    full = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 5),
        **scope,
    }
    await app(full, receive, send)
    return sent


async def test_titles(http: httpx.AsyncClient, bearer: Any) -> None:
    """API-12: the user's API and the platform's have documentation of their own, both titled BINP."""
    own = (await http.get("/openapi.json")).json()
    platform = (await http.get("/internal/openapi.json", headers=bearer)).json()

    assert (own["info"]["title"], platform["info"]["title"]) == ("BINP", "BINP")
    assert own["paths"] == {}
    assert [(await http.get(path)).status_code for path in ("/docs", "/redoc")] == [200, 200]
    assert (await http.get("/internal/docs")).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/internal",
        "/internal/",
        "/internal/actions/",
        "/internal//actions/",
        "/internal/../internal/actions/",
        "/internal/./actions/",
        "/internal/x/../actions/",
        "/internal/actions/\\",
        "/static/../internal/actions/",
        "/static/x",
        "/static",
        "/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PROPFIND"])
async def test_protected(binp: BINP, path: str, method: str) -> None:
    """Decision 15: what belongs to the platform is denied to strangers by default (N-18)."""
    sent = await knock(binp.app, path, method=method)

    assert sent[0]["status"] == 401


@pytest.mark.parametrize(
    "path",
    [
        "//internal/actions/",
        "/INTERNAL/actions/",
        "/Internal/actions/",
        "internal/actions/",
        "/x/../internal/actions/",
        "/./internal/actions/",
        "/%2e/internal/actions/",
        "/%69nternal/actions/",
        "/internal%2Factions/",
        "/internal\\actions/",
        "/internal\0/actions/",
        "/internalx/actions/",
        "\\internal\\actions",
        "",
        "*",
    ],
)
@pytest.mark.parametrize("credentials", [True, False])
async def test_no_way_around(binp: BINP, bearer: Any, path: str, credentials: bool) -> None:
    """Decision 15: a path that is not the platform's by its letters reaches nothing of it, by whatever trick."""
    headers = [(b"host", b"localhost")]
    if credentials:
        headers.append((b"authorization", bearer["authorization"].encode()))

    sent = await knock(binp.app, path, headers=headers)

    assert sent[0]["status"] == 404


async def test_no_way_around_by_root_path(binp: BINP) -> None:
    """Decision 15: behind a prefix the platform is where the prefix says, and as closed."""
    for path in ("/prefix/internal/actions/", "/internal/actions/"):
        sent = await knock(binp.app, path, root_path="/prefix")
        assert sent[0]["status"] == 401


async def test_behind_a_prefix(binp: BINP, bearer: Any) -> None:
    """API-12: behind a prefix the documentation finds its schema."""
    headers = [(b"host", b"localhost"), (b"authorization", bearer["authorization"].encode())]

    sent = await knock(binp.app, "/prefix/internal/docs", root_path="/prefix", headers=headers)

    assert b"/prefix/internal/openapi.json" in sent[1]["body"]


@pytest.mark.parametrize(
    "path", ["/internal/journals/updates", "/internal/services/updates", "/internal/nothing", "/static/x"]
)
async def test_sockets_are_protected(binp: BINP, path: str) -> None:
    """Decision 15: the door is in front of WebSockets too."""
    sent = await knock(binp.app, path, type="websocket", subprotocols=[])

    assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


async def test_foreign_host(http: httpx.AsyncClient, binp: BINP) -> None:
    """Decision 15: the Host check covers the user's own routes, their documentation and what is not there."""
    binp.app.get("/mine")(lambda: "mine")

    for path in ("/mine", "/docs", "/nothing", "/", "/internal/actions/"):
        assert (await http.get(path, headers={"host": "evil.example"})).status_code == 421


async def test_middlewares_see_the_users_part_alone(http: httpx.AsyncClient, binp: BINP) -> None:
    """Decision 15: the user's middlewares, CORS included, open nothing of the platform."""
    seen: list[str] = []

    @binp.app.middleware("http")
    async def note(request: Any, call_next: Any) -> Any:
        seen.append(request.url.path)
        return await call_next(request)

    binp.app.add_middleware(
        CORSMiddleware, allow_origins=["https://friend.example"], allow_credentials=True, allow_methods=["*"]
    )
    binp.app.get("/mine")(lambda: "mine")
    # from the first connection on no middleware can be added
    await http.get("/")
    token = Path(binp.home.store.url.removeprefix("sqlite:///") + ".token").read_text()
    headers = {"authorization": f"Bearer {token}", "origin": "https://friend.example"}

    mine = await http.get("/mine", headers=headers)
    platform = await http.get("/internal/actions/", headers=headers)
    change = await http.post("/internal/action/x", headers=headers)

    assert seen == ["/mine"]
    assert mine.headers["access-control-allow-origin"] == "https://friend.example"
    assert platform.status_code == 200
    assert "access-control-allow-origin" not in platform.headers
    assert change.status_code == 403


# -- the user's routes win -------------------------------------------------------------------------------------------


async def test_users_root_and_static_win(http: httpx.AsyncClient, binp: BINP) -> None:
    """API-11: a route of the user wins over the console; what it does not cover stays the console's (N-20)."""
    binp.app.get("/")(lambda: "root")
    binp.app.get("/static/mine")(lambda: "file")

    assert (await http.get("/")).json() == "root"
    assert (await http.post("/")).status_code == 405
    assert (await http.get("/static/mine")).json() == "file"
    assert (await http.get("/static/index.html")).status_code == 401


async def test_users_mount_wins(http: httpx.AsyncClient, binp: BINP, bearer: Any) -> None:
    """API-11: an application of the user that is mounted at the root has all but the platform (N-20)."""
    binp.app.router.routes.append(Mount("/", app=PlainTextResponse("mounted")))

    assert (await http.get("/")).text == "mounted"
    assert (await http.get("/static/x")).text == "mounted"
    assert (await http.get("/internal/actions/")).status_code == 401
    assert (await http.get("/internal/actions/", headers=bearer)).json() == []


async def test_users_literal_route_under_internal_wins(http: httpx.AsyncClient, binp: BINP) -> None:
    """API-12: a route of the user defined under /internal wins; one for any path does not take the platform (N-20)."""
    router = APIRouter(prefix="/internal")
    router.get("/health")(lambda: "fine")
    binp.app.include_router(router)
    binp.app.get("/internal/item/{number}")(lambda number: number)
    binp.app.get("/{section}/actions/")(lambda section: section)
    binp.app.get("/{rest:path}")(lambda rest: rest)

    assert (await http.get("/internal/health")).json() == "fine"
    assert (await http.get("/internal/item/7")).json() == "7"
    assert (await http.get("/internal/actions/")).status_code == 401
    assert (await http.get("/elsewhere/actions/")).json() == "elsewhere"


async def test_route_with_another_method_is_the_platforms(http: httpx.AsyncClient, binp: BINP, bearer: Any) -> None:
    """API-12: under /internal the user has just the method that was defined (N-20)."""
    binp.app.post("/internal/actions/")(lambda: "mine")

    assert (await http.get("/internal/actions/", headers=bearer)).json() == []
    assert (await http.post("/internal/actions/")).json() == "mine"


async def test_socket_of_the_user(binp: BINP) -> None:
    """BNP-02: the user's WebSockets are the user's."""

    @binp.app.websocket("/ws")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hi")
        await websocket.close()

    sent = await knock(binp.app, "/ws", type="websocket", subprotocols=[])

    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send", "websocket.close"]


async def test_route_that_is_added_late(http: httpx.AsyncClient, binp: BINP) -> None:
    """BNP-02: routes may be added while the application is served."""
    assert (await http.get("/late")).status_code == 404

    binp.app.get("/late")(lambda: "late")

    assert (await http.get("/late")).json() == "late"


async def test_context(http: httpx.AsyncClient, binp: BINP) -> None:
    """The user's routes see the components of their BINP, whoever serves it."""
    outside = context.current_context()

    @binp.app.get("/components")
    async def components() -> bool:
        return context.current_context() is binp.home.components

    assert (await http.get("/components")).json() is True
    assert context.current_context() is outside


async def test_is_a_fastapi(binp: BINP) -> None:
    """BNP-02: the application is a FastAPI, so that everything made for one works with it."""
    assert isinstance(binp.app, FastAPI)
    assert binp.app is binp.app


async def test_lifespan(db: str) -> None:
    """An application alone keeps its home open around the user's own lifespan."""
    seen: list[bool] = []
    binp = BINP(db=db)

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, int]]:
        seen.append(binp.home.is_open)
        yield {"number": 7}
        seen.append(binp.home.is_open)

    app = Application(binp, lifespan=lifespan)
    messages: asyncio.Queue[Any] = asyncio.Queue()
    sent: asyncio.Queue[Any] = asyncio.Queue()
    scope: dict[str, Any] = {"type": "lifespan", "state": {}}
    running = asyncio.ensure_future(app(scope, messages.get, sent.put))

    messages.put_nowait({"type": "lifespan.startup"})
    assert (await sent.get())["type"] == "lifespan.startup.complete"
    assert (binp.home.is_serving, scope["state"]) == (True, {"number": 7})
    messages.put_nowait({"type": "lifespan.shutdown"})
    assert (await sent.get())["type"] == "lifespan.shutdown.complete"
    await running

    assert seen == [True, True]
    assert not binp.home.is_open


async def test_takes_the_routes_of_another(http: httpx.AsyncClient, binp: BINP) -> None:
    """Routes of an included application are served, also those that it gets later, and its documentation is not."""
    other = Application(BINP())
    other.get("/early")(lambda: "early")

    binp.app.take_routes(other)
    other.get("/late")(lambda: "late")

    assert [(await http.get(path)).json() for path in ("/early", "/late")] == ["early", "late"]
    assert sorted((await http.get("/openapi.json")).json()["paths"]) == ["/early", "/late"]
