"""The short way to an invoked action, beside the route that it stands for."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from pydantic import AfterValidator

from binp.api import create_app
from binp.store.contract import RunQuery

JSON = "application/json"
BODIES: list[bytes] = [
    b"",
    b"{}",
    b'{"x": 4}',
    b'{"x": "4"}',
    b'{"x": 4, "x": 5}',
    b'{"x": 12345678901234567890123}',
    b'{"x": null}',
    b'{"x": "four", "y": 1}',
    b'{"X": 4}',
    b'{"\\ud800": 4}',
    '{"\u00fc": 4}'.encode(),
    b'{"x": NaN}',
    b'{"x": 4',
    b'{"x": 4} 5',
    b"\xff\xfe{}",
    b'{"x": "\xff"}',
    b'\xef\xbb\xbf{"x": 4}',
    '{"x": 4}'.encode("utf-16"),
    b"[]",
    b"[" * 100_000,
    b"null",
    b"5",
    b'"x"',
    b" ",
    b"x=4",
]
KINDS: list[str | None] = [
    None,
    "",
    JSON,
    "Application/JSON; charset=utf-8",
    "application/json;q",
    " application/json",
    "application/json, application/json",
    "application/problem+json",
    "application/x-www-form-urlencoded",
    "multipart/mixed",
    "json",
]
PATHS = [
    "double",
    "echo",
    "broken",
    "silent",
    "sync",
    "a%2Fb%20c",
    "a/b c",
    "nothing",
    "",
    "double/",
    "double%0A",
    "double%0A/question",
    "double?x=4",
]
#: what differs between any two requests
OWN = ("run", "duration")


def refuse(value: str) -> str:
    """Raise what a validator is not to raise."""
    if value == "lost":
        raise KeyError
    raise RuntimeError(value)


@pytest.fixture
def apps(binp: Any) -> tuple[FastAPI, FastAPI]:
    """The platform's application as it is, and with the routes alone."""

    @binp.action(name="double")
    async def double(x: int = 1) -> int:
        return 2 * x

    @binp.action(name="echo")
    async def echo(x: Any = None) -> Any:
        return {"x": x, "text": "\ud800 \u00fc", "huge": 2**70}

    @binp.action(name="broken")
    async def broken(x: Any = None) -> None:
        raise ValueError("no luck")

    @binp.action(name="silent")
    @binp.journal
    async def silent(x: Any = None) -> None:
        raise KeyError

    @binp.action(name="sync")
    def sync(x: float = 0.5) -> float:
        return x

    @binp.action(name="odd")
    async def odd(x: Annotated[str, AfterValidator(refuse)]) -> None:
        pass

    @binp.action(name="a/b c")
    async def slash() -> None:
        pass

    whole, routes = create_app(binp), create_app(binp)
    routes.user_middleware.clear()
    return whole, routes


async def ask(app: Any, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> tuple[Any, ...]:
    """Status, headers and body of an answer, but for what differs between any two."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        answer = await client.request(method, f"/action/{path}", headers=headers, content=body)
    told = {name: value for name, value in answer.headers.items() if name != "content-length"}
    assert method == "HEAD" or answer.headers.get("content-length") == str(len(answer.content))
    if not answer.content or "json" not in answer.headers.get("content-type", ""):
        return answer.status_code, told, answer.content
    found = {name: value for name, value in answer.json().items() if name not in OWN}
    if "fix" in found and found["fix"]:
        found["fix"] = found["fix"].translate(dict.fromkeys(range(48, 58)))
    return answer.status_code, told, json.dumps(found)


async def check(apps: tuple[FastAPI, FastAPI], *request: Any) -> None:
    """Both answer *request* alike."""
    assert await ask(apps[0], *request) == await ask(apps[1], *request), request


async def test_answers_as_the_route(binp: Any, apps: Any) -> None:
    """API-02: what is answered without FastAPI is what the route of FastAPI answers, whatever is sent."""
    for kind, body in itertools.product(KINDS, BODIES):
        headers = [] if kind is None else [("content-type", kind)]
        await check(apps, "POST", "double", headers, body)
    for path, body in itertools.product(PATHS, (b"", b'{"x": 4}', b'{"x": "\\u00fc"}', b"[]")):
        await check(apps, "POST", path, [("content-type", JSON)], body)
    for method in ("GET", "HEAD", "PUT", "OPTIONS", "DELETE"):
        await check(apps, method, "double", [("content-type", JSON)], b"{}")
    await check(apps, "POST", "double", [("content-type", JSON), ("content-type", "text/plain")], b"{}")
    await check(apps, "POST", "double", [("content-type", "text/plain"), ("content-type", JSON)], b"{}")


async def test_keys_as_the_route(binp: Any, apps: Any) -> None:
    """API-02: a key means the same both ways, and what was started one way is found the other way."""
    keys = ["a", "", "\u00fc", "b" * 200, "b" * 201, " ", "a, b"]
    for number, key in enumerate(keys):
        for body in (b'{"x": 1}', b'{"x": 1}', b'{"x": 2}'):
            headers = [("content-type", JSON), ("idempotency-key", key.encode("latin-1"))]
            answers = [await ask(app, "POST", "double", headers, body) for app in apps[:: 1 if number % 2 else -1]]
            assert answers[0] == answers[1], (key, body)
    headers = [("idempotency-key", "one"), ("idempotency-key", "two")]
    await check(apps, "POST", "double", headers, b"")
    page = await binp.home.store.find_runs(RunQuery(limit=100))
    assert len(page.runs) == len(keys)


@pytest.mark.parametrize("way", [0, 1])
async def test_body_in_parts(apps: Any, way: int) -> None:
    """API-02: a body may come in any number of parts; of one that does not come to its end nothing is started."""

    async def run(*messages: dict[str, Any]) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []
        left = iter(messages)

        async def receive() -> dict[str, Any]:
            return next(left, {"type": "http.disconnect"})

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/action/double",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
        }
        await apps[way](scope, receive, send)
        return sent

    part = {"type": "http.request", "more_body": True}
    whole = await run(part | {"body": b'{"x"'}, part, part | {"body": b": 4}", "more_body": False})
    odd = await run(part | {"body": b'["x"'}, part | {"body": b"]", "more_body": False})
    left = await run(part | {"body": b'{"x": 4}'})
    gone = await run()

    assert json.loads(whole[1]["body"])["result"] == 8
    assert [one[0]["status"] for one in (whole, odd, left, gone)] == [200, 422, 400, 400]
    assert json.loads(odd[1]["body"])["type"] == "urn:binp:invalid-request"


async def test_middleware_around(binp: Any, apps: Any) -> None:
    """API-02: middlewares and handlers that are added to the application see what goes the short way."""
    app = apps[0]
    seen: list[str] = []

    @app.middleware("http")
    async def watch(request: Request, call_next: Any) -> Any:
        seen.append(request.url.path)
        return await call_next(request)

    @app.exception_handler(LookupError)
    async def handle(request: Request, error: Exception) -> Any:
        return PlainTextResponse("handled")

    status, _, body = await ask(app, "POST", "odd", [("content-type", JSON)], b'{"x": "lost"}')

    assert (status, body, seen) == (200, b"handled", ["/action/odd"])


async def test_unexpected_error(binp: Any, apps: Any) -> None:
    """API-02: an error of the platform itself is answered both ways alike, and raised to the server, which logs it."""
    answers = [await ask(app, "POST", "odd", [("content-type", JSON)], b'{"x": "secret"}') for app in apps]

    assert answers[0] == answers[1]
    assert answers[0][0] == 500
    assert "secret" not in answers[0][2]
    for app in apps:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000") as client:
            with pytest.raises(RuntimeError):
                await client.post("/action/odd", json={"x": "secret"})


async def test_mounted_somewhere(binp: Any, apps: Any) -> None:
    """API-02: the short way is found wherever the application is mounted."""
    outer = FastAPI()
    outer.mount("/deep/down", apps[0])
    outer.mount("/routes", apps[1])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(outer), base_url="http://127.0.0.1:8000") as client:
        answers = [
            await client.post(f"{place}/action/{name}", json={})
            for place in ("/deep/down", "/routes", "/deep", "/deep/down/action", "/deep/downaction")
            for name in ("double", "none")
        ]

    assert [answer.status_code for answer in answers] == [200, 404, 200, 404, 404, 404, 404, 404, 404, 404]


async def test_goes_on_without_client(binp: Any, apps: Any) -> None:
    """API-02: a client that goes away does not end the run."""
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @binp.action(name="long")
    async def long() -> None:
        begun.set()
        await may_end.wait()
        ended.set()

    for app in apps:
        asking = asyncio.create_task(ask(app, "POST", "long", [], b""))
        async with asyncio.timeout(60):
            await begun.wait()
            asking.cancel()
            await asyncio.wait([asking])
            may_end.set()
            await ended.wait()
        for event in (begun, may_end, ended):
            event.clear()
