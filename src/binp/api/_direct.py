"""The short way to an invoked action: what FastAPI finds out anew for each request is known here."""

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
    """What a request asks for."""

    name: str
    arguments: dict[str, Any] | None
    key: str | None


class Direct:
    """A middleware that calls :func:`invoke_action` for a plain request, and leaves all others to the routes.

    Plain is a POST to the route of that function with a JSON object or without a body, and without a query. It is
    answered as by the route, which is why whatever is unusual, or wrong before the function would be called, goes
    there: the route describes itself, and has all the words for what is wrong.

    Args:
        app: What is inside: the routes.
        owner: The application, by whose handlers exceptions are answered.
    """

    def __init__(self, app: ASGIApp, owner: FastAPI) -> None:
        self._app = app
        handlers = {kind: handle for kind, handle in owner.exception_handlers.items() if kind not in (500, Exception)}
        self._answering = ExceptionMiddleware(_answer, handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
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
    """The name of the action that is invoked; None if that is not what is asked for."""
    if scope["type"] != "http" or scope["method"] != "POST" or scope["query_string"]:
        return None
    path: str = scope["path"]
    prefix = scope.get("root_path", "") + _ACTION
    # a path with a line break is matched by no route
    return path[len(prefix) :] if path.startswith(prefix) and "\n" not in path else None


@dataclass(frozen=True, slots=True)
class _Headers:
    """What matters here of the headers."""

    is_json: bool
    key: str | None


def _plain_headers(headers: Iterable[tuple[bytes, bytes]]) -> _Headers | None:
    """What matters of *headers*; None if it takes more to understand them."""
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
    """The messages that bring the body, and the body; None if the client went away."""
    message = await receive()
    heard = [message]
    while message["type"] == "http.request" and message.get("more_body", False):
        message = await receive()
        heard.append(message)
    if message["type"] != "http.request":
        return heard, None
    return heard, b"".join(one.get("body", b"") for one in heard)


#: stands for a body that is not a JSON object
_ODD: Any = object()


def _arguments_of(body: bytes | None, *, is_json: bool) -> Any:
    """The arguments that *body* holds, None if it is empty; ``_ODD`` if that is not for here to say."""
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
    """Receive what was *heard* already, and then what comes."""
    left = iter(heard)

    async def repeated() -> Message:
        for message in left:
            return message
        return await receive()

    return repeated
