"""When a schedule is due: an interval, a moment, or a cron expression in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

from binp.errors import BinpError

__all__ = ["At", "BadSchedule", "Every", "Timing", "in_words"]

#: intervals count from here, so that every process computes the same ticks, also after a restart
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


class BadSchedule(BinpError):
    """The timing or an option of a schedule is invalid."""


class Timing(Protocol):
    """When a schedule is due. Instants are aware, in UTC."""

    @property
    def spec(self) -> str:
        """The timing in one line; a different spec is a different timing."""

    @property
    def zone(self) -> str:
        """Name of the time zone that the timing refers to."""

    def words(self) -> str:
        """The timing in words."""

    def next(self, after: datetime) -> datetime | None:
        """The first instant after *after*; None if there is none."""

    def note(self, due: datetime) -> str | None:
        """What is unusual about the instant *due* because of a clock change; None if nothing."""


class Every:
    """At whole multiples of an interval since the start of 1970, UTC.

    Args:
        interval: At least one second.

    Raises:
        BadSchedule: it is shorter.
    """

    zone = "UTC"

    def __init__(self, interval: timedelta) -> None:
        if interval < timedelta(seconds=1):
            raise BadSchedule(f"every={interval} is too short", fix="write one second or more")
        self.interval = interval

    @property
    def spec(self) -> str:
        """The interval in seconds."""
        return f"every {self.interval.total_seconds():g} s"

    def words(self) -> str:
        """The timing in words."""
        return f"Every {in_words(self.interval)}"

    def next(self, after: datetime) -> datetime | None:
        """The first instant after *after*."""
        return _EPOCH + ((after - _EPOCH) // self.interval + 1) * self.interval

    def note(self, due: datetime) -> str | None:
        """None: an interval does not depend on the wall clock."""
        return None


class At:
    """At one moment.

    Args:
        instant: Aware.

    Raises:
        BadSchedule: it has no time zone.
    """

    zone = "UTC"

    def __init__(self, instant: datetime) -> None:
        if instant.tzinfo is None:
            raise BadSchedule(
                f"at={instant!r} has no time zone",
                fix="write one: datetime(..., tzinfo=ZoneInfo('Europe/Berlin')), or tzinfo=UTC",
            )
        self.instant = instant.astimezone(UTC)

    @property
    def spec(self) -> str:
        """The instant."""
        return f"at {self.instant.isoformat()}"

    def words(self) -> str:
        """The timing in words."""
        return f"Once, at {self.instant:%Y-%m-%d %H:%M:%S} UTC"

    def next(self, after: datetime) -> datetime | None:
        """The instant, if it is after *after*."""
        return self.instant if self.instant > after else None

    def note(self, due: datetime) -> str | None:
        """None: a moment does not depend on the wall clock."""
        return None


def in_words(interval: timedelta) -> str:
    """An interval in words: ``minute``, ``90 minutes``, ``2.5 seconds``."""
    seconds = interval.total_seconds()
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size and seconds % size == 0), (1, "second"))
    count = seconds / size
    return unit if count == 1 else f"{count:g} {unit}s"
