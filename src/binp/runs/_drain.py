"""End the runs in flight: wait for them, then cancel them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from binp.store.contract import State

from ._active import ActiveRun
from ._life import Outcome

if TYPE_CHECKING:
    from ._runs import Runs

__all__ = ["cancel_all", "drain", "in_words"]

#: returns the runs that have to end now
Pending = Callable[[], list[ActiveRun]]


async def drain(pending: Pending, timeout: float) -> bool:
    """Wait until no runs are *pending*, at most *timeout* seconds. False if some still are."""
    deadline = asyncio.get_running_loop().time() + timeout
    while pending():
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        await asyncio.sleep(min(left, 0.02))
    return True


async def cancel_all(
    runs: Runs, pending: Pending, reason: Callable[[ActiveRun], str], timeout: float
) -> list[ActiveRun]:
    """Cancel every *pending* run, for its *reason*, and wait for their ends.

    Runs that do not end in time are recorded as cancelled.

    Returns:
        The runs that did not end: their functions suppress the cancellation, or run in threads.
    """
    for run in pending():
        # a queued run is released by its queue, and continues in the next process
        if not run.is_queued:
            run.cancel(reason(run))
    await drain(pending, timeout)
    left = pending()
    for run in left:
        if run.task is not None:
            run.task.cancel()
    await drain(pending, 1.0)
    for run in pending():
        runs.finish(run, Outcome(State.CANCELLED, message=f"{reason(run)}; its function could not be stopped"))
    return left


def in_words(seconds: float) -> str:
    """A duration in words: ``2 h 59 min``, ``4 min``, ``30 s``."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    hours, minutes = divmod(whole // 60, 60)
    parts = [f"{hours} h"] * bool(hours) + [f"{minutes} min"] * bool(minutes)
    return " ".join(parts)
