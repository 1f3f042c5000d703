"""Which requests are being answered, and which connections have asked, so that both can be ended in order."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import aiohttp.web

#: Seconds between two looks at connections that have not asked yet.
_LOOK: Final = 0.01
#: the tasks that answer requests, for each application
_answering: weakref.WeakKeyDictionary[aiohttp.web.Application, set[asyncio.Task[Any]]] = weakref.WeakKeyDictionary()
#: the tasks of connections on which a request has come, for each application; aiohttp has one for each connection
_asked: weakref.WeakKeyDictionary[aiohttp.web.Application, weakref.WeakSet[asyncio.Task[Any]]] = (
    weakref.WeakKeyDictionary()
)


def note(request: aiohttp.web.Request) -> None:
    """The current task answers *request*, until it ends."""
    task = cast("asyncio.Task[Any]", asyncio.current_task())  # aiohttp answers each request in one
    tasks = _answering.setdefault(request.app, set())
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    _asked.setdefault(request.app, weakref.WeakSet()).add(request.task)


async def first_requests(runner: aiohttp.web.AppRunner, *, within: float) -> None:
    """Until each connection of *runner*'s server has asked at least once, or for *within* seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while runner.server is not None and loop.time() < end:
        asked = sum(not task.done() for task in _asked.get(runner.app, ()))
        if len(runner.server.connections) <= asked:
            break
        await asyncio.sleep(_LOOK)


def hurry(app: aiohttp.web.Application) -> None:
    """Cancel all requests that *app* answers."""
    for task in list(_answering.get(app, ())):
        task.cancel()
