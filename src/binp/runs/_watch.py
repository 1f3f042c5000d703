"""Follow runs through the history: wait for their ends, and find requests to cancel them."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Mapping, Sequence

from binp._loop import wait_within
from binp.store.contract import FINISHED, Change, Run, Store, StoreError

from ._active import ActiveRun
from ._handle import RunLost

__all__ = ["Watch", "cancel_asked", "cancel_told", "topics_in"]

#: polling interval in seconds, in case a change was not reported
_LOOK = 5.0

_topic_of = operator.attrgetter("topic")


class Watch:
    """Waits for the ends of runs.

    Args:
        store: Has the runs.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[int, set[asyncio.Event]] = {}

    async def ended(self, run: int) -> Run:
        """Wait for the end of *run*, in whatever process it is executed, and return it from the history.

        Raises:
            RunLost: there is no such run, or it was deleted meanwhile.
        """
        mine = asyncio.Event()
        waiting = self._waiting.setdefault(run, set())
        waiting.add(mine)
        try:
            while True:
                mine.clear()
                row = await self._store.get_run(run)
                if row is None:
                    raise RunLost(f"run {run} is not in the history")
                if row.state in FINISHED:
                    return row
                await wait_within(mine, _LOOK)
        finally:
            waiting.discard(mine)
            if not waiting:
                self._waiting.pop(run, None)

    def obey(self, changes: Sequence[Change]) -> None:
        """Check the changed runs again; all of them if it is unknown what has changed."""
        if not self._waiting:
            return
        runs = {change.id for change in changes if change.topic == "run"} if changes else set(self._waiting)
        for run in [run for run in self._waiting if run in runs]:
            for one in self._waiting[run]:
                one.set()


def topics_in(changes: Sequence[Change]) -> set[str]:
    """The topics of *changes*; a fast check, because there are very many changes, most of them irrelevant."""
    return set(map(_topic_of, changes))


def cancel_told(active: Mapping[int, ActiveRun], changes: Sequence[Change]) -> None:
    """Cancel those of the *active* runs for which *changes* contain a request."""
    for change in changes:
        run = active.get(change.id) if change.topic == "cancel" and isinstance(change.id, int) else None
        if run is not None:
            run.cancel("cancelled")


async def cancel_asked(store: Store, active: Sequence[ActiveRun]) -> None:
    """Cancel those of the *active* runs for which their rows contain a request."""
    for run in active:
        try:
            row = await store.get_run(run.id)
        except StoreError:
            # the store is closed: nothing is in flight any more
            return
        if row is not None and row.cancel_requested:
            run.cancel("cancelled")
