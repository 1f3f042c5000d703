"""How much of a body is taken, by whatever route it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from binp.store.contract import RunQuery

JSON = {"content-type": "application/json"}
#: a plain call goes the short way; the other ways are those of the routes
PATHS = {
    "direct": ("POST", "/internal/action/length"),
    "route": ("POST", "/internal/actions/length/runs"),
    "odd": ("POST", "/internal/action/length?x=1&key=2"),
    "key": ("PUT", "/internal/kv/value?namespace=default&key=k"),
}


@pytest.fixture
def length(served: Any, binp: Any) -> None:
    """An action that takes a text; requests may have 1,000 bytes."""

    @binp.action(name="length")
    async def length(text: str) -> int:
        return len(text)

    binp.home.settings.__dict__["body"] = "1 kB"


def body_of(size: int) -> bytes:
    """A JSON object of *size* bytes."""
    empty = json.dumps({"text": ""}).encode()
    return json.dumps({"text": "x" * (size - len(empty))}).encode()


async def ask(served: Any, way: str, body: bytes, *, is_told: bool) -> Any:
    """The answer; *is_told* says in a header how long the body is."""
    method, path = PATHS[way]

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    async with asyncio.timeout(60):
        return await served.http.request(method, path, content=body if is_told else parts(), headers=JSON)


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("way", ["direct", "route", "odd", "key"])
async def test_too_large(served: Any, length: None, way: str, is_told: bool) -> None:
    """A body above the limit is refused with 413, where the limit is set, and how it goes; nothing is started."""
    answer = await ask(served, way, body_of(1001), is_told=is_told)

    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert answer.json() == {
        "type": "urn:binp:too-large",
        "title": answer.json()["title"],
        "status": 413,
        "detail": "the body has more than 1000 bytes, which is the most that is taken",
        "fix": "send what is large as a file, or raise the limit",
        "where": "[binp] body or BINP_BODY",
    }
    assert (await served.binp.home.store.find_runs(RunQuery())).runs == ()


@pytest.mark.parametrize("is_told", [True, False])
async def test_just_fits(served: Any, length: None, is_told: bool) -> None:
    """A body as large as the limit is taken, by the short way and by a route."""
    answer = await ask(served, "direct", body_of(1000), is_told=is_told)
    assert (answer.status_code, answer.json()["result"]) == (200, 1000 - len(b'{"text": ""}'))
    assert (await ask(served, "route", body_of(1000), is_told=is_told)).status_code == 202


@pytest.mark.parametrize("said", ["5", "9" * 5000, "-1", "many"])
async def test_what_is_said_is_not_believed(served: Any, length: None, said: str) -> None:
    """A length that is not a number, or beside which the body comes in chunks, lets no more in."""
    headers = {**JSON, "content-length": said, "transfer-encoding": "chunked"}
    body = body_of(100_000)
    async with asyncio.timeout(60):
        answer = await served.http.request("POST", "/internal/action/length", content=body, headers=headers)
    assert answer.status_code == 413


async def test_a_file_is_no_body(served: Any, binp: Any, length: None) -> None:
    """What goes to disk has limits of its own; fields of a form likewise."""
    answer = await served.http.post(
        "/internal/action/length", data={"text": "x" * 500}, files={"other": ("x.txt", b"x" * 5000)}
    )
    # there is no such parameter
    assert answer.status_code == 422
