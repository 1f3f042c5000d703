"""Queue runs whose concurrency is limited."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

from binp._loop import wait_within
from binp.operations import BoundCall, Concurrency, Operation, WhenFull
from binp.store.contract import Change, RequestCancel, State, Store, StoreError, TakeRun

from ._active import ActiveRun, now
from ._execution import Execution
from ._life import Outcome, outcome_of, settle

__all__ = ["Queue"]

#: seconds after which a waiting run polls by itself, in case a change was not reported
_LOOK = 15.0


class Queue:
    """The waiting runs of this process, in one line per concurrency slot.

    The store decides which run gets a place. Runs of one process are taken in order; the processes compete.

    Args:
        store: Takes the runs.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: dict[str, deque[asyncio.Event]] = {}
        self._closed = asyncio.Event()

    async def slot_of(self, operation: Operation, call: BoundCall) -> str | None:
        """The slot that *call* needs; with ``replace``, makes sure that the new run is newer than those it replaces."""
        slot, concurrency = operation.slot(call), operation.policy.concurrency
        if slot is not None and concurrency is not None and concurrency.when_full is WhenFull.REPLACE:
            for newest in (await self._store.get_slot(slot))[-1:]:
                self._store.raise_ids(newest)
        return slot

    async def turn_of(self, run: ActiveRun, execution: Execution) -> Outcome | None:
        """Wait for the turn of *run*, which is queued; returns the outcome if its turn never comes, otherwise None."""
        try:
            left_out = await self._enter(run, execution.slot, execution.policy.concurrency, orphaned=execution.orphaned)
        except asyncio.CancelledError as error:
            return outcome_of(run, error)
        except StoreError as error:
            return Outcome(State.FAILED, error=error, message=error.what)
        if left_out is not None and left_out.state is State.SKIPPED:
            run.record(left_out.message, {})
        return left_out

    async def _enter(
        self, run: ActiveRun, slot: str | None, concurrency: Concurrency | None, *, orphaned: bool = False
    ) -> Outcome | None:
        """Take *run*, which is queued, as soon as there is a place for it.

        Args:
            run: The run; it counts as started from the moment it is taken.
            slot: The slot that it needs; None if it needs none.
            concurrency: How many places the slot has, and what happens if all are taken.
            orphaned: It was queued by another process, which is gone.

        Returns:
            None when it was taken; otherwise the outcome: skipped, or left queued because this process shuts down.
        """
        places = None if concurrency is None else concurrency.places
        line = self._lines.setdefault(slot or "", deque())
        mine = asyncio.Event()
        line.append(mine)
        try:
            if self._closed.is_set():
                return _left()
            if (concurrency is None or line[0] is mine) and await self._take(run, places, orphaned):
                return None
            if concurrency is None or concurrency.when_full is WhenFull.SKIP:
                return Outcome(State.SKIPPED, message=_full(places))
            while True:
                if concurrency.when_full is WhenFull.REPLACE:
                    await self._displace(slot, concurrency.places)
                if not await self._turn(mine):
                    return _left()
                if line[0] is mine and await self._take(run, places, orphaned):
                    return None
        finally:
            line.remove(mine)
            if line:
                # the next one checks for another place
                line[0].set()
            elif self._lines.get(slot or "") is line:
                del self._lines[slot or ""]

    def obey(self, changes: Sequence[Change]) -> None:
        """Wake the runs for which there may be a place; all of them if it is unknown what has changed."""
        slots = {str(change.id) for change in changes if change.topic == "slot"} if changes else set(self._lines)
        for slot in slots:
            line = self._lines.get(slot)
            if line:
                line[0].set()

    def close(self) -> None:
        """Stop waiting: queued runs are left to the next process."""
        self._closed.set()
        for line in self._lines.values():
            for one in line:
                one.set()

    async def _turn(self, mine: asyncio.Event) -> bool:
        """Wait until it is worth checking; False if nobody may wait any more."""
        await wait_within(mine, _LOOK)
        mine.clear()
        return not self._closed.is_set()

    async def _take(self, run: ActiveRun, places: int | None, orphaned: bool) -> bool:
        take = TakeRun(id=run.id, node=self._store.node, places=places, orphaned=orphaned, at=now())
        ack = self._store.write(take)
        try:
            is_taken = bool(await settle(ack))
        except asyncio.CancelledError:
            # it may have been taken all the same, as the acknowledgement tells; then it ends like a started run
            with contextlib.suppress(StoreError):
                if await ack:
                    run.taken()
            raise
        if is_taken:
            run.taken()
        return is_taken

    async def _displace(self, slot: str | None, places: int) -> None:
        """Cancel all runs in the slot except the newest *places*; the caller's own run may be among the cancelled."""
        others = await self._store.get_slot(slot or "")
        for other in others[:-places]:
            await self._store.write(RequestCancel(id=other, actor=f"run {others[-1]}", at=now()))


def _left() -> Outcome:
    return Outcome(State.QUEUED, message="it waits for its turn, and goes on when the app is served again")


def _full(places: int | None) -> str:
    if places is None:
        return "skipped: another process has taken it"
    return f"skipped: {places} {'is' if places == 1 else 'are'} running, and there may be no more"
