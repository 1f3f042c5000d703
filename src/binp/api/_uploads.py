"""Accept uploads: a multipart form becomes the JSON that a route expects, with its files on the shelf."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote

from binp.auth import Problem, send_problem
from binp.files import MARK, UPLOAD, Draft, FilesFull, FileTooLarge, Shelf
from binp.operations import FormError, UnknownOperation
from binp.store.contract import StoreError

from ._bounds import drain
from ._multipart import BadMultipart, Head, boundary_of, read_parts
from ._platform import Platform

__all__ = ["Uploads"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: the routes that accept arguments
_ROUTE = re.compile(r"/action/(?P<a>.+)|/actions/(?P<b>.+)/(?:runs|question)|/runs/\d+/rerun")
#: maximum size in bytes of all fields that are not files
_FIELDS = 1024 * 1024
#: maximum number of list items in names of parts
_ITEMS = 1000
#: maximum number of dots in the name of a part
_DEPTH = 8

#: name of the part with arguments as JSON
_ARGUMENTS = "arguments"


class Uploads:
    """Lets the routes that accept arguments as JSON accept them as a form with files, too.

    Args:
        app: Accepts JSON in which a file is represented by the description of an upload.
        platform: Has the actions and the shelf.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], *, platform: Platform) -> None:
        self._app = app
        self._platform = platform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection."""
        kind = _type_of(scope)
        route = _ROUTE.fullmatch(_path_of(scope)) if kind is not None else None
        if kind is None or route is None:
            await self._app(scope, receive, send)
            return
        body = _Body(receive)
        form: _Form | None = None
        try:
            home = await self._platform.home.ensure()
            form = _Form(home.runs.files.shelf, self._schema(route["a"] or route["b"]))
            values = await form.read(body, boundary_of(kind))
        except (BadMultipart, FileTooLarge, FilesFull, StoreError, OSError) as error:
            if form is not None:
                form.forget()
            await body.drain()
            await send_problem(_problem(error), scope, receive, send)
            return
        except BaseException:
            if form is not None:
                form.forget()
            raise
        try:
            if route["a"] is None and route["b"] is None:
                values = {_ARGUMENTS: values}
            await self._app(*_as_json(scope, receive, values), send)
        finally:
            form.forget()

    def _schema(self, name: str | None) -> Mapping[str, Any]:
        """The schema of the action; an unknown action is left to the route."""
        if name is None:
            return {}
        try:
            return self._platform.action.find(unquote(name)).form.schema
        except (UnknownOperation, FormError):
            return {}


class _Body:
    """The body of a request while it is received."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_over = False

    async def chunks(self) -> AsyncIterator[bytes]:
        while not self._is_over:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._is_over = True
                raise BadMultipart("whoever sent it went away")
            self._is_over = not message.get("more_body", False)
            yield message.get("body", b"")

    async def drain(self) -> None:
        """Read and drop a part of the rest: a client that is still sending does not read the response."""
        if not self._is_over:
            await drain(self._receive)


class _Form:
    """Converts the parts of a form to arguments."""

    def __init__(self, shelf: Shelf, schema: Mapping[str, Any]) -> None:
        self._shelf = shelf
        self._schema = schema
        self._properties: Mapping[str, Any] = schema.get("properties", {})
        self._tokens: list[str] = []
        self._draft: Draft | None = None
        self._given: dict[str, Any] = {}
        self._fields: list[tuple[str, Any]] = []
        self._room = _FIELDS

    async def read(self, body: _Body, boundary: bytes) -> dict[str, Any]:
        """The arguments; each file becomes an upload on the shelf."""
        head, text = Head("", None, None), bytearray()
        async for event in read_parts(body.chunks(), boundary):
            if isinstance(event, Head):
                head, text = event, bytearray()
                if head.filename:
                    self._draft = self._begin(head)
            elif not isinstance(event, bytes):
                await self._end(head, bytes(text))
            elif self._draft is not None:
                await self._draft.write(event)
            else:
                self._room -= len(event)
                if self._room < 0:
                    raise FileTooLarge("what is no file", _FIELDS, where="the fields of the form together")
                text += event
        return self._arguments()

    def forget(self) -> None:
        """Remove the uploads that no run has claimed."""
        if self._draft is not None:
            self._draft.discard()
        for token in self._tokens:
            self._shelf.forget(token)

    def _begin(self, head: Head) -> Draft:
        parameter = head.name.partition(".")[0]
        most = _most(self._properties.get(parameter, {}), self._schema.get("$defs", {}))
        return self._shelf.receive(head.filename, head.type, most, f"the parameter {parameter!r} of the action")

    async def _end(self, head: Head, content: bytes) -> None:
        if self._draft is not None:
            file = await self._shelf.take(self._draft)
            self._draft = None
            self._tokens.append(file.token or "")
            self._fields.append((head.name, {MARK: file.name, UPLOAD: file.token}))
        elif head.filename is not None:
            return  # an empty file input
        elif head.name == _ARGUMENTS and _ARGUMENTS not in self._properties:
            self._given = _object(content)
        else:
            self._fields.append((head.name, content.decode("utf-8", "replace")))

    def _arguments(self) -> dict[str, Any]:
        values = dict(self._given)
        groups: dict[str, list[Any]] = {}
        for name, value in self._fields:
            groups.setdefault(name, []).append(value)
        for name, found in groups.items():
            is_list = len(found) > 1 or _is_list(self._properties.get(name, {}))
            _put(values, name.split("."), found if is_list else found[0], len(groups))
        return values


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
        # will be serialised again: detects values that are nested too deeply
        json.dumps(found)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadMultipart(f"its part {_ARGUMENTS!r} is not a JSON object")
    return found


def _put(values: Any, path: list[str], value: Any, count: int) -> None:
    """Set *value* in *values* at *path*, a path of object members and list indexes; *count* values are set in all."""
    if len(path) > _DEPTH:
        raise BadMultipart(f"the name of a part has more than {_DEPTH} dots")
    for step, following in zip(path, [*path[1:], None], strict=True):
        key: Any = int(step) if isinstance(values, list) and step.isdecimal() and len(step) < 5 else step
        if isinstance(values, list):
            # at most as many places as parts, so that a few short names cannot fill the memory
            if not isinstance(key, int) or key > min(max(len(values), count - 1), _ITEMS - 1):
                raise BadMultipart(f"there is no place {step!r} in a list")
            values += [None] * (key + 1 - len(values))
        if following is None:
            values[key] = value
            return
        inner = values[key] if isinstance(values, list) else values.get(key)
        if not isinstance(inner, dict | list):
            inner = [] if following.isdecimal() else {}
            values[key] = inner
        values = inner


def _most(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> int | None:
    """The maximum size of a file in a parameter, if its schema limits it, in bytes."""
    limits: list[int | None] = []

    def look(node: Any, depth: int) -> None:
        if depth > 10 or not isinstance(node, dict | list):
            return
        if isinstance(node, dict):
            if node.get("format") == "binary":
                limits.append(node.get("x-max-bytes"))
            look(definitions.get(str(node.get("$ref", "")).rpartition("/")[2]), depth + 1)
        for inner in node.values() if isinstance(node, dict) else node:
            look(inner, depth + 1)

    look(schema, 0)
    known = [limit for limit in limits if limit is not None]
    return max(known) if known and len(known) == len(limits) else None


def _is_list(schema: Mapping[str, Any]) -> bool:
    choices = [schema, *schema.get("anyOf", ())]
    return any(one.get("type") == "array" for one in choices) and not any(
        one.get("type") == "string" for one in choices
    )


def _type_of(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] != "POST":
        return None
    found = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
    text = str(found.decode("latin-1"))
    return text if text.partition(";")[0].strip().lower() == "multipart/form-data" else None


def _path_of(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _as_json(scope: Scope, receive: Receive, values: Any) -> tuple[Scope, Receive]:
    body = json.dumps(values).encode()
    kept = [(name, value) for name, value in scope["headers"] if name not in (b"content-type", b"content-length")]
    made = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    is_sent = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return {**scope, "headers": [*kept, *made]}, replay


def _problem(error: BadMultipart | FileTooLarge | FilesFull | StoreError | OSError) -> Problem:
    if isinstance(error, OSError):
        what = f"a file could not be kept: {error.strerror or error}"
        return Problem(status=507, code="unavailable", detail=what, fix="look at the disk of the server")
    if isinstance(error, StoreError):
        return Problem(status=503, code="unavailable", detail=error.what, fix=error.fix)
    if isinstance(error, BadMultipart):
        return Problem(status=400, code="bad-multipart", detail=error.what, fix=error.fix)
    return Problem(status=413, code="too-large", detail=error.what, fix=error.fix, extra={"where": error.where})
