"""The public description of a schedule."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["Fire", "ScheduleInfo"]


class Fire(BaseModel):
    """A moment at which the schedule will start its function."""

    model_config = ConfigDict(frozen=True)

    #: in UTC
    at: datetime
    #: the same moment in the time zone of the schedule
    local: datetime
    #: what is unusual about it because of a clock change
    note: str | None = None


class ScheduleInfo(BaseModel):
    """A schedule at one moment; it never changes."""

    model_config = ConfigDict(frozen=True)

    name: str
    #: name of the operation that it starts
    operation: str
    description: str
    #: its timing, as written
    spec: str
    #: its timing in words
    words: str
    zone: str
    #: JSON object, secrets masked
    arguments: dict[str, Any]
    #: why it cannot start anything: its arguments do not fit
    problem: str | None = None
    #: what happens to missed ticks: ``latest``, ``all`` or ``skip``
    missed: str
    #: maximum age in seconds of a missed tick that is still started
    grace: float
    #: what happens to a tick while the previous run has not ended: ``skip``, ``queue`` or ``parallel``
    overlap: str
    #: maximum delay of a start, in seconds
    jitter: float
    paused: bool
    #: who paused or resumed it last, if known, and when
    paused_by: str | None = None
    paused_at: datetime | None = None
    #: the next ticks, also while it is paused
    next: list[Fire]
