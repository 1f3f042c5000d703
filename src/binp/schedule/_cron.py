"""Cron expressions in a time zone, and their meaning around clock changes.

Parsing and calendar are cronsim's, applied to wall-clock times without a zone. What happens to a time that does not
exist, or exists twice, is decided here, as in Debian's cron: a job with a fixed minute and hour is started once for
each match of the calendar; a job whose minute or hour starts with ``*`` is started at every matching minute that
actually occurs.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from buvar.names import did_you_mean

from ._timing import BadSchedule

__all__ = ["Cron"]

#: longer clock jumps are not daylight saving: ticks inside them are not made up for
_LONGEST_JUMP = timedelta(hours=3)

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)

_SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_FIELDS = "minute hour day-of-month month day-of-week"


class Cron:
    """A cron expression in a time zone.

    Args:
        expression: ``minute hour day-of-month month day-of-week``, with a field for seconds in front if there are six;
            or ``@hourly``, ``@daily``, ``@weekly``, ``@monthly``, ``@yearly``.
        zone: Name in the IANA database, such as ``Europe/Berlin``.

    Raises:
        BadSchedule: the expression is invalid, never matches, or there is no such zone.
    """

    def __init__(self, expression: str, zone: str = "UTC") -> None:
        self.expression = " ".join(expression.split())
        self.zone = zone
        self._tz = _zone(zone)
        self._fields = _SHORT.get(self.expression.lower(), self.expression)
        self._check()
        minute, hour = self._fields.split()[-5:-3]
        #: use every matching minute that actually occurs, instead of one instant per match of the calendar
        self._is_wild = len(self._fields.split()) == 6 or minute.startswith("*") or hour.startswith("*")

    def _check(self) -> None:
        try:
            CronSim(self._fields, datetime(2024, 1, 1))  # noqa: DTZ001 - wall-clock times have no zone here
        except CronSimError as error:
            if self.expression.startswith("@"):
                near = did_you_mean(self.expression, _SHORT)
                fix = f"did you mean {near!r}?" if near else f"known: {', '.join(_SHORT)}"
            else:
                fix = f"write five fields, {_FIELDS}: '30 2 * * *' is every day at 02:30"
            raise BadSchedule(f"{self.expression!r} is not a cron expression: {error}", fix=fix) from None

    @property
    def spec(self) -> str:
        """Expression and zone."""
        return f"{self.expression} {self.zone}"

    def words(self) -> str:
        """The timing in words."""
        text = CronSim(self._fields, datetime(2024, 1, 1)).explain()  # noqa: DTZ001 - see above
        return f"{text} ({self.zone})"

    def next(self, after: datetime) -> datetime | None:
        """The first instant after *after*; None if there is none within some decades."""
        after = after.astimezone(UTC)
        return self._next_wild(after) if self._is_wild else self._next_fixed(after)

    def note(self, due: datetime) -> str | None:
        """What is unusual about the instant *due* because of a clock change; None if nothing."""
        if self._is_wild:
            return None
        wall = self._wall(due)
        for match in self._walls(wall - _LONGEST_JUMP):
            if match > wall:
                break
            local = match.replace(tzinfo=self._tz)
            if self._instant(match) != due:
                continue
            if match != wall:
                missing = f"{match:%H:%M} does not exist on {match:%Y-%m-%d}"
                return f"{missing}: it starts when the clock has jumped to {wall:%H:%M}"
            if local.utcoffset() != local.replace(fold=1).utcoffset():
                return f"{match:%H:%M} comes twice on {match:%Y-%m-%d}: it starts at the first"
        return None

    def _next_fixed(self, after: datetime) -> datetime | None:
        # a time that occurs twice stands for its first instant; the second must not count as a new match
        for wall in self._walls(self._wall(after) - _LONGEST_JUMP):
            instant = self._instant(wall)
            if instant is not None and instant > after:
                return instant
        return None

    def _next_wild(self, after: datetime) -> datetime | None:
        here, is_included = after, False
        while True:
            offset = self._offset(here)
            wall = (here + offset).replace(tzinfo=None)
            found = next(self._walls(wall - _SECOND if is_included else wall), None)
            if found is None:
                return None
            instant = found.replace(tzinfo=UTC) - offset
            jump = self._first_jump(here, instant)
            if jump is None:
                return instant
            # the clock changes before that: continue from there with the new wall-clock time
            here, is_included = jump, True

    def _walls(self, after: datetime) -> Iterator[datetime]:
        """The matches of the calendar after *after*, as wall-clock times."""
        return iter(CronSim(self._fields, after))

    def _instant(self, wall: datetime) -> datetime | None:
        """The instant for a wall-clock time; None if that falls into a longer jump."""
        local = wall.replace(tzinfo=self._tz)
        instant = local.astimezone(UTC)
        if self._wall(instant) == wall:
            return instant
        # it does not exist: use the instant of the jump, which is within a day of the computed one
        jump = self._first_jump(instant - _DAY, instant + _DAY)
        if jump is None or self._offset(jump) - self._offset(jump - _SECOND) > _LONGEST_JUMP:
            return None
        return jump

    def _wall(self, instant: datetime) -> datetime:
        return instant.astimezone(self._tz).replace(tzinfo=None)

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self._tz).utcoffset() or timedelta()

    def _first_jump(self, start: datetime, end: datetime) -> datetime | None:
        """The first clock change after *start* and not after *end*."""
        offset = self._offset(start)
        while start < end:
            stop = min(start + _DAY, end)
            if self._offset(stop) != offset:
                return self._bisect(start, stop, offset)
            start = stop
        return None

    def _bisect(self, low: datetime, high: datetime, offset: timedelta) -> datetime:
        while high - low > _SECOND:
            middle = low + (high - low) / 2
            if self._offset(middle) == offset:
                low = middle
            else:
                high = middle
        return high.replace(microsecond=0)


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        from zoneinfo import available_timezones

        near = did_you_mean(name, available_timezones())
        raise BadSchedule(
            f"there is no time zone {name!r}",
            fix=f"did you mean {near!r}?" if near else "write a name of the IANA database, such as 'Europe/Berlin'",
        ) from None
