"""Let a function in a thread, which cannot be cancelled, ask whether its run has to end."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Iterator

from ._active import ActiveRun, current_run
from ._told import BELL, ring

__all__ = ["interruptible", "is_interruptible", "tell_late", "told_to_end"]

#: set while a function is called in the main thread of a process of its own, where a signal interrupts it
is_interruptible: contextvars.ContextVar[bool] = contextvars.ContextVar("binp.interruptible", default=False)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """The function called in the block is told to end by a signal, and may block the event loop."""
    token = is_interruptible.set(True)
    try:
        yield
    finally:
        is_interruptible.reset(token)


def tell_late(run: ActiveRun) -> None:
    """The attempt of *run* has timed out."""
    run.is_late = True
    ring()


def told_to_end(within: float) -> bool:
    """Whether the current run, or one that has called it, has to end; blocks up to *within* seconds for that.

    If True was returned, the run that has to end does not succeed, whatever its function returns.
    """
    run = current_run.get()
    if run is None:
        time.sleep(within)
        return False
    if is_interruptible.get():
        # the signal ends this at once
        time.sleep(within)
    else:
        with BELL:
            BELL.wait_for(lambda: bool(_told(run)), within)
    # asked again, because this answer is the one that is returned
    told = _told(run)
    for one in told:
        one.has_heard = True
    return bool(told)


def _told(run: ActiveRun) -> list[ActiveRun]:
    return [one for one in _outward(run) if one.cancel_requested or one.is_late]


def _outward(run: ActiveRun) -> Iterator[ActiveRun]:
    one: ActiveRun | None = run
    while one is not None:
        yield one
        one = one.outer if one.outer is not one else None
