"""CORS headers for the pages of development servers."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from ._origin import header
from ._problem import Scope, Send

__all__ = ["preflight", "with_cors"]

_METHODS = b"GET, HEAD, POST, PUT, PATCH, DELETE"


async def preflight(scope: Scope, send: Send, origin: str) -> None:
    """Answer a preflight request: allow *origin* everything that it asks for."""
    wanted = header(scope, b"access-control-request-headers") or ""
    headers = [
        *_allow(origin),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-max-age", b"600"),
        (b"content-length", b"0"),
    ]
    if wanted:
        headers.append((b"access-control-allow-headers", wanted.encode("latin-1")))
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def with_cors(send: Send, origin: str) -> Send:
    """Let *origin* read the responses, including those to requests with cookies."""

    async def wrapped(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_allow(origin)]}
        await send(message)

    return wrapped


def _allow(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
        (b"vary", b"Origin"),
    ]
