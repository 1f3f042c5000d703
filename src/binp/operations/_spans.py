"""Parse a duration in code: a number of seconds, a text such as ``"1h30min"``, or a ``timedelta``."""

from __future__ import annotations

import math
import re
from datetime import timedelta

__all__ = ["seconds_in", "seconds_of"]

#: seconds per unit of a duration
_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(d|h|min|m|s)")
_SPAN = re.compile(rf"(?:{_PART.pattern})+")


def seconds_in(text: str) -> float | None:
    """Seconds of a duration such as ``1h30min``; None if *text* is not a duration."""
    found = _SPAN.fullmatch(text.replace(" ", ""))
    return None if found is None else sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(found.group()))


def seconds_of(given: object) -> float | None:
    """The seconds of *given*, in one of these three forms; None if it is not a finite duration."""
    seconds: object = given
    if isinstance(given, timedelta):
        seconds = given.total_seconds()
    elif isinstance(given, str):
        seconds = seconds_in(given)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        number = float(seconds)
    except OverflowError:
        # an integer beyond all floats
        return None
    return number if math.isfinite(number) else None
