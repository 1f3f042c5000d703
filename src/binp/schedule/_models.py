"""What is shown of a schedule."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["Fire", "ScheduleInfo"]


class Fire(BaseModel):
    """A moment at which something will be started."""

    model_config = ConfigDict(frozen=True)

    #: in UTC
    at: datetime
    #: the same on the clock of the schedule's zone
    local: datetime
    #: what is odd about it, because clocks are changed around it
    note: str | None = None


class ScheduleInfo(BaseModel):
    """A schedule as it was at one moment."""

    model_config = ConfigDict(frozen=True)

    name: str
    #: name of what it starts
    operation: str
    description: str
    #: what was written
    spec: str
    #: the same for people
    words: str
    zone: str
    #: JSON object, secrets masked
    arguments: dict[str, Any]
    #: why it cannot start anything, if its arguments do not fit
    problem: str | None = None
    #: what is done about missed ticks: ``latest``, ``all`` or ``skip``
    missed: str
    #: seconds that a missed tick may be old to be made up for
    grace: float
    #: what is done when the run before has not ended: ``skip``, ``queue`` or ``parallel``
    overlap: str
    #: seconds by which a start is put off at most
    jitter: float
    paused: bool
    #: who paused it or let it go on, as far as is known, and when
    paused_by: str | None = None
    paused_at: datetime | None = None
    #: the next moments at which it starts something, whether it is paused or not
    next: list[Fire]
