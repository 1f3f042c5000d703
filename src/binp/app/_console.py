"""The console's files, or a page in their place where it was not built."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

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
        self._files: ASGIApp | None = None
        if (folder / "index.html").is_file():
            self._files = StaticFiles(directory=folder, html=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for ``scope["console_path"]``: the path below the root of the application."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await send_problem(Problem(status=405, detail="the console is read with GET"), scope, receive, send)
            return
        path = scope["console_path"]
        response: Response
        if path == "/":
            # relative, so that it is right behind a proxy that serves it under a prefix
            response = RedirectResponse("static/index.html#/", status_code=302)
        elif self._files is not None:
            root = scope.get("root_path", "") + "/static"
            await self._files({**scope, "root_path": root, "path": root + path.removeprefix("/static")}, receive, send)
            return
        elif path in ("/static", "/static/", "/static/index.html"):
            response = HTMLResponse(_PLACEHOLDER)
        else:
            problem = Problem(status=404, code="not-found", detail=f"there is no file {path!r} in the console")
            await send_problem(problem, scope, receive, send)
            return
        response.headers["content-security-policy"] = _CSP
        await response(scope, receive, send)
