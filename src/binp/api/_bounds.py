"""Limit the size of request bodies that are read into memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from binp.auth import Problem, send_problem

from ._platform import Platform

__all__ = ["BodyTooLarge", "Bounds", "drain", "too_large"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: maximum number of bytes to read of a refused body: a client that is still sending does not read the response
_DRAINED = 64 * 1024 * 1024


class BodyTooLarge(HTTPException):
    """A body is too large; an HTTPException, which a route passes on while it reads the body.

    Attributes:
        limit: The maximum size, in bytes.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body has more than {limit} bytes, which is the most that is taken")
        self.limit = limit


def too_large(error: BodyTooLarge) -> Problem:
    """The response for *error*."""
    return Problem(
        status=413,
        code="too-large",
        detail=error.detail,
        fix="send what is large as a file, or raise the limit",
        extra={"where": "[binp] body or BINP_BODY"},
    )


class Bounds:
    """Refuses bodies larger than the settings allow: at once if the length is declared, otherwise while reading.

    Args:
        app: The application, which reads bodies into memory.
        platform: Has the settings.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], *, platform: Platform) -> None:
        self._app = app
        self._platform = platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length = _length_of(scope["headers"])
        limit = self._platform.home.settings.body_bytes
        if length is not None and length <= limit:
            # the server enforces the declared length
            await self._app(scope, receive, send)
            return
        try:
            if length is not None:
                await drain(receive)
                raise BodyTooLarge(limit)
            await self._app(scope, _Counted(receive, limit), send)
        except BodyTooLarge as error:
            # raised while the body was read, so there was no response yet
            await send_problem(too_large(error), scope, receive, send)


class _Counted:
    """Receives a body, up to a limit."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._left = limit

    async def __call__(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            if message.get("more_body", False):
                await drain(self._receive)
            raise BodyTooLarge(self._limit)
        return message


async def drain(receive: Receive) -> None:
    """Read and drop a limited part of the rest of the body."""
    left = _DRAINED
    while left >= 0:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            return
        left -= len(message.get("body", b""))


def _length_of(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The declared length of the body; None if there is none, or if Transfer-Encoding overrides it."""
    length = None
    for name, value in headers:
        if name == b"content-length":
            # a number with that many digits is too large in any case
            length = int(value[:20]) if value.isdigit() else None
        elif name == b"transfer-encoding":
            return None
    return length
