"""Small helpers for the event loop: whether one is running, and a wait with a timeout."""

from __future__ import annotations

import asyncio
import contextlib

__all__ = ["running_loop", "wait_within"]


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop running in this thread; None if there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


async def wait_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until *event* is set, at most *seconds*; returns whether it is set."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()
