"""Track requests in flight and connections without a request, for an orderly shutdown."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import aiohttp.web

#: Polling interval for connections without a request, in seconds.
_LOOK: Final = 0.01
#: the tasks that answer requests, per application
_answering: weakref.WeakKeyDictionary[aiohttp.web.Application, set[asyncio.Task[Any]]] = weakref.WeakKeyDictionary()
#: the connection tasks that have received a request, per application; aiohttp has one task per connection
_asked: weakref.WeakKeyDictionary[aiohttp.web.Application, weakref.WeakSet[asyncio.Task[Any]]] = (
    weakref.WeakKeyDictionary()
)


def note(request: aiohttp.web.Request) -> None:
    """Note that the current task answers *request*, until it ends."""
    task = cast("asyncio.Task[Any]", asyncio.current_task())  # aiohttp answers each request in a task
    tasks = _answering.setdefault(request.app, set())
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    _asked.setdefault(request.app, weakref.WeakSet()).add(request.task)


async def first_requests(runner: aiohttp.web.AppRunner, *, within: float) -> None:
    """Wait until each connection of *runner*'s server has sent a request, at most *within* seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while runner.server is not None and loop.time() < end:
        asked = sum(not task.done() for task in _asked.get(runner.app, ()))
        if len(runner.server.connections) <= asked:
            break
        await asyncio.sleep(_LOOK)


def hurry(app: aiohttp.web.Application) -> None:
    """Cancel all requests that *app* is answering."""
    for task in list(_answering.get(app, ())):
        task.cancel()
