"""Serve the console's files, or a placeholder page if it was not built."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from binp.auth import Problem, send_problem

__all__ = ["Console"]

_BUILT = Path(__file__).parent.parent / "console"

_PLACEHOLDER = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>BINP</title>
<meta name="viewport" content="width=device-width,initial-scale=1">
<h1>BINP</h1>
<p>This installation has no console.</p>
<ul><li><a href="../internal/docs">The platform: actions, runs, services</a></li>
<li><a href="../docs">The application's own routes</a></li></ul>
</html>
"""
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

#: files below this folder have a hash of their content in their name
_HASHED = "assets/"
#: smaller bodies are not worth compressing, in bytes
_COMPRESSED_FROM = 512


class Console:
    """An ASGI application for ``/`` and ``/static/...``.

    The files are read at the first request and kept in memory, compressed: together they are smaller than a photograph.

    Args:
        folder: The built console, with an ``index.html``; without it, a page with links is served instead.
    """

    def __init__(self, folder: Path = _BUILT) -> None:
        self._folder = folder
        self._files: dict[str, _File] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for ``scope["console_path"]``, the path below the root of the application."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            problem = Problem(status=405, code="refused", detail="the console is read with GET")
            await send_problem(problem, scope, receive, send)
            return
        path = scope["console_path"]
        if path == "/":
            # relative, so that it works behind a proxy that serves it under a prefix
            await _answer(scope, send, 302, [(b"location", b"static/index.html#/"), (b"cache-control", b"no-store")])
            return
        if self._files is None:
            self._files = await asyncio.to_thread(_read, self._folder)
        name = path.removeprefix("/static").lstrip("/") or "index.html"
        file = self._files.get(name)
        if file is None:
            problem = Problem(status=404, code="not-found", detail=f"the console has no file {path!r}")
            await send_problem(problem, scope, receive, send)
            return
        await file(scope, send)


@dataclass(frozen=True, slots=True)
class _File:
    """A file, ready to be sent."""

    body: bytes
    #: None if compression does not make it smaller
    compressed: bytes | None
    headers: list[tuple[bytes, bytes]]
    etag: bytes

    async def __call__(self, scope: Scope, send: Send) -> None:
        headers = self.headers
        if _header(scope, b"if-none-match") == self.etag:
            await _answer(scope, send, 304, headers)
            return
        body = self.body
        if self.compressed is not None and b"gzip" in _header(scope, b"accept-encoding"):
            body = self.compressed
            headers = [*headers, (b"content-encoding", b"gzip")]
        await _answer(scope, send, 200, headers, body)


def _read(folder: Path) -> dict[str, _File]:
    """All files of *folder* by name; other names are never looked up on disk."""
    if not (folder / "index.html").is_file():
        return {"index.html": _file("index.html", _PLACEHOLDER.encode())}
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {(name := path.relative_to(folder).as_posix()): _file(name, path.read_bytes()) for path in files}


def _file(name: str, body: bytes) -> _File:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if name.endswith(".webmanifest"):
        kind = "application/manifest+json"
    is_text = kind.startswith("text/") or kind.endswith(("javascript", "json", "+xml", "+json"))
    compressed = gzip.compress(body, 9, mtime=0) if is_text and len(body) >= _COMPRESSED_FROM else None
    if name == "index.html":
        # it refers to all other files, and is only for people who are logged in
        caching = b"no-store"
    elif name.startswith(_HASHED):
        caching = b"private, max-age=31536000, immutable"
    else:
        caching = b"private, no-cache"
    etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'.encode()
    content_type = f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
    headers = [
        (b"content-type", content_type.encode()),
        (b"cache-control", caching),
        (b"etag", etag),
        (b"vary", b"accept-encoding"),
        (b"content-security-policy", _CSP.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    return _File(body, compressed, headers, etag)


def _header(scope: Scope, name: bytes) -> bytes:
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")


async def _answer(scope: Scope, send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    start: dict[str, Any] = {"type": "http.response.start", "status": status}
    if status != 304:
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
