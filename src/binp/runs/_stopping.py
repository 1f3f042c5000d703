"""Let a function in a thread, which cannot be cancelled, ask whether its run has to end."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ._active import ActiveRun, current_run
from ._told import BELL, ring

__all__ = ["tell_late", "told_to_end"]


def tell_late(run: ActiveRun) -> None:
    """The attempt of *run* has timed out."""
    run.is_late = True
    ring()


def told_to_end(within: float) -> bool:
    """Whether the current run, or one that has called it, has to end; blocks up to *within* seconds for that.

    If True was returned, the run does not succeed, whatever its function returns.
    """
    run = current_run.get()
    if run is None:
        time.sleep(within)
        return False
    with BELL:
        BELL.wait_for(lambda: _is_told(run), within)
    # asked again, because this answer is the one that is returned
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
