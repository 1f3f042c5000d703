"""Whether a run shall end: a function in a thread cannot be cancelled, and asks."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ._active import ActiveRun, current_run
from ._told import BELL, ring

__all__ = ["tell_late", "told_to_end"]


def tell_late(run: ActiveRun) -> None:
    """The attempt of *run* has used up its time."""
    run.is_late = True
    ring()


def told_to_end(within: float) -> bool:
    """Whether the current run, or one whose function has called it, is to end; blocks up to *within* seconds for that.

    A run that was told so and ends has not succeeded, whatever its function returns.
    """
    run = current_run.get()
    if run is None:
        time.sleep(within)
        return False
    with BELL:
        BELL.wait_for(lambda: _is_told(run), within)
    # asked once more: it is the answer that counts
    is_told = _is_told(run)
    for one in _outward(run) if is_told else ():
        one.has_heard = True
    return is_told


def _is_told(run: ActiveRun) -> bool:
    return any(one.cancel_requested or one.is_late for one in _outward(run))


def _outward(run: ActiveRun) -> Iterator[ActiveRun]:
    one: ActiveRun | None = run
    while one is not None:
        yield one
        one = one.outer if one.outer is not one else None
