"""Start the due ticks, in a task of the one process that leads."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from binp._loop import wait_within
from binp.home import Home
from binp.operations import Operation
from binp.runs import AlreadyStarted, RunLost, TooManyRuns, Trigger
from binp.store.contract import (
    Ack,
    BeginRun,
    Condition,
    Key,
    MoveSchedule,
    RunQuery,
    ScheduleRow,
    State,
    StoreError,
    as_datetime,
)

from ._due import LeftOut, leave_out, plan
from ._entry import Entry, Following, Overlap, micros
from ._timing import At

__all__ = ["Ticker"]

_logger = logging.getLogger("Schedule")

#: maximum seconds between two checks of the clock, in case it was set or the machine was suspended
_LOOK = 30.0

#: seconds until a failed step is retried
_AGAIN = 1.0

#: how far the clock may be set back before schedules stop waiting for it to catch up
_CLOCK_WAS_AHEAD = timedelta(hours=1)

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Ticker:
    """Runs the schedules of one home, as long as its process leads.

    Each tick is started once, or recorded as a skipped run with the reason. After that, the progress of the schedule is
    stored, and a process that takes over continues from there. A tick that was started but not yet stored as done is
    not started again, because the tick is the idempotency key of its run.

    Args:
        home: The home.
        entries: The schedules by name; may grow while it runs.
        operation_of: Returns the operation that an entry starts.
        clock: Returns seconds since the epoch.
    """

    def __init__(
        self,
        home: Home,
        entries: Mapping[str, Entry],
        operation_of: Callable[[Entry], Operation],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._home = home
        self._entries = entries
        self._operation_of = operation_of
        self._clock = clock
        self._news = asyncio.Event()
        #: tasks that wait for the ends of runs of other processes
        self._following: set[asyncio.Task[None]] = set()
        #: the problem logged last of schedules that cannot be run, by name
        self._told: dict[str, str] = {}

    def wake(self) -> None:
        """Something has changed: check again."""
        self._news.set()

    async def run(self) -> None:
        """Run until cancelled."""
        try:
            while True:
                self._news.clear()
                await wait_within(self._news, await self.look())
        finally:
            for following in self._following:
                following.cancel()

    async def look(self) -> float:
        """Do everything that is due now; returns the seconds until the next check."""
        if self._home.is_ending:
            # nothing is started here any more: further ticks are left to the next leader
            return _LOOK
        # taken before the paused schedules are read, so that a tick after a pause is not started
        now = self._now()
        try:
            rows = {row.name: row for row in await self._home.store.get_schedules()}
        except StoreError as error:
            _logger.error("how far the schedules are could not be read: %s", error)  # noqa: TRY400 - the message has the reason
            return _AGAIN
        wait = _LOOK
        for entry in tuple(self._entries.values()):
            try:
                wait = min(wait, await self._look_after(entry, rows.get(entry.name), now))
                self._told.pop(entry.name, None)
            except (StoreError, TooManyRuns) as error:
                # it is retried again and again, and need not be logged each time
                if self._told.get(entry.name) != str(error):
                    self._told[entry.name] = str(error)
                    _logger.warning("schedule %r could not be looked after: %s", entry.name, error)
                wait = min(wait, _AGAIN)
            except Exception:
                # a failure must not affect the other schedules
                _logger.exception("schedule %r could not be looked after", entry.name)
        return max(0.0, wait)

    async def _look_after(self, entry: Entry, row: ScheduleRow | None, now: datetime) -> float:
        until = await self._begin(entry, row, now)
        if row is not None and row.paused:
            return _LOOK
        if row is not None and row.paused_at is not None:
            until = await self._leave_out_pause(entry, row, until)
        await self._start_waiting(entry)
        found = plan(entry.timing, until, now, missed=entry.missed, grace=entry.grace, late=entry.late)
        if found.left_out is not None:
            await self._leave_out(entry, found.left_out, "missed: nothing was there to start it in time")
        for due in found.starts:
            await self._tick(entry, due)
        following = entry.next_start()
        return _LOOK if following is None else (following - self._now()).total_seconds()

    async def _begin(self, entry: Entry, row: ScheduleRow | None, now: datetime) -> datetime:
        """Where *entry* continues; a schedule that is new, or has another timing now, begins at this moment."""
        if entry.until is None:
            await self._follow(entry)
            if row is not None and row.spec == entry.timing.spec and row.until is not None:
                entry.until = as_datetime(row.until)
            else:
                # a single moment that has just passed must not be lost because the process took time to start
                await self._move(entry, _BEGINNING if isinstance(entry.timing, At) else now)
        assert entry.until is not None  # noqa: S101 - set just before
        if entry.until - now > _CLOCK_WAS_AHEAD:
            _logger.warning(
                "schedule %r was moved to %s, which is yet to come: the clock was set back; it begins anew",
                entry.name,
                entry.until,
            )
            await self._move(entry, now)
        return entry.until

    async def _follow(self, entry: Entry) -> None:
        """Find the runs that it has started in another process, which may still be running."""
        if entry.overlap is Overlap.PARALLEL:
            return
        by = (Condition(Key.TRIGGER, ("schedule",)), Condition(Key.BY, (entry.name,)))
        unended = RunQuery(states=frozenset({State.QUEUED, State.RUNNING}), where=by, limit=200)
        for run in (await self._home.store.find_runs(unended)).runs:
            following = Following()
            entry.running.append(following)
            waiting = asyncio.get_running_loop().create_task(
                self._await_end(run.id, following), name="binp schedule follows", context=self._home.context()
            )
            self._following.add(waiting)
            waiting.add_done_callback(self._following.discard)

    async def _await_end(self, run: int, following: Following) -> None:
        # an erased run has ended too, and after the store is closed nobody needs to know
        with contextlib.suppress(RunLost, StoreError):
            await self._home.runs.watch.ended(run)
        following.done = True
        self.wake()

    async def _leave_out_pause(self, entry: Entry, row: ScheduleRow, until: datetime) -> datetime:
        """Skip the ticks that came while it was paused."""
        end = as_datetime(row.paused_at or 0)
        if end <= until:
            return until
        left_out = leave_out(entry.timing, until, end)
        if left_out is not None:
            await self._leave_out(entry, left_out, "skipped: the schedule was paused")
        await self._move(entry, end)
        return end

    async def _tick(self, entry: Entry, due: datetime) -> None:
        if entry.overlap is not Overlap.PARALLEL and (entry.is_running or entry.waiting is not None):
            if entry.overlap is Overlap.QUEUE and entry.waiting is None:
                # not stored as done before it is started: a process that takes over finds it again
                entry.waiting = entry.until = due
                return
            reason = "the one before it still waits" if entry.waiting else "the run of the one before had not ended"
            await self._leave_out(entry, LeftOut(due, due, 1, is_more=False), f"skipped: {reason}")
        else:
            await self._start(entry, due)
            await self._move(entry, due, durable=False)

    async def _start_waiting(self, entry: Entry) -> None:
        if entry.waiting is not None and not entry.is_running:
            due, entry.waiting = entry.waiting, None
            try:
                await self._start(entry, due)
            except BaseException:
                entry.waiting = due
                raise
            await self._move(entry, max(due, entry.until or due), durable=False)

    async def _start(self, entry: Entry, due: datetime) -> None:
        operation = self._operation_of(entry)
        try:
            handle = await self._home.runs.start(
                operation,
                operation.form.bind(entry.arguments),
                trigger=Trigger("schedule", entry.name),
                once=_key(entry, due),
                due=micros(due),
            )
        except AlreadyStarted:
            # started by a process that died before it stored the progress
            return
        entry.running.append(handle)
        handle.on_done(self.wake)

    async def _leave_out(self, entry: Entry, left_out: LeftOut, reason: str) -> None:
        """Record a skipped run for the ticks, and store that they are done."""
        operation = self._operation_of(entry)
        store = self._home.store
        first: datetime | None = left_out.first
        while first is not None and first <= left_out.last:
            rest = replace(left_out, first=first)
            skipped = BeginRun(
                id=store.new_id(),
                operation=operation.name,
                description=operation.description,
                state=State.SKIPPED,
                trigger="schedule",
                actor=entry.name,
                node=store.node,
                labels=operation.policy.labels,
                once=_key(entry, first),
                due=micros(first),
                reason=rest.because(reason),
                at=micros(self._now()),
            )
            # queued without an await in between, so that both are committed together
            kept, moved = store.write(skipped), self._move(entry, left_out.last)
            is_kept = await kept
            await moved
            if is_kept:
                return
            # skipped by a process that died before it stored the progress: the rest remains
            first = entry.timing.next(first)
            left_out = replace(left_out, count=max(1, left_out.count - 1))

    def _move(self, entry: Entry, until: datetime, *, durable: bool = True) -> Ack[Any]:
        """Store that ticks up to *until* are done; not durably, if a run on disk proves it."""
        entry.until = until
        # a waiting tick is not done
        written = until if entry.waiting is None else entry.waiting - timedelta(microseconds=1)
        at = micros(self._now())
        return self._home.store.write(
            MoveSchedule(name=entry.name, spec=entry.timing.spec, until=micros(written), at=at, durable=durable)
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _key(entry: Entry, due: datetime) -> str:
    return f"tick {entry.name} {due.isoformat()}"
