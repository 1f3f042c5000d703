"""Execute named statements on one connection: one by one, or many rows at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from ._statements import of_part, statements, values_of

__all__ = ["Executor"]

#: rows of one execution: any number below the first, multiples of it, and these
_FEW, _MANY = 8, (256, 128)


class Executor:
    """What the named statements do to a file.

    Args:
        connection: The one that executes them.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._sql = statements()
        #: columns of the statements that take a row, and what they are for several
        self._widths: dict[str, int] = {}
        self._wide: dict[tuple[str, int], str] = {}

    def run(self, name: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        """Execute the statement *name*."""
        return self.connection.execute(self._sql[name], parameters)

    def run_in_part(self, number: int, name: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute the statement *name* for the part *number* of the index of runs."""
        return self.connection.execute(of_part(self._sql[name], number), parameters)

    def one(self, name: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """The first row of the statement *name*; its transaction goes on, the statement is done."""
        cursor = self.run(name, parameters)
        row = cursor.fetchone()
        cursor.close()
        return row

    def bulk(self, name: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        """Execute the bulk statement *name* once for all *rows*."""
        return self.run(name, (orjson.dumps(rows).decode(),))

    def ask(self, name: str, wanted: Iterable[Any]) -> Any:
        """What the bulk question *name* answers: one JSON text for all that is *wanted*."""
        return self.json(name, (orjson.dumps(wanted).decode(),))

    def json(self, name: str, parameters: Sequence[Any] | Mapping[str, Any]) -> Any:
        """What the JSON text says that the statement *name* answers."""
        return orjson.loads(self.one(name, parameters)[0])

    def put(self, name: str, values: list[Any]) -> int:
        """Execute the statement *name*, which takes one row, for all rows of *values*, one behind the other.

        Many rows go into one execution, which holds the interpreter's lock only once. Returns how many were changed.
        """
        if not values:
            return 0
        execute = self.connection.execute
        changed = 0
        for sql, part in self._parts(name, values):
            changed += execute(sql, part).rowcount
        return changed

    def look_up(self, name: str, values: list[Any]) -> list[Any]:
        """What the question *name*, which takes one row and answers in JSON, has to say of all rows of *values*."""
        found: list[Any] = []
        if not values:
            return found
        for sql, part in self._parts(name, values):
            found += orjson.loads(self.connection.execute(sql, part).fetchone()[0])
        return found

    def _parts(self, name: str, values: list[Any]) -> Iterator[tuple[str, list[Any]]]:
        """Statements made of *name* that take several rows each, and the values that go into them."""
        width = self._widths.get(name) or self._width_of(name)
        start = 0
        left = len(values) // width
        while left:
            rows = _portion(left)
            part = values if not start and rows == left else values[start * width : (start + rows) * width]
            yield self._wide.get((name, rows)) or self._widen(name, rows), part
            start += rows
            left -= rows

    def _width_of(self, name: str) -> int:
        self._widths[name] = width = values_of(self._sql[name]).count("?")
        return width

    def _widen(self, name: str, rows: int) -> str:
        sql = self._sql[name]
        values = values_of(sql)
        self._wide[name, rows] = wide = sql.replace(values, ", ".join([values] * rows))
        return wide


def _portion(rows: int) -> int:
    """How many of *rows* go into one execution: of each number there is a statement to be kept, so there are few."""
    if rows < _FEW:
        return rows
    return next((most for most in _MANY if rows >= most), rows - rows % _FEW)
