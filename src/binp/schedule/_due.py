"""What becomes of the ticks that have come: which are started, and which are left out and why."""

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

#: a tick that is started within this time of its own is not late
PUNCTUAL = timedelta(minutes=1)

#: the most missed ticks that are made up for at once
MOST_MADE_UP = 100

#: ticks that are left out are counted up to here; above that there are "more than"
MOST_COUNTED = 1000

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Missed(enum.StrEnum):
    """What is done about ticks that came while nothing could start them."""

    #: one start makes up for all of them, unless the newest is older than the grace
    LATEST = "latest"
    #: each is made up for, up to a hundred, unless it is older than the grace
    ALL = "all"
    #: they are left out
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Ticks one after the other that are not started."""

    first: datetime
    last: datetime
    count: int
    #: there were more than were counted
    is_more: bool

    def because(self, reason: str) -> str:
        """*reason*, with how many there were of which times."""
        if self.count == 1:
            return f"{reason}: {self.first:%Y-%m-%d %H:%M:%S} UTC"
        count = f"more than {self.count}" if self.is_more else str(self.count)
        return f"{reason}: {count} ticks from {self.first:%Y-%m-%d %H:%M:%S} to {self.last:%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the ticks up to now; what is left out comes before what is started."""

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
    """Decide what becomes of the ticks after *until* that have come by *now*.

    Args:
        timing: When it is due.
        until: Ticks up to here are dealt with.
        now: The present moment.
        missed: What is done about those that were missed.
        grace: How old one may be that is made up for.
        late: By how much a tick is put off.
    """
    count = MOST_MADE_UP if missed is Missed.ALL else 1
    oldest = max(PUNCTUAL, timedelta() if missed is Missed.SKIP else grace)
    asked = count + 1
    while True:
        found = _newest(timing, until, now, asked)
        # one that is put off beyond now has not come yet, and neither has any after it
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
    """The ticks after *until* up to *last*, and before *before*; None if there is none."""
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
    """By how much the tick *due* of the schedule *name* is put off: the same in every process."""
    if not most:
        return most
    digest = hashlib.sha256(f"{name} {due.isoformat()}".encode()).digest()
    return most * (int.from_bytes(digest[:6], "big") / 2**48)


def _newest(timing: Timing, after: datetime, now: datetime, count: int) -> list[datetime]:
    """The newest *count* ticks after *after* and not after *now*, without walking through all of them."""
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
