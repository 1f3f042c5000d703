"""Whatever goes wrong, the answer is the one JSON shape."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from binp.store.contract import StoreClosed


async def test_no_such_route(served: Any) -> None:
    """N-04: what is not there, and a method that is not known, are problems with a detail as before."""
    missing = await served.http.get("/internal/nothing")
    method = await served.http.delete("/internal/actions/")

    assert (missing.status_code, missing.json()["detail"]) == (404, "Not Found")
    assert missing.json()["fix"] == "there is no such route: GET /internal/docs shows all of them"
    assert method.json()["fix"] == "use GET"
    assert (method.status_code, method.json()["title"]) == (405, "Method Not Allowed")
    assert method.headers["content-type"] == "application/problem+json"
    assert "GET" in method.headers["allow"]


async def test_no_form(served: Any) -> None:
    """ACT-06: an action of which no form can be made says which parameter, and what to write instead."""

    @served.binp.action(name="odd")
    async def odd(loop: asyncio.AbstractEventLoop) -> None:
        pass

    for answer in (await served.http.get("/internal/actions/odd"), await served.http.post("/internal/action/odd")):
        told = answer.json()
        assert answer.status_code == 500
        assert "parameter 'loop'" in told["detail"]
        assert told["fix"].startswith("write loop: Inject[...]")
        assert "test_problems.py" in told["where"]


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (ZeroDivisionError("secret"), 500, "the platform failed: ZeroDivisionError"),
        (StoreClosed("the store is closed"), 503, "the store is closed"),
    ],
)
async def test_failure_of_the_platform(
    served: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, detail: str
) -> None:
    """N-04: a failure inside of the platform is a problem too, and shows no more than its kind."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(type(served.binp.home.store), "find_runs", fail)

    answer = await served.http.get("/internal/runs")

    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("GET", "runs/1/records?limti=5", "query.limti: is not known; did you mean 'limit'?"),
        ("GET", "kv/keys?prefx=a", "query.prefx: is not known; did you mean 'prefix'?"),
        ("GET", "runs?stat=failed", "query.stat: is not known; did you mean 'state'?"),
        ("DELETE", "kv/value?key=k&nmespace=n", "query.nmespace: is not known; did you mean 'namespace'?"),
        ("GET", "services/?x=", "query.x: is not known; known: none"),
        (
            "GET",
            "health?limit=1&page=2",
            "query.limit: is not known; known: none; query.page: is not known; known: none",
        ),
        ("POST", "action/say?text=hello", "query.text: is not known; known: none"),
        ("POST", "actions/say/runs?text=hello", "query.text: is not known; known: none"),
        ("GET", "events?topic=run", "query.topic: is not known; did you mean 'topics'?"),
    ],
)
async def test_a_parameter_that_is_misspelt(served: Any, method: str, path: str, text: str) -> None:
    """N-04: what a query has that the route does not take is refused with what was meant, and nothing is done."""
    called = []

    @served.binp.action(name="say")
    async def say(text: str = "") -> None:
        called.append(text)

    answer = await served.http.request(method, f"/internal/{path}")

    assert (answer.status_code, answer.json()["type"]) == (422, "urn:binp:invalid-request")
    assert answer.json()["detail"] == text
    assert called == []


async def test_a_parameter_of_somebody_else(served: Any) -> None:
    """The pages about the routes, and the user's own routes, take whatever they take."""

    @served.binp.app.get("/mine")
    async def mine() -> str:
        return "mine"

    for path in ("/mine?x=1", "/internal/docs?x=1", "/internal/openapi.json?x=1"):
        assert (await served.http.get(path)).status_code == 200, path
