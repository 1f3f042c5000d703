"""The plugin: an application, a client session, and a server that ends with the stage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

from buvar import context, di, fork, plugin
from buvar.components import Components

from ._config import AioHttpConfig
from ._errors import require
from ._requests import note

require()

import aiohttp.web  # noqa: E402 - after the check, which explains a missing package
from aiohttp.typedefs import Handler  # noqa: E402 - the same


async def prepare(load: plugin.Loader) -> None:
    """Load as a plugin: provide `aiohttp.web.Application`, serve it, and provide an `aiohttp.ClientSession`."""
    await load("buvar.config", prepare_app, prepare_client_session, prepare_server)


async def prepare_app() -> None:
    """Load as a plugin: add an application, unless there is one."""
    if context.get(aiohttp.web.Application, default=None) is None:
        context.add(make_app(context.current_context()))


async def prepare_client_session(teardown: plugin.Teardown) -> None:
    """Load as a plugin: add a client session, which the teardown closes."""
    context.add(await teardown.enter(aiohttp.ClientSession()))


async def prepare_server(load: plugin.Loader, cancel: plugin.Cancel) -> AsyncIterator[Awaitable[Any]]:
    """Load as a plugin: serve the application of the context. Its sockets are looked up when the server starts."""
    await load("buvar.config", prepare_app)
    settings = await di.nject(AioHttpConfig)
    app = context.get(aiohttp.web.Application)
    runner = context.add(settings.runner(app))
    here = context.get(fork.Fork, default=None)
    # a worker whose server does not start counts as not started
    booting = None if here is None else here.booting()
    yield settings.run(app, runner=runner, cancel=cancel, booting=booting)


def make_app(components: Components) -> aiohttp.web.Application:
    """An application that gives each request a new layer on top of *components*, which contains the request."""

    @aiohttp.web.middleware
    async def in_context(request: aiohttp.web.Request, handler: Handler) -> aiohttp.web.StreamResponse:
        note(request)
        own = components.push()
        own.add(request)
        token = context.buvar_context.set(own)
        try:
            return await handler(request)
        finally:
            context.buvar_context.reset(token)

    return aiohttp.web.Application(middlewares=[in_context, aiohttp.web.normalize_path_middleware()])
