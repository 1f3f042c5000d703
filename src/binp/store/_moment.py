"""Parse moments as people write them: an hour ago, a day, a time of day."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

__all__ = ["FORMS", "BadMoment", "moment"]

#: the accepted forms
FORMS = "write 30m, 1h or 7d for so long ago, today, yesterday, or in UTC 2026-11-21 or 2026-11-21T06:30"

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGO = re.compile(r"(?:[0-9]{1,9}[smhdw])+")
_DATE = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt](?P<minute>[0-9]{2}:[0-9]{2})(?P<second>:[0-9]{2}(?P<fraction>\.[0-9]{1,6})?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_DAY = 86_400_000_000
#: the last microsecond of the calendar
_LAST = 253_402_300_799_999_999


class BadMoment(ValueError):
    """A text does not name a moment."""


def moment(text: str, now: datetime) -> tuple[int, int]:
    """Start and (exclusive) end of what *text* names, in microseconds since the epoch.

    Args:
        text: A duration before *now*, which names one moment; or a day, a minute, a second or a fraction of one.
        now: An aware datetime.

    Raises:
        BadMoment: it is not one of these.
    """
    word = text.lower()
    if _AGO.fullmatch(word):
        seconds = sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9]+)([smhdw])", word))
        at = max(0, (now - _EPOCH) // _MICRO - seconds * 1_000_000)
        return at, at
    if word in {"today", "yesterday"}:
        day = (now - _EPOCH) // _MICRO // _DAY - (word == "yesterday")
        return day * _DAY, (day + 1) * _DAY
    found = _DATE.fullmatch(text)
    if found is None:
        raise BadMoment(f"{text!r} is not a moment")
    try:
        begin = _begin(found)
    except ValueError:
        raise BadMoment(f"{text!r} is not a moment: there is no such day or time") from None
    end = begin + _length(found)
    return min(max(begin, 0), _LAST), min(max(end, 0), _LAST + 1)


def _begin(found: re.Match[str]) -> int:
    clock = f"{found['minute'] or '00:00'}{(found['second'] or ':00')[:3]}"
    at = datetime.strptime(f"{found['day']} {clock}", "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    fraction = timedelta(microseconds=int((found["fraction"] or ".0")[1:].ljust(6, "0")))
    zone = found["zone"] or "Z"
    offset = timedelta(0)
    if zone not in "Zz":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:])) * (-1 if zone[0] == "-" else 1)
        # rejects invalid offsets
        timezone(offset)
    return (at - _EPOCH + fraction - offset) // _MICRO


def _length(found: re.Match[str]) -> int:
    if found["minute"] is None:
        return _DAY
    if found["second"] is None:
        return 60_000_000
    return int(10 ** (6 - len((found["fraction"] or ".")[1:])))
