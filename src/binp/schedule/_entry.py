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
    """What happens to a tick while the run of the previous tick has not ended."""

    #: it is skipped
    SKIP = "skip"
    #: it is started after that run has ended; of several waiting ticks, only the first is kept
    QUEUE = "queue"
    #: it is started at once
    PARALLEL = "parallel"


@dataclass(kw_only=True, eq=False)
class Following:
    """A run of another process: all that this process needs to know of it."""

    #: it has ended
    done: bool = False


@dataclass(kw_only=True, eq=False)
class Entry:
    """A schedule of this process."""

    name: str
    timing: Timing
    #: the decorated function
    function: Callable[..., Any]
    #: the operation to start if the function is not an action
    own: Operation
    arguments: Mapping[str, Any]
    missed: Missed
    grace: timedelta
    overlap: Overlap
    jitter: timedelta

    #: every tick up to this one is started, skipped or waiting; None before the store was read
    until: datetime | None = None
    #: the tick that waits for the end of a run
    waiting: datetime | None = None
    #: its runs that have not ended, started here or by the previous leader
    running: list[RunHandle | Following] = field(default_factory=list)

    def late(self, due: datetime) -> timedelta:
        """The delay of the tick *due*."""
        return jitter_of(self.name, due, self.jitter)

    def next_start(self) -> datetime | None:
        """When the ticker has to look at it next, if nothing else happens; None for never."""
        due = None if self.until is None else self.timing.next(self.until)
        return None if due is None else due + self.late(due)

    @property
    def is_running(self) -> bool:
        """Whether one of its runs has not ended."""
        self.running = [handle for handle in self.running if not handle.done]
        return bool(self.running)


def micros(instant: datetime) -> int:
    """Microseconds since the epoch."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
