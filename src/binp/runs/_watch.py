"""Look after runs by what the history says: wait for their ends, and see who asked for them to be cancelled."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Mapping, Sequence

from binp._loop import wait_within
from binp.store.contract import FINISHED, Change, Run, Store, StoreError

from ._active import ActiveRun
from ._handle import RunLost

__all__ = ["Watch", "cancel_asked", "cancel_told", "topics_in"]

#: seconds after which it is looked again, although no change was told
_LOOK = 5.0

_topic_of = operator.attrgetter("topic")


class Watch:
    """Those who wait for the end of a run.

    Args:
        store: Where the runs are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[int, set[asyncio.Event]] = {}

    async def ended(self, run: int) -> Run:
        """Wait for the end of *run*, wherever it is executed, and give it as it is in the history.

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
        """Look again at what has changed; at all of it where that is not known."""
        if not self._waiting:
            return
        runs = {change.id for change in changes if change.topic == "run"} if changes else set(self._waiting)
        for run in [run for run in self._waiting if run in runs]:
            for one in self._waiting[run]:
                one.set()


def topics_in(changes: Sequence[Change]) -> set[str]:
    """The topics of *changes*: most of them are nobody's business here, and there are very many."""
    return set(map(_topic_of, changes))


def cancel_told(active: Mapping[int, ActiveRun], changes: Sequence[Change]) -> None:
    """Cancel those of the *active* runs of which *changes* tell that somebody asked for it."""
    for change in changes:
        run = active.get(change.id) if change.topic == "cancel" and isinstance(change.id, int) else None
        if run is not None:
            run.cancel("cancelled")


async def cancel_asked(store: Store, active: Sequence[ActiveRun]) -> None:
    """Cancel those of the *active* runs that somebody asked for, by what their rows say."""
    for run in active:
        try:
            row = await store.get_run(run.id)
        except StoreError:
            # it is closed: nothing is in flight any more
            return
        if row is not None and row.cancel_requested:
            run.cancel("cancelled")
