"""The console's files, or a page in their place where it was not built."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
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
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:"
)


class Console:
    """An ASGI application for ``/`` and ``/static/...``.

    Args:
        folder: The built console, with an ``index.html``; where there is none, a page with links stands in.
    """

    def __init__(self, folder: Path = _BUILT) -> None:
        self._files: StaticFiles | None = None
        if (folder / "index.html").is_file():
            self._files = StaticFiles(directory=folder, html=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for ``scope["console_path"]``: the path below the root of the application."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            problem = Problem(status=405, code="refused", detail="the console is read with GET")
            await send_problem(problem, scope, receive, send)
            return
        path = scope["console_path"]
        try:
            response = await self._respond(path, scope)
        except HTTPException as error:
            problem = Problem(status=error.status_code, code="not-found", detail=f"the console has no file {path!r}")
            await send_problem(problem, scope, receive, send)
            return
        response.headers["content-security-policy"] = _CSP
        # the names of these files change with their content
        is_fixed = path.startswith("/static/assets/")
        response.headers["cache-control"] = "public, max-age=31536000, immutable" if is_fixed else "no-cache"
        await response(scope, receive, send)

    async def _respond(self, path: str, scope: Scope) -> Response:
        if path == "/":
            # relative, so that it is right behind a proxy that serves it under a prefix
            return RedirectResponse("static/index.html#/", status_code=302)
        file = path.removeprefix("/static")
        if self._files is not None:
            return await self._files.get_response(self._files.get_path({"path": file, "root_path": ""}), scope)
        if file in ("", "/", "/index.html"):
            return HTMLResponse(_PLACEHOLDER)
        raise HTTPException(404)
