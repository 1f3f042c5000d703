"""End the runs in flight: wait for them, then cancel them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from binp.store.contract import State

from ._active import ActiveRun
from ._life import Outcome

if TYPE_CHECKING:
    from ._runs import Runs

__all__ = ["cancel_all", "drain"]


async def drain(runs: Runs, timeout: float) -> bool:
    """Wait up to *timeout* seconds until the runs in flight have ended, services aside. False if some have not."""
    deadline = asyncio.get_running_loop().time() + timeout
    while runs.ending:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        await asyncio.sleep(min(left, 0.02))
    return True


async def cancel_all(runs: Runs, reason: str, timeout: float) -> list[ActiveRun]:
    """Cancel every run in flight and wait for their ends. What does not end in time is recorded as cancelled.

    Returns:
        The runs that did not end when they were asked to: their functions swallow it, or are in threads.
    """
    for run in runs.ending:
        # what waits is let go by its queue, and goes on in the next process
        if not run.is_queued:
            run.cancel(reason)
    await drain(runs, timeout)
    left = runs.ending
    for run in left:
        if run.task is not None:
            run.task.cancel()
    await drain(runs, 1.0)
    for run in runs.ending:
        runs.finish(run, Outcome(State.CANCELLED, message=f"{reason}; its function could not be stopped"))
    return left
