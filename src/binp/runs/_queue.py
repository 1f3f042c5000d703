"""Wait for a place: runs of which there may be only so many at once."""

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

#: seconds after which somebody who waits looks by himself: nobody may wait for ever because a change was not told
_LOOK = 15.0


class Queue:
    """Those who wait in this process, in a line for each slot.

    The store has the say who gets a place; those of one process come one after the other, and the processes compete.

    Args:
        store: Where runs are taken.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: dict[str, deque[asyncio.Event]] = {}
        self._closed = asyncio.Event()

    async def slot_of(self, operation: Operation, call: BoundCall) -> str | None:
        """What *call* needs a place in; a run that is begun now is newer than those that it is to replace."""
        slot, concurrency = operation.slot(call), operation.policy.concurrency
        if slot is not None and concurrency is not None and concurrency.when_full is WhenFull.REPLACE:
            for newest in (await self._store.get_slot(slot))[-1:]:
                self._store.raise_ids(newest)
        return slot

    async def turn_of(self, run: ActiveRun, execution: Execution) -> Outcome | None:
        """Wait until it is the turn of *run*, which is queued; what became of it if it does not come to that."""
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
        """Take *run*, which is queued, when there is a place for it.

        Args:
            run: It counts as begun from the moment it is taken.
            slot: What it needs a place in; None if it needs none.
            concurrency: How many places there are, and what is done if all are taken.
            orphaned: Another process queued it, which is gone.

        Returns:
            None when it was taken, else what became of it: skipped, or interrupted because this process shuts down.
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
                # the next one looks for another place
                line[0].set()
            elif self._lines.get(slot or "") is line:
                del self._lines[slot or ""]

    def obey(self, changes: Sequence[Change]) -> None:
        """Wake those for whom there may be a place; all of them where it is not known what has changed."""
        slots = {str(change.id) for change in changes if change.topic == "slot"} if changes else set(self._lines)
        for slot in slots:
            line = self._lines.get(slot)
            if line:
                line[0].set()

    def close(self) -> None:
        """Whoever waits, waits no longer: what is queued is left to the next process."""
        self._closed.set()
        for line in self._lines.values():
            for one in line:
                one.set()

    async def _turn(self, mine: asyncio.Event) -> bool:
        """Wait until it is worth looking; False if nobody is to wait any more."""
        await wait_within(mine, _LOOK)
        mine.clear()
        return not self._closed.is_set()

    async def _take(self, run: ActiveRun, places: int | None, orphaned: bool) -> bool:
        take = TakeRun(id=run.id, node=self._store.node, places=places, orphaned=orphaned, at=now())
        ack = self._store.write(take)
        try:
            is_taken = bool(await settle(ack))
        except asyncio.CancelledError:
            # it may have been taken all the same, which is known by now: its end is that of a run that was
            with contextlib.suppress(StoreError):
                if await ack:
                    run.taken()
            raise
        if is_taken:
            run.taken()
        return is_taken

    async def _displace(self, slot: str | None, places: int) -> None:
        """Cancel all in the slot but the newest, for whom there are places; one of the others may be who asks."""
        others = await self._store.get_slot(slot or "")
        for other in others[:-places]:
            await self._store.write(RequestCancel(id=other, actor=f"run {others[-1]}", at=now()))


def _left() -> Outcome:
    return Outcome(State.QUEUED, message="it waits for its turn, and goes on when the app is served again")


def _full(places: int | None) -> str:
    if places is None:
        return "skipped: another process has taken it"
    return f"skipped: {places} {'is' if places == 1 else 'are'} running, and there may be no more"
