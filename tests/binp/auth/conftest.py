"""A door in front of two tiny applications, and a way to knock at it without a server."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from binp.auth import Access, Door, Zone
from buvar.secret import Secret

TOKEN = "t" * 43


@dataclass
class Clock:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Answer:
    """What came back: of HTTP status, headers and body, of a WebSocket the code it was closed with."""

    #: which application was reached
    reached: str | None
    #: what it was reached with
    scope: dict[str, Any]
    messages: list[Any] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def close_code(self) -> int:
        assert [message["type"] for message in self.messages] == ["websocket.close"]
        return int(self.messages[0]["code"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages)

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        found: dict[str, Any] = json.loads(self.body)
        assert set(found) >= {"type", "title", "status", "detail", "fix"}
        assert found["status"] == self.status
        return found


Ask = Callable[..., Awaitable[Answer]]


class House:
    """A door with the platform and the user's application behind it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.used: set[str] = set()
        self.access = Access(token=Secret(TOKEN), once=self.once, clock=self.clock)
        self.reached: str | None = None
        self.door = Door(self.choose, access=self.get_access, lifespan=self.app("lifespan"))

    async def once(self, key: str) -> bool:
        if key in self.used:
            return False
        self.used.add(key)
        return True

    async def get_access(self) -> Access:
        return self.access

    def choose(self, scope: Any) -> tuple[Zone, Any]:
        if scope["path"].startswith("/internal"):
            return Zone.PROTECTED, self.app("platform")
        return Zone.USER, self.app("user")

    def app(self, name: str) -> Any:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            self.reached = name
            if scope["type"] == "websocket":
                await send({"type": "websocket.accept"})
            elif scope["type"] == "http":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await send({"type": "http.response.body", "body": b"hello"})

        return answer

    async def ask(
        self,
        method: str = "GET",
        path: str = "/internal/actions/",
        *,
        headers: Any = (),
        through: Any = None,
        **scope: Any,
    ) -> Answer:
        """Knock with a scope as a server makes it; a Host is added unless one is given."""
        given = list(dict(headers).items() if isinstance(headers, dict) else headers)
        if not any(name == "host" for name, _ in given):
            given.insert(0, ("host", "127.0.0.1:8000"))
        full = {
            "type": "websocket" if method == "WS" else "http",
            "scheme": "ws" if method == "WS" else "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in given if value is not None],
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 55555),
            **scope,
        }
        if method == "WS":
            del full["method"]
        answer = Answer(None, full)

        async def send(message: Any) -> None:
            answer.messages.append(message)

        async def receive() -> Any:
            return {"type": f"{full['type']}.connect" if method == "WS" else "http.request"}

        self.reached = None
        await (through or self.door)(full, receive, send)
        answer.reached = self.reached
        return answer

    async def naive(self, scope: Any, receive: Any, send: Any) -> None:
        """A door that lets everybody through."""
        await self.choose(scope)[1](scope, receive, send)


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def token() -> str:
    """The token of the house."""
    return TOKEN


@pytest.fixture
def bearer(token: str) -> dict[str, str]:
    """Headers of a program that knows the token."""
    return {"authorization": f"Bearer {token}"}
