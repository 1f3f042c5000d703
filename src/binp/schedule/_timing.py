"""When something is due: an interval, one instant, or a cron expression in a time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Protocol

from binp.errors import BinpError

__all__ = ["At", "BadSchedule", "Every", "Timing", "in_words"]

#: intervals are counted from here, so that they are the same in every process and after every restart
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


class BadSchedule(BinpError):
    """A schedule says nothing that could be obeyed."""


class Timing(Protocol):
    """When something is due. Instants are aware, in UTC."""

    @property
    def spec(self) -> str:
        """What was written, in one line; another spec is another timing."""

    @property
    def zone(self) -> str:
        """Name of the time zone that it is about."""

    def words(self) -> str:
        """The same for people."""

    def next(self, after: datetime) -> datetime | None:
        """The first instant after *after*; None if there is none."""

    def note(self, due: datetime) -> str | None:
        """What is odd about the instant *due*, because clocks are changed around it."""


class Every:
    """At whole multiples of an interval since the beginning of 1970, UTC.

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
        """The same for people."""
        return f"Every {in_words(self.interval)}"

    def next(self, after: datetime) -> datetime | None:
        """The first instant after *after*."""
        return _EPOCH + ((after - _EPOCH) // self.interval + 1) * self.interval

    def note(self, due: datetime) -> str | None:
        """Nothing: an interval does not look at the clock on the wall."""
        return None


class At:
    """Once.

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
        """The same for people."""
        return f"Once, at {self.instant:%Y-%m-%d %H:%M:%S} UTC"

    def next(self, after: datetime) -> datetime | None:
        """The instant, if it comes after *after*."""
        return self.instant if self.instant > after else None

    def note(self, due: datetime) -> str | None:
        """Nothing: it is an instant, whatever clocks say."""
        return None


def in_words(interval: timedelta) -> str:
    """An interval for people: ``minute``, ``90 minutes``, ``2.5 seconds``."""
    seconds = interval.total_seconds()
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= size and seconds % size == 0), (1, "second"))
    count = seconds / size
    return unit if count == 1 else f"{count:g} {unit}s"
