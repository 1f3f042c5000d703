"""Execute named statements on one connection: one by one, or many rows at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from ._statements import of_part, statements, values_of

__all__ = ["Executor"]

#: rows per execution: any number below the first, multiples of it, and these
_FEW, _MANY = 8, (256, 128)


class Executor:
    """Executes the named statements on a file.

    Args:
        connection: The connection.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._sql = statements()
        #: the number of columns of statements that take a row, and the statements for several rows
        self._widths: dict[str, int] = {}
        self._wide: dict[tuple[str, int], str] = {}

    def run(self, name: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        """Execute the statement *name*."""
        return self.connection.execute(self._sql[name], parameters)

    def run_in_part(self, number: int, name: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute the statement *name* for part *number* of the index of runs."""
        return self.connection.execute(of_part(self._sql[name], number), parameters)

    def one(self, name: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        """The first row of the statement *name*; the statement is finished, its transaction continues."""
        cursor = self.run(name, parameters)
        row = cursor.fetchone()
        cursor.close()
        return row

    def bulk(self, name: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        """Execute the bulk statement *name* once for all *rows*."""
        return self.run(name, (orjson.dumps(rows).decode(),))

    def ask(self, name: str, wanted: Iterable[Any]) -> Any:
        """The result of the bulk query *name*: one JSON text for everything *wanted*."""
        return self.json(name, (orjson.dumps(wanted).decode(),))

    def json(self, name: str, parameters: Sequence[Any] | Mapping[str, Any]) -> Any:
        """The JSON result of the statement *name*, decoded."""
        return orjson.loads(self.one(name, parameters)[0])

    def put(self, name: str, values: list[Any]) -> int:
        """Execute the statement *name*, which takes one row, for all rows in *values*, which are concatenated.

        Many rows go into one execution, which acquires the GIL only once. Returns the number of changed rows.
        """
        if not values:
            return 0
        execute = self.connection.execute
        changed = 0
        for sql, part in self._parts(name, values):
            changed += execute(sql, part).rowcount
        return changed

    def look_up(self, name: str, values: list[Any]) -> list[Any]:
        """The combined results of the query *name*, which takes one row and returns JSON, for all rows in *values*."""
        found: list[Any] = []
        if not values:
            return found
        for sql, part in self._parts(name, values):
            found += orjson.loads(self.connection.execute(sql, part).fetchone()[0])
        return found

    def _parts(self, name: str, values: list[Any]) -> Iterator[tuple[str, list[Any]]]:
        """Variants of the statement *name* that take several rows each, with their values."""
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
    """How many of *rows* go into one execution; only a few sizes, because each needs a prepared statement."""
    if rows < _FEW:
        return rows
    return next((most for most in _MANY if rows >= most), rows - rows % _FEW)
