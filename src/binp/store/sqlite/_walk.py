"""Iterate over a table in the order of its key, skipping what cannot be read."""

from __future__ import annotations

import functools
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ._judge import fits, flaw
from ._open_run import STATES
from ._probe import Key, Place, place_of, places
from ._scan import Scan
from ._tolerate import Tolerant

__all__ = ["Gap", "Row", "Walk", "compared"]

#: rows per read: nothing is kept open while they are used
_PAGE = 500

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Rows that cannot be read, or were altered."""

    table: str
    #: the last key before them; None if none is known
    after: Key | None = None
    #: the next key after them; None if none is known
    before: Key | None = None
    #: the key, if it is a single row with a known key
    key: Key | None = None
    #: the row can be read, but some of its characters were altered
    is_altered: bool = False


class Walk:
    """Reads one table.

    Args:
        connection: A connection to the file.
        table: Its name.
        key: Columns of its primary key.
        index: Read it from this index, which has all columns and the order of the key.
    """

    def __init__(
        self, connection: sqlite3.Connection, table: str, key: tuple[str, ...], *, index: str | None = None
    ) -> None:
        self._connection = connection
        self._table = table
        self._source = table if index is None else f"{table} INDEXED BY {index}"
        self._key = key
        self._columns = {
            name: (type_name, bool(is_set or place))
            for _, name, type_name, is_set, _, place in connection.execute(f"PRAGMA table_info({table})")
        }
        self._kinds = [self._columns[column][0] for column in key]
        self._upward = ", ".join(key)
        self._downward = ", ".join(f"{column} DESC" for column in key)

    @functools.cached_property
    def _scan(self) -> Scan:
        return Scan(lambda number, size: self._keys([], [], f"{self._upward} LIMIT {size} OFFSET {number}"))

    def pages(
        self, lost: Callable[[Gap], None], after: Key | None = None, last: int | None = None
    ) -> Iterator[list[Row]]:
        """All rows in the order of their keys, a few hundred at a time.

        Args:
            lost: Called with each gap during the iteration.
            after: Start after this key.
            last: Up to this number in the first column of the key.
        """
        low, size = after, _PAGE
        while True:
            rows, has_failed = self._rows(low, last, size)
            if rows:
                low = self._key_of(rows[-1])
                yield rows
            if not has_failed and len(rows) == size:
                size = min(size * 2, _PAGE)
                continue
            if not has_failed and not self._has_more(low, last):
                return
            # the next row, and possibly more, cannot be read
            size = 1
            key = self._first(*self._from(low), None if low is None else place_of(low))
            if _is_beyond(key, last):
                if not self._has_more(low, last):
                    return
                # it would skip existing rows
                key = None
            if key is not None:
                yield from self._saved(key, lost)
                low = key
                continue
            keys = self._behind(low)
            yield from self._filled(low, keys[0] if keys else None, last, lost)
            if not keys or _is_beyond(keys[0], last):
                return
            yield from self._found([key for key in keys if not _is_beyond(key, last)], lost)
            low = keys[-1]

    def _filled(
        self, low: Key | None, high: Key | None, last: int | None, lost: Callable[[Gap], None]
    ) -> Iterator[list[Row]]:
        """What can be read between *low* and *high*, where searching by key fails."""
        start = None if low is None else place_of(low)
        end = None if high is None else place_of(high)
        if last is not None:
            end = (last + 1,) if end is None else min(end, (last + 1,))
        for number, keys in self._scan.between(start, end):
            found, _ = self._ask("*", [], [], f"{self._upward} LIMIT {len(keys)} OFFSET {number}")
            rows = self._sound(found, None)
            if [self._key_of(row) for row in rows] == keys:
                yield rows
            else:
                for place, key in enumerate(keys, number):
                    yield from self._saved(key, lost, place)
        if self._scan.is_torn:
            reached = self._scan.last
            if reached is not None and (start is None or place_of(reached) > start):
                low = reached
            if low is None or end is None or place_of(low) < end:
                lost(Gap(table=self._table, after=low, before=high))

    def _found(self, keys: Sequence[Key], lost: Callable[[Gap], None]) -> Iterator[list[Row]]:
        """The rows with *keys*, which were readable in descending order; the path to the first may be damaged."""
        if not keys:
            return
        condition = compared(self._key, "<=")
        found, has_failed = self._ask("*", [condition], keys[-1], f"{self._downward} LIMIT {len(keys)}")
        rows = [self._row_of(values) for values in reversed(found)]
        if not has_failed and all(map(self._is_sound, rows)) and [self._key_of(row) for row in rows] == list(keys):
            yield rows
        else:
            for key in keys:
                yield from self._saved(key, lost)

    def _saved(self, key: Key, lost: Callable[[Gap], None], number: int | None = None) -> Iterator[list[Row]]:
        """What can be recovered of the row with *key*, by any of several ways."""
        given = [f"{column} = ?" for column in self._key]
        down = compared(self._key, "<=")
        ways: list[tuple[list[str], Key, str]] = [
            (given, key, f"{self._upward} LIMIT 1"),
            ([down], key, f"{self._downward} LIMIT 1"),
        ]
        for way in ways:
            if (row := self._one(key, *way)) is not None:
                yield [row]
                return
        if number is None:
            number = next((place for place, keys in self._scan.between(*_around(key)) if keys == [key]), None)
        if number is not None:
            ways.append(([], (), f"{self._upward} LIMIT 1 OFFSET {number}"))
            if (row := self._one(key, *ways[-1])) is not None:
                yield [row]
                return
        honest = self._connection.text_factory
        self._connection.text_factory = lambda content: content.decode("utf-8", "replace")
        try:
            row = next((row for way in ways if (row := self._one(key, *way)) is not None), None)
        finally:
            self._connection.text_factory = honest
        lost(Gap(table=self._table, key=key, is_altered=row is not None))
        if row is not None:
            yield [row]

    def _one(self, key: Key, conditions: Sequence[str], values: Sequence[Any], order: str) -> Row | None:
        """The row with *key*, if it is found and plausible."""
        found, _ = self._ask("*", conditions, values, order)
        row = self._row_of(found[0]) if found else None
        return row if row is not None and self._is_sound(row) and self._key_of(row) == key else None

    def _rows(self, low: Key | None, last: int | None, size: int) -> tuple[list[Row], bool]:
        """Up to *size* rows after *low*, and whether reading another one failed."""
        conditions, values = self._up_to(low, last)
        found, has_failed = self._ask("*", conditions, values, f"{self._upward} LIMIT {size}")
        if has_failed and len(found) + 1 < size:
            # the sqlite3 module drops the row before the one that fails
            more, _ = self._ask("*", conditions, values, f"{self._upward} LIMIT {len(found) + 1}")
            found = max(found, more, key=len)
        rows = self._sound(found, low)
        return rows, has_failed or len(rows) < len(found)

    def _sound(self, found: Sequence[tuple[Any, ...]], low: Key | None) -> list[Row]:
        """The rows up to the first one that is implausible or not after *low*."""
        rows: list[Row] = []
        before = None if low is None else place_of(low)
        for values in found:
            row = self._row_of(values)
            if not self._is_sound(row):
                break
            place = place_of(self._key_of(row))
            # a page with wrong content may lead anywhere, even back
            if before is not None and place <= before:
                break
            before = place
            rows.append(row)
        return rows

    def _has_more(self, low: Key | None, last: int | None) -> bool:
        """Whether there may be rows after *low*, in descending order: in ascending order, damage may hide them."""
        conditions, values = self._up_to(low, last)
        found, has_failed = self._keys(conditions, values, f"{self._downward} LIMIT 1")
        return has_failed or bool(found)

    def _up_to(self, low: Key | None, last: int | None) -> tuple[list[str], list[Any]]:
        conditions, values = self._from(low)
        if last is not None:
            conditions.append(f"{self._key[0]} <= ?")
            values.append(last)
        return conditions, values

    def _from(self, low: Key | None) -> tuple[list[str], list[Any]]:
        if low is None:
            return [], []
        return [compared(self._key, ">")], list(low)

    def _ask(
        self, columns: str, conditions: Sequence[str], values: Sequence[Any], order: str
    ) -> tuple[list[tuple[Any, ...]], bool]:
        """The rows up to the first unreadable one, and whether there was one."""
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        found: list[tuple[Any, ...]] = []
        with Tolerant() as block:
            cursor = self._connection.execute(f"SELECT {columns} FROM {self._source} {where} ORDER BY {order}", values)  # noqa: S608 - our own tables # nosec B608 - the same
            for row in cursor:
                found.append(row)  # noqa: PERF402 - keeps the rows before one that fails
        return found, block.damage is not None

    def _is_sound(self, row: Row) -> bool:
        """Whether *row* is plausible; an implausible one could not be imported anyway."""
        for name, (type_name, is_set) in self._columns.items():
            value = row[name]
            if value is None:
                if is_set:
                    return False
            elif not fits(type_name, value):
                return False
        if self._table == "run" and not 0 <= row["state"] < len(STATES):
            return False
        return flaw(self._table, row) is None

    def _row_of(self, values: Sequence[Any]) -> Row:
        return dict(zip(self._columns, values, strict=True))

    def _key_of(self, row: Row) -> Key:
        return tuple(row[column] for column in self._key)

    def _keys(self, conditions: Sequence[str], values: Sequence[Any], order: str) -> tuple[list[Key], bool]:
        """The keys up to the first unreadable or invalid one, and whether there was one."""
        found, has_failed = self._ask(self._upward, conditions, values, order)
        for number, key in enumerate(found):
            if not all(fits(kind, part) for part, kind in zip(key, self._kinds, strict=True)):
                return found[:number], True
        return found, has_failed

    def _first(self, conditions: Sequence[str], values: Sequence[Any], low: Place | None) -> Key | None:
        """The first key that fulfils *conditions*, if it can be read and is after *low*."""
        found, _ = self._keys(conditions, values, f"{self._upward} LIMIT 1")
        return found[0] if found and (low is None or place_of(found[0]) > low) else None

    def _behind(self, low: Key | None) -> list[Key]:
        """The first keys after *low* from which on rows are readable again; empty if there are none."""
        start = None if low is None else place_of(low)
        keys: list[Key] = []
        while (found := self._probe(start, keys[0] if keys else None)) is not None:
            keys = self._descend(found, start)
        return keys

    def _probe(self, low: Place | None, high: Key | None) -> Key | None:
        """A readable key between *low* and *high*."""
        end = None if high is None else place_of(high)
        for place in places(self._kinds, low, end):
            columns = ", ".join(self._key[: len(place)])
            marks = ", ".join("?" if isinstance(part, int) else "CAST(? AS TEXT)" for part in place)
            found = self._first([f"({columns}) >= ({marks})"], place, low)
            if found is not None and (end is None or place_of(found) < end) and place_of(found) >= place:
                return found
        last = self._last() if high is None else None
        return last if last is not None and (low is None or place_of(last) > low) else None

    def _last(self) -> Key | None:
        """The last key of the table, if it can be read."""
        found, _ = self._keys([], [], f"{self._downward} LIMIT 1")
        return found[0] if found else None

    def _descend(self, high: Key, low: Place | None) -> list[Key]:
        """Go down from *high* until nothing more can be read; returns the last keys on the way, in ascending order."""
        condition = compared(self._key, "<")
        passed, size = deque([high], _PAGE), _PAGE
        while True:
            found, has_failed = self._keys([condition], passed[0], f"{self._downward} LIMIT {size}")
            count = 0
            for key in found:
                if place_of(key) >= place_of(passed[0]) or (low and place_of(key) <= low):
                    return list(passed)
                passed.appendleft(key)
                count += 1
            if not count and (size == 1 or not has_failed):
                return list(passed)
            size = 1 if has_failed else min(size * 2, _PAGE)


def compared(columns: Sequence[str], sign: str) -> str:
    """The condition that compares these *columns* with a given key."""
    return f"({', '.join(columns)}) {sign} ({', '.join('?' for _ in columns)})"


def _is_beyond(key: Key | None, last: int | None) -> bool:
    return key is not None and last is not None and isinstance(key[0], int) and key[0] > last


def _around(key: Key) -> tuple[Place, Place]:
    """The places immediately before and after *key*."""
    *front, end = place_of(key)
    if isinstance(end, int):
        return (*front, end - 1), (*front, end + 1)
    return (*front, end[:-1]), (*front, end + b"\0")
