"""Convert single values strictly: which values of a file and which texts each type accepts."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import json
import math
import pathlib
import re
import uuid
from collections.abc import Callable
from typing import Any, Final

TRUE: Final = frozenset({"1", "true", "t", "yes", "y", "on"})
FALSE: Final = frozenset({"0", "false", "f", "no", "n", "off"})
#: maximum length of a value inside a message
SHOWN: Final = 60

_INTEGER = re.compile(r"[+-]?[0-9](_?[0-9])*")
_SPAN = re.compile(
    r"(?:(?P<weeks>[0-9.]+)w)?\s*(?:(?P<days>[0-9.]+)d)?\s*(?:(?P<hours>[0-9.]+)h)?\s*(?:(?P<minutes>[0-9.]+)m)?\s*"
    r"(?:(?P<seconds>[0-9.]+)s)?\s*(?:(?P<milliseconds>[0-9.]+)ms)?",
    re.IGNORECASE,
)


class Unfit(ValueError):
    """A value does not fit its type; the caller adds path and source."""

    def __init__(self, value: object, complaint: str) -> None:
        super().__init__(value, complaint)
        self.value = value
        self.complaint = complaint

    def __str__(self) -> str:
        return f"{show(self.value)} {self.complaint}"


def show(value: object) -> str:
    """Render a value for a message, shortened to `SHOWN` characters."""
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def to_bool(value: object) -> bool:
    """Convert to a boolean: a bool, the numbers 1 and 0, or one of the twelve words in any case.

    Raises:
        Unfit: the value is anything else.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    if isinstance(value, str):
        word = value.strip().lower()
        if word in TRUE or word in FALSE:
            return word in TRUE
    raise Unfit(value, "is not a boolean (use true/false, yes/no, on/off or 1/0)")


def to_int(value: object) -> int:
    """Convert to an integer: an int that is not a bool, or decimal text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        try:
            return int(value)
        except ValueError:  # CPython rejects text of more than 4300 digits
            raise Unfit(value, "is too long for an integer") from None
    raise Unfit(value, "is not an integer")


def to_float(value: object) -> float:
    """Convert to a float: an int or a float that is not a bool, or text of one; never NaN."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number: float | None = _float(value)
    elif isinstance(value, str):
        number = _float(value)
    else:
        number = None
    if number is None or math.isnan(number):
        raise Unfit(value, "is not a number")
    return number


def _float(value: float | str) -> float | None:
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def to_str(value: object) -> str:
    """Accept text only; nothing else is converted to text implicitly."""
    if isinstance(value, str):
        return value
    raise Unfit(value, "is not text (quote it)")


def to_bytes(value: object) -> bytes:
    """Convert to bytes: bytes, or text as UTF-8."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    raise Unfit(value, "is not text (quote it)")


def to_timedelta(value: object) -> dt.timedelta:
    """Convert to a duration: a timedelta, a number of seconds, or text such as `90`, `1h30m` and `250ms`."""
    if isinstance(value, dt.timedelta):
        return value
    number: float | None = None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str):
        number = _float(value)
        match = _SPAN.fullmatch(value.strip())
        if number is None and match and value.strip():
            try:
                return dt.timedelta(**{unit: float(part) for unit, part in match.groupdict().items() if part})
            except (ValueError, OverflowError):
                number = None
    if number is None or not math.isfinite(number):
        raise Unfit(value, "is not a time span (seconds, or text such as '1h30m')")
    try:
        return dt.timedelta(seconds=number)
    except OverflowError:
        raise Unfit(value, "is too long for a time span") from None


def _parsed(tp: type, parse: Callable[[str], Any], complaint: str) -> Callable[[object], Any]:
    def read(value: object) -> Any:
        if type(value) is tp or (isinstance(value, tp) and tp is not dt.date):
            return value
        if isinstance(value, str):
            try:
                return parse(value.strip())
            except (ValueError, ArithmeticError, re.error):
                pass
        raise Unfit(value, complaint)

    return read


def _to_decimal(value: object) -> decimal.Decimal:
    if isinstance(value, decimal.Decimal):
        return value
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = decimal.Decimal(str(value).strip())
        except decimal.InvalidOperation:
            raise Unfit(value, "is not a number") from None
        if number.is_finite():
            return number
    raise Unfit(value, "is not a number")


#: exact type -> strict converter of a value or of text
SCALARS: Final[dict[Any, Callable[[Any], Any]]] = {
    bool: to_bool,
    int: to_int,
    float: to_float,
    str: to_str,
    bytes: to_bytes,
    dt.timedelta: to_timedelta,
    dt.datetime: _parsed(dt.datetime, dt.datetime.fromisoformat, "is not a date and time (ISO 8601)"),
    dt.date: _parsed(dt.date, dt.date.fromisoformat, "is not a date (ISO 8601)"),
    dt.time: _parsed(dt.time, dt.time.fromisoformat, "is not a time of day (ISO 8601)"),
    decimal.Decimal: _to_decimal,
    uuid.UUID: _parsed(uuid.UUID, uuid.UUID, "is not a UUID"),
    pathlib.Path: _parsed(pathlib.Path, pathlib.Path, "is not a path (quote it)"),
    pathlib.PurePath: _parsed(pathlib.PurePath, pathlib.PurePath, "is not a path (quote it)"),
    re.Pattern: _parsed(re.Pattern, re.compile, "is not a regular expression"),
}


def to_enum(value: object, tp: type[enum.Enum], *, text: bool) -> enum.Enum:
    """Convert to a member of an enum, by its value or by its name."""
    for member in tp:
        if type(member.value) is type(value) and member.value == value:
            return member
    if isinstance(value, str):
        for member in tp:
            if member.name == value.strip() or (text and str(member.value) == value.strip()):
                return member
    raise Unfit(value, f"is not one of {', '.join(repr(member.value) for member in tp)}")


def to_literal(value: object, choices: tuple[object, ...], *, text: bool) -> object:
    """Convert to one of the listed values; text also matches the spelling of a number or a boolean."""
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    if text and isinstance(value, str):
        for choice in choices:
            if isinstance(choice, bool) and value.strip().lower() in (TRUE if choice else FALSE):
                return choice
            if str(choice) == value.strip():
                return choice
    raise Unfit(value, f"is not one of {', '.join(map(repr, choices))}")


def split_list(text: str) -> tuple[list[Any], bool]:
    """Split text into items: as JSON if it starts with a bracket, otherwise at commas.

    Returns:
        The items, and whether they are still text (True for commas).

    Raises:
        Unfit: it starts with a bracket, but is not a JSON list.
    """
    stripped = text.strip()
    if stripped.startswith("["):
        return _json(text, list, "is not a JSON list"), False
    return [part.strip() for part in stripped.split(",")] if stripped else [], True


def split_map(text: str) -> tuple[dict[str, Any], bool]:
    """Split text into a map: as JSON if it starts with a brace, otherwise as `key=value` separated by commas.

    Returns:
        The map, and whether its values are still text.

    Raises:
        Unfit: it is neither.
    """
    stripped = text.strip()
    if stripped.startswith("{"):
        return _json(text, dict, "is not a JSON object"), False
    pairs: dict[str, Any] = {}
    for part in stripped.split(",") if stripped else ():
        key, separator, item = part.partition("=")
        if not separator or not key.strip():
            raise Unfit(text, 'is not a map (use key=value,key=value or {"key": "value"})')
        pairs[key.strip()] = item.strip()
    return pairs, True


def _json(text: str, kind: type, complaint: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Unfit(text, complaint) from None
    if not isinstance(value, kind):  # pragma: no cover - JSON that starts with a bracket has the type of that bracket
        raise Unfit(text, complaint)
    return value


#: generic origin -> constructor from the items
SEQUENCES: Final[dict[Any, Callable[[list[Any]], Any]]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    collections.deque: collections.deque,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Set: frozenset,
    collections.abc.MutableSet: set,
}
#: generic origins of maps; all become a dict
MAPS: Final[frozenset[Any]] = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})
