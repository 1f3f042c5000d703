"""One schedule: what it starts, when, and by which rules."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from binp.operations import Operation
from binp.runs import RunHandle

from ._due import Missed, jitter_of
from ._timing import Timing

__all__ = ["Entry", "Following", "Overlap"]


class Overlap(enum.StrEnum):
    """What is done about a tick that comes while the run of the one before has not ended."""

    #: it is left out
    SKIP = "skip"
    #: it is started when that has ended; of several that wait the first
    QUEUE = "queue"
    #: it is started beside it
    PARALLEL = "parallel"


@dataclass(kw_only=True, eq=False)
class Following:
    """A run of another process, as far as it matters here."""

    #: it has ended
    done: bool = False


@dataclass(kw_only=True, eq=False)
class Entry:
    """A schedule of this process."""

    name: str
    timing: Timing
    #: the function as it was decorated
    function: Callable[..., Any]
    #: what is started if the function is no action
    own: Operation
    arguments: Mapping[str, Any]
    missed: Missed
    grace: timedelta
    overlap: Overlap
    jitter: timedelta

    #: ticks up to here were started, left out, or wait; None before the store was asked
    until: datetime | None = None
    #: the tick that waits for the end of a run
    waiting: datetime | None = None
    #: what it has started, here or where it was looked after before, and what has not ended
    running: list[RunHandle | Following] = field(default_factory=list)

    def late(self, due: datetime) -> timedelta:
        """By how much the tick *due* is put off."""
        return jitter_of(self.name, due, self.jitter)

    def next_start(self) -> datetime | None:
        """When it is to be looked after next, if nothing else happens."""
        due = None if self.until is None else self.timing.next(self.until)
        return None if due is None else due + self.late(due)

    @property
    def is_running(self) -> bool:
        """Whether something that it has started has not ended."""
        self.running = [handle for handle in self.running if not handle.done]
        return bool(self.running)


def micros(instant: datetime) -> int:
    """Microseconds since the epoch."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
