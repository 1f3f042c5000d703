"""A fast path to invoke an action, without FastAPI's work for each request."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._actions import invoke_action
from ._once import KEY_LIMIT
from ._platform import platform_of, trigger_of

__all__ = ["Direct"]

_ACTION = "/action/"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A parsed request."""

    name: str
    arguments: dict[str, Any] | None
    key: str | None


class Direct:
    """A middleware that calls :func:`invoke_action` for plain requests, and passes all others on to the routes.

    A plain request is a POST to the route of that function, with a JSON object or no body, and without a query. The
    response is the same as from the route. Anything unusual, or invalid before the function would be called, goes to
    the route, which has all the error messages.

    Args:
        app: The inner application: the routes.
        owner: The application whose exception handlers are used.
    """

    def __init__(self, app: ASGIApp, owner: FastAPI) -> None:
        self._app = app
        handlers = {kind: handle for kind, handle in owner.exception_handlers.items() if kind not in (500, Exception)}
        self._answering = ExceptionMiddleware(_answer, handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond, or pass the request on."""
        name = _name_of(scope)
        headers = None if name is None else _plain_headers(scope["headers"])
        if name is None or headers is None:
            await self._app(scope, receive, send)
            return
        heard, body = await _read(receive)
        arguments = _arguments_of(body, is_json=headers.is_json)
        if arguments is _ODD:
            await self._app(scope, _repeat(heard, receive), send)
            return
        scope["binp.asked"] = _Asked(name, arguments, headers.key)
        await self._answering(scope, receive, send)


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    connection = HTTPConnection(scope)
    platform = platform_of(connection)
    asked: _Asked = scope["binp.asked"]
    home = await platform.home.ensure()
    response = await invoke_action(
        platform, home, trigger_of(connection), asked.name, arguments=asked.arguments, key=asked.key
    )
    await response(scope, receive, send)


def _name_of(scope: Scope) -> str | None:
    """The name of the action to invoke; None for any other request."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
        return None
    path: str = scope["path"]
    prefix = scope.get("root_path", "") + _ACTION
    # a path with a line break matches no route
    return path[len(prefix) :] if path.startswith(prefix) and "\n" not in path else None


@dataclass(frozen=True, slots=True)
class _Headers:
    """The relevant headers."""

    is_json: bool
    key: str | None


def _plain_headers(headers: Iterable[tuple[bytes, bytes]]) -> _Headers | None:
    """The relevant headers; None if they are too unusual for the fast path."""
    kind = key = None
    for name, value in headers:
        if name == b"content-type":
            if kind is not None:
                return None
            kind = value
        elif name == b"idempotency-key":
            if key is not None or len(value) > KEY_LIMIT:
                return None
            key = value.decode("latin-1")
    is_json = kind is not None and kind.partition(b";")[0].strip().lower() == b"application/json"
    return _Headers(is_json, key)


async def _read(receive: Receive) -> tuple[list[Message], bytes | None]:
    """The messages with the body, and the body; None if the client disconnected."""
    message = await receive()
    heard = [message]
    while message["type"] == "http.request" and message.get("more_body", False):
        message = await receive()
        heard.append(message)
    if message["type"] != "http.request":
        return heard, None
    return heard, b"".join(one.get("body", b"") for one in heard)


#: means that the body is not a JSON object
_ODD: Any = object()


def _arguments_of(body: bytes | None, *, is_json: bool) -> Any:
    """The arguments in *body*, None if it is empty; ``_ODD`` if it has to be handled by the route."""
    if body == b"":
        return None
    if body is None or not is_json:
        return _ODD
    try:
        arguments = json.loads(body)
    except (ValueError, RecursionError):
        return _ODD
    return arguments if isinstance(arguments, dict) else _ODD


def _repeat(heard: list[Message], receive: Receive) -> Receive:
    """Receive the messages *heard* again, and then new ones."""
    left = iter(heard)

    async def repeated() -> Message:
        for message in left:
            return message
        return await receive()

    return repeated
