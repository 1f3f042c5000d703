"""Create and close the event loop of a stage."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import traceback
from collections.abc import Iterator

from buvar.plugin._tasks import PATIENCE

_log = logging.getLogger("buvar.plugin")


def new_loop() -> asyncio.AbstractEventLoop:
    """A new event loop; of uvloop if it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def close_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the remaining tasks of a loop, shut down its generators and threads, and close it.

    A thread cannot be stopped from outside, so this waits for all of them; if that takes long, it logs which.
    """
    try:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            _, stuck = loop.run_until_complete(asyncio.wait(left, timeout=PATIENCE))
            for task in stuck:
                _log.error("The task %s was left behind: it ignores its cancellation", task.get_name())
        loop.run_until_complete(loop.shutdown_asyncgens())
        threads = loop.create_task(loop.shutdown_default_executor())
        loop.run_until_complete(asyncio.wait({threads}, timeout=PATIENCE))
        if not threads.done():
            _log.warning("The end waits for threads that still work: %s", "; ".join(_working()))
        loop.run_until_complete(threads)
    finally:
        loop.close()


def _working() -> Iterator[str]:
    """Name and current line of each non-daemon thread."""
    frames = sys._current_frames()  # noqa: SLF001 - documented
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        if frame is not None and thread is not threading.current_thread() and not thread.daemon:
            place = traceback.extract_stack(frame)[-1]
            yield f"{thread.name} in {place.name} ({place.filename} line {place.lineno})"
