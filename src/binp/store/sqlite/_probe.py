"""Generate keys at which a damaged table may be readable again, nearest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ._clock import wall_clock
from ._ids import first_id

__all__ = ["Key", "Place", "place_of", "places"]

#: a key of a table, column by column
Key = tuple[int | str, ...]

#: a prefix of a possible key; texts as bytes, as SQLite compares them
Place = tuple[int | bytes, ...]

#: larger than all ids
_END = 2**63 - 1

#: number of evenly spaced places to try between two known ones
_EVEN = 32

#: maximum length of a text for telling it from its neighbours, in characters
_LONGEST = 64

_DAY = 86_400_000_000


def place_of(key: Key) -> Place:
    """*key* as SQLite compares it."""
    return tuple(part if isinstance(part, int) else part.encode("utf-8", "surrogatepass") for part in key)


def places(kinds: Sequence[str], low: Place | None, high: Place | None) -> Iterator[Place]:
    """Places between *low* and *high*, both excluded.

    The number of keys between them is unknown, so the steps from either end grow: a damaged page may hold two keys or
    hundreds.

    Args:
        kinds: Types of the columns, ``"INTEGER"`` or ``"TEXT"``.
        low: The last readable key; None if there is none.
        high: The next readable key; None if unknown.
    """
    start = low or tuple(0 if kind == "INTEGER" else b"" for kind in kinds)
    # for keys with a common prefix, only the remaining columns differ
    same = 0
    while high is not None and same < len(kinds) - 1 and start[same] == high[same]:
        same += 1
    for column in reversed(range(same, len(kinds))):
        end = high[column] if high is not None and column == same else None
        for part in _above(start[column], end):
            yield (*start[:column], part)
    if high is not None:
        for column in reversed(range(same, len(kinds))):
            begin = start[column] if column == same else None
            for part in _below(high[column], begin):
                yield (*high[:column], part)


def _above(low: int | bytes, high: int | bytes | None) -> Iterator[int | bytes]:
    if isinstance(low, int):
        yield from _numbers_above(low, high if isinstance(high, int) else None)
    else:
        yield from _texts_above(low, high if isinstance(high, bytes) else None)


def _below(high: int | bytes, low: int | bytes | None) -> Iterator[int | bytes]:
    if isinstance(high, int):
        floor = low if isinstance(low, int) else -1
        yield from (high - 2**step for step in range(63) if high - 2**step > floor)
    else:
        bottom = low if isinstance(low, bytes) else b""
        yield from (text for text in _texts_below(high) if text > bottom)


def _numbers_above(low: int, high: int | None) -> Iterator[int]:
    end = _END if high is None else high
    yield from (low + 2**step for step in range(63) if low + 2**step < end)
    if high is not None:
        yield from range(low + 1, high, max(1, (high - low) // _EVEN))
    else:
        # most numeric keys are run ids, which are timestamps: search backwards from now
        newest = first_id(wall_clock() + _DAY)
        yield from (newest - 2**step for step in range(63) if newest - 2**step > low)


def _texts_above(low: bytes, high: bytes | None) -> Iterator[bytes]:
    found = [
        low[:place] + bytes([low[place] + 1]) for place in reversed(range(min(len(low), _LONGEST))) if low[place] < 255
    ]
    if high is None:
        found += [bytes([first]) for first in range((low[0] if low else 0) + 1, 256)]
    else:
        found += _texts_between(low, high)
    yield from (text for text in found if high is None or text < high)


def _texts_below(high: bytes) -> Iterator[bytes]:
    for place in reversed(range(min(len(high), _LONGEST))):
        if high[place]:
            yield high[:place] + bytes([high[place] - 1])
        yield high[:place]


def _texts_between(low: bytes, high: bytes) -> list[bytes]:
    """Evenly spaced texts between two, by the characters after their common prefix."""
    common = 0
    while common < min(len(low), len(high)) and low[common] == high[common]:
        common += 1
    first, last = (int.from_bytes(text[common : common + 8].ljust(8, b"\0"), "big") for text in (low, high))
    return [
        high[:common] + number.to_bytes(8, "big").rstrip(b"\0")
        for number in range(first + 1, last, max(1, (last - first) // _EVEN))
    ]
