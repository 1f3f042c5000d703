"""Which requests are being answered, so that they can be ended."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import aiohttp.web

#: the tasks that answer requests, for each application
_answering: weakref.WeakKeyDictionary[aiohttp.web.Application, set[asyncio.Task[Any]]] = weakref.WeakKeyDictionary()


def note(app: aiohttp.web.Application) -> None:
    """The current task answers a request of *app*, until it ends."""
    task = cast("asyncio.Task[Any]", asyncio.current_task())  # aiohttp answers each request in one
    tasks = _answering.setdefault(app, set())
    tasks.add(task)
    task.add_done_callback(tasks.discard)


def hurry(app: aiohttp.web.Application) -> None:
    """Cancel all requests that *app* answers."""
    for task in list(_answering.get(app, ())):
        task.cancel()
