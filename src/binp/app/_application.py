"""The FastAPI application of a BINP: access control outside, the user's routes and the platform inside."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from binp.auth import Access, Door, Zone, read_or_create_token, token_path
from binp.home import Home
from binp.runs import now
from binp.settings import Settings
from binp.store.contract import Once
from buvar import context
from buvar.secret import Secret

from . import _inject
from ._console import Console

if TYPE_CHECKING:
    from binp.api import Platform

__all__ = ["Application"]

_inject.install()

_logger = logging.getLogger("binp.serving")

#: wraps the user's lifespan in that of the platform
Surround = Callable[[AbstractAsyncContextManager[Any]], AbstractAsyncContextManager[Any]]


#: a random path segment that no route of the user contains
_NOWHERE = secrets.token_hex(8)


class Application(FastAPI):
    """A FastAPI application with the user's routes, the platform and the console.

    The door is the outermost layer. It checks the Host header of every connection, and requires credentials for the
    platform (``/internal``) and its console (``/`` and ``/static``). A route of the user takes precedence over the
    console, and over the platform if it is defined under ``/internal`` itself. The user's middlewares, including CORS,
    apply to the user's routes only. Parameters annotated with ``Inject[...]`` are supplied by dependency injection,
    from a scope that ends with the response.

    Args:
        platform: The home and the parts that the platform's routes expose.
        surround: Wraps the user's lifespan. Default: opens and closes the home.
        options: Passed to FastAPI.
    """

    def __init__(self, platform: Platform, *, surround: Surround | None = None, **options: Any) -> None:
        options.setdefault("title", "BINP")
        # FastAPI's own pages load their scripts from a CDN; ours need no scripts and no internet access
        pages = [options.pop(name, path) for name, path in (("docs_url", "/docs"), ("redoc_url", "/redoc"))]
        super().__init__(docs_url=None, redoc_url=None, **options)
        for path in filter(None, pages if self.openapi_url else ()):
            self.add_route(path, self._show_reference, include_in_schema=False)
        self.platform = platform
        self._surround: Surround = surround or functools.partial(_serve, platform.home)
        self._entrance = _Entrance(platform)
        self._console = Console()
        self._own_routes = list(self.router.routes)

    async def _show_reference(self, request: Request) -> Response:
        from binp.api import reference

        return reference(self, request)

    async def open_door(self) -> None:
        """Read or create the token, so that a problem with it is reported at the start.

        Raises:
            TokenFileError: the token cannot be read or created.
        """
        await self._entrance()

    def take_routes(self, other: Application) -> None:
        """Make the routes, middlewares and handlers of *other* part of this one, and routes that it gets later."""
        routes = [route for route in other.router.routes if route not in other._own_routes]
        self.router.routes.extend(routes)
        other.router.routes = self.router.routes
        self.user_middleware.extend(other.user_middleware)
        self.exception_handlers.update(other.exception_handlers)
        self.dependency_overrides.update(other.dependency_overrides)
        other.dependency_overrides = self.dependency_overrides

    def build_middleware_stack(self) -> ASGIApp:
        """The door, and behind it the user's application and the platform side by side."""
        user = super().build_middleware_stack()
        inside = self._in_home(user)

        def choose(scope: Any) -> tuple[Zone, Any]:
            path = _path_of(scope)
            if _is_under(path, "/internal"):
                if self._is_users(scope, path, literally="/internal"):
                    return Zone.USER, inside
                return Zone.PROTECTED, _mounted(self._platform_zone, "/internal")
            if (path == "/" or _is_under(path, "/static")) and not self._is_users(scope, path):
                scope["console_path"] = path
                return Zone.PROTECTED, self._console
            return Zone.USER, inside

        return Door(choose, access=self._entrance, lifespan=self._live)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle the lifespan events of a server: the platform's lifespan around that of the user's routers."""
        router = self.router
        inner = router.lifespan_context
        router.lifespan_context = lambda app: self._surround(inner(app))
        try:
            await router(scope, receive, send)
        finally:
            router.lifespan_context = inner

    @functools.cached_property
    def _internal(self) -> FastAPI:
        # created on first use: the models and routes would delay the start, and a program without a console
        from binp.api import create_app

        return create_app(self.platform)

    @functools.cached_property
    def _platform_zone(self) -> ASGIApp:
        return self._in_home(self._internal)

    def _in_home(self, app: ASGIApp) -> ASGIApp:
        """*app*, with the components of the home as its context."""
        home = self.platform.home

        async def inside(scope: Scope, receive: Receive, send: Send) -> None:
            if home.components is None:
                await app(scope, receive, send)
                return
            token = context.buvar_context.set(home.components)
            try:
                await app(scope, receive, send)
            finally:
                context.buvar_context.reset(token)

        return inside

    def _is_users(self, scope: Scope, path: str, *, literally: str | None = None) -> bool:
        """Whether a user's route handles *path*; with *literally*, routes that would match any path do not count."""
        known = {id(route) for route in self._own_routes}
        routes = [route for route in self.router.routes if id(route) not in known]
        if literally is None:
            return any(_matches(route, scope, path) is not Match.NONE for route in routes)
        elsewhere = f"/{_NOWHERE}{path.removeprefix(literally)}"
        return any(
            _matches(route, scope, path) is Match.FULL and _matches(route, scope, elsewhere) is Match.NONE
            for route in routes
        )


class _Entrance:
    """The settings for the door; opens the home if it is not open yet."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._home = platform.home
        self._settings: Settings | None = None
        self._access: Access
        self._is_told = False

    async def __call__(self) -> Access:
        home = await self._home.ensure()
        if not self._is_told and not home.is_served:
            self._is_told = True
            self._tell()
        settings = home.settings
        # the home reads its settings again each time it is opened
        if settings is not self._settings:
            token = None
            if settings.auth != "none":
                token = Secret(await asyncio.to_thread(read_or_create_token, token_path(home.store.url)))
            self._access = Access(token=token, once=self._once, allowed_hosts=settings.allowed_hosts, dev=settings.dev)
            self._settings = settings
        return self._access

    def _tell(self) -> None:
        """Warn that the lifespan was not entered: requests are served, but services and schedules do not run."""
        if self._platform.service.services or self._platform.schedule.names:
            _logger.warning(
                "services and schedules do not run: the application has requests, and its lifespan was not entered. "
                "Where it is mounted in another one, give that one lifespan=binp.lifespan"
            )

    async def _once(self, key: str) -> bool:
        return bool(await self._home.store.write(Once(key=key, at=now())))


@contextlib.asynccontextmanager
async def _serve(home: Home, inner: AbstractAsyncContextManager[Any]) -> AsyncIterator[Any]:
    """Keep the home open while the application is served."""
    await home.open(serving=True)
    try:
        async with inner as state:
            home.lead()
            yield state
    finally:
        await home.close()


def _path_of(scope: Scope) -> str:
    """The path below the root path of the server."""
    path: str = scope["path"]
    root = scope.get("root_path", "").rstrip("/")
    return path.removeprefix(root) if root and _is_under(path, root) else path


def _is_under(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def _matches(route: BaseRoute, scope: Scope, path: str) -> Match:
    # on a copy: matching writes to the scope
    match, _ = route.matches({**scope, "path": scope.get("root_path", "").rstrip("/") + path})
    return match


def _mounted(app: ASGIApp, prefix: str) -> ASGIApp:
    """*app* as if it were mounted at *prefix*."""

    async def mounted(scope: Scope, receive: Receive, send: Send) -> None:
        root = scope.get("root_path", "")
        child = {**scope, "root_path": root.rstrip("/") + prefix, "app_root_path": scope.get("app_root_path", root)}
        await app(child, receive, send)

    return mounted
