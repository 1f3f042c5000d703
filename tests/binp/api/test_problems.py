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
