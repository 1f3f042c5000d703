"""Track requests in flight and connections without a request, for an orderly shutdown."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    import aiohttp.web

#: Seconds for cancelled requests to end.
PATIENCE: Final = 2.0

#: the tasks that answer requests, per application
_answering: weakref.WeakKeyDictionary[aiohttp.web.Application, set[asyncio.Task[Any]]] = weakref.WeakKeyDictionary()
#: the ids of the connections that have received a request, per application, by aiohttp's task for the connection
_asked: weakref.WeakKeyDictionary[aiohttp.web.Application, weakref.WeakKeyDictionary[asyncio.Task[Any], int]] = (
    weakref.WeakKeyDictionary()
)


def note(request: aiohttp.web.Request) -> None:
    """Note that the current task answers *request*, until it ends."""
    task = cast("asyncio.Task[Any]", asyncio.current_task())  # aiohttp answers each request in a task
    tasks = _answering.setdefault(request.app, set())
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    _asked.setdefault(request.app, weakref.WeakKeyDictionary())[request.task] = id(request.protocol)


def asked(app: aiohttp.web.Application) -> set[int]:
    """The ids of the connections of *app* that have received a request."""
    return set(_asked.get(app, {}).values())


def hurry(app: aiohttp.web.Application) -> None:
    """Cancel all requests that *app* is answering."""
    for task in list(_answering.get(app, ())):
        task.cancel()
