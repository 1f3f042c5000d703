"""Decide which of the past ticks are started, and which are skipped and why."""

from __future__ import annotations

import enum
import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile

from ._timing import Timing

__all__ = ["PUNCTUAL", "LeftOut", "Missed", "Plan", "jitter_of", "leave_out", "plan"]

#: a tick started within this time is on time
PUNCTUAL = timedelta(minutes=1)

#: maximum number of missed ticks that are started at once
MOST_MADE_UP = 100

#: skipped ticks are counted up to this number; beyond it, there are "more than" that
MOST_COUNTED = 1000

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Missed(enum.StrEnum):
    """What to do about ticks that came while no process could start them."""

    #: start once for all of them, unless the newest is older than the grace
    LATEST = "latest"
    #: start once for each, up to a hundred, unless it is older than the grace
    ALL = "all"
    #: skip them
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Consecutive ticks that are skipped."""

    first: datetime
    last: datetime
    count: int
    #: there were more than were counted
    is_more: bool

    def because(self, reason: str) -> str:
        """*reason*, followed by the number and the times of the ticks."""
        if self.count == 1:
            return f"{reason}: {self.first:%Y-%m-%d %H:%M:%S} UTC"
        count = f"more than {self.count}" if self.is_more else str(self.count)
        return f"{reason}: {count} ticks from {self.first:%Y-%m-%d %H:%M:%S} to {self.last:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about the ticks up to now; the skipped ones come before the started ones."""

    left_out: LeftOut | None
    starts: tuple[datetime, ...]


def plan(
    timing: Timing,
    until: datetime,
    now: datetime,
    *,
    missed: Missed = Missed.LATEST,
    grace: timedelta = timedelta(hours=1),
    late: Callable[[datetime], timedelta] = lambda due: timedelta(),
) -> Plan:
    """Decide about the ticks after *until* that have come by *now*.

    Args:
        timing: The timing of the schedule.
        until: Ticks up to this one are done.
        now: The present moment.
        missed: What to do about missed ticks.
        grace: Maximum age of a missed tick that is still started.
        late: Returns the delay of a tick.
    """
    count = MOST_MADE_UP if missed is Missed.ALL else 1
    oldest = max(PUNCTUAL, timedelta() if missed is Missed.SKIP else grace)
    asked = count + 1
    while True:
        found = _newest(timing, until, now, asked)
        # a tick that is delayed beyond now has not come yet, and neither have later ones
        come = list(takewhile(lambda due: due + late(due) <= now, found))
        if len(come) >= count or len(found) < asked:
            break
        asked *= 4
    starts = tuple(due for due in come[-count:] if now - due - late(due) <= oldest)
    last = come[-1] if come else None
    before = starts[0] if starts else None
    left_out = None if last is None else leave_out(timing, until, last, before=before)
    return Plan(left_out, starts)


def leave_out(timing: Timing, until: datetime, last: datetime, *, before: datetime | None = None) -> LeftOut | None:
    """The ticks after *until* up to *last*, and before *before*; None if there are none."""
    first = due = timing.next(until)
    end, count = None, 0
    while due is not None and due <= last and (before is None or due < before):
        if count == MOST_COUNTED:
            newest = _newest(timing, due, last if before is None else before - timedelta(microseconds=1), 1)
            end = newest[0] if newest else due
            break
        end, count = due, count + 1
        due = timing.next(due)
    if first is None or end is None:
        return None
    return LeftOut(first, end, count, is_more=count == MOST_COUNTED and end is not due)


def jitter_of(name: str, due: datetime, most: timedelta) -> timedelta:
    """The delay of the tick *due* of the schedule *name*; the same in every process."""
    if not most:
        return most
    digest = hashlib.sha256(f"{name} {due.isoformat()}".encode()).digest()
    return most * (int.from_bytes(digest[:6], "big") / 2**48)


def _newest(timing: Timing, after: datetime, now: datetime, count: int) -> list[datetime]:
    """The newest *count* ticks after *after* up to *now*, without iterating over all of them."""
    span = timedelta(minutes=1)
    while True:
        start = max(after, now - span) if now - _BEGINNING > span else after
        found: deque[datetime] = deque(maxlen=count)
        due = timing.next(start)
        while due is not None and due <= now:
            found.append(due)
            due = timing.next(due)
        if len(found) == count or start <= after:
            return list(found)
        span *= 4
