"""Write all that a database keeps as lines of JSON, while it is in use or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from ._connect import FAILURES, explain
from ._migrate import check_known, standing
from ._open_run import state_of
from ._statements import statements
from ._visit import visit

__all__ = ["FORMAT", "TABLES", "Table", "export"]

#: version of the format
FORMAT = 1

#: rows that are read together: nothing is held open while they are written
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is exported, with whatever columns it has."""

    #: of the table, and of the kind of line
    name: str
    #: columns of the primary key
    key: tuple[str, ...]
    #: columns that point to texts which are kept once
    names: tuple[str, ...] = ()


_RUN = Table(
    "run", ("id",), ("operation", "journal", "description", "trigger", "actor", "node", "version", "cancelled_by")
)
#: these carry what they were before
_KEYS = (Table("kv", ("namespace", "key")), Table("kv_removed", ("namespace", "key")))
_PARTS = (Table("record", ("run", "seq"), ("level", "source")),)

#: in the order in which they are exported; a run comes before what belongs to it
TABLES = (
    Table("kv_floor", ("id",)),
    *_KEYS,
    Table("service", ("name",)),
    Table("schedule", ("name",)),
    Table("once", ("key",)),
    Table("step", ("origin", "name")),
    _RUN,
    *_PARTS,
)


def export(path: Path) -> Iterator[bytes]:
    """All that the database *path* keeps, as lines of JSON, without their ends.

    The first line tells the format, each further one is a row (``kind`` is its table, what is null is left out), and
    the last one tells how many there were, so that what was cut off is noticed. Each run is complete in itself; what is
    written meanwhile may be in it or not.

    Raises:
        SchemaTooNew: a newer version wrote it: what this one does not know of would be missing.
        StoreError: it cannot be read.
    """
    with visit(path) as connection:
        check_known(connection, path)
        reader = _Reader(connection)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            yield orjson.dumps({"kind": "binp", "format": FORMAT, "schema": standing(connection, path), "at": now})
            yield from reader.lines()
            yield orjson.dumps({"kind": "end", "lines": reader.count})
        except FAILURES as error:
            raise explain(error, path) from None


class _Reader:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.count = 0
        self._connection = connection
        self._names: dict[int, str] = {}

    def lines(self) -> Iterator[bytes]:
        for table in TABLES:
            if table is _RUN:
                for page in self._pages(table):
                    yield from self._written(table, page)
                    for part in _PARTS:
                        first, last = page[0]["id"], page[-1]["id"]
                        for rows in self._pages(part, (first, -1), f"AND run <= {last}"):
                            yield from self._written(part, rows)
            elif table not in _PARTS:
                for page in self._pages(table):
                    yield from self._written(table, page)

    def _pages(
        self, table: Table, after: Sequence[Any] | None = None, further: str = ""
    ) -> Iterator[list[dict[str, Any]]]:
        key = ", ".join(table.key)
        marks = ", ".join("?" for _ in table.key)
        while True:
            where = f"WHERE ({key}) > ({marks}) {further}" if after is not None else ""
            cursor = self._connection.execute(
                f"SELECT * FROM {table.name} {where} ORDER BY {key} LIMIT {_PAGE}",  # noqa: S608 - our own tables # nosec B608 - the same
                tuple(after or ()),
            )
            columns = [column[0] for column in cursor.description]
            rows = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
            if not rows:
                return
            after = [rows[-1][column] for column in table.key]
            yield rows

    def _written(self, table: Table, rows: list[dict[str, Any]]) -> Iterator[bytes]:
        self._learn({row[column] for row in rows for column in table.names} - {None})
        for row in rows:
            for column in table.names:
                row[column] = self._names.get(row[column])
            if table is _RUN:
                row["state"] = state_of(row["state"])
            elif table in _KEYS:
                row["past"] = self._past(row["namespace"], row["key"])
            self.count += 1
            yield orjson.dumps({"kind": table.name} | {name: value for name, value in row.items() if value is not None})

    def _past(self, namespace: str, key: str) -> list[tuple[Any, ...]] | None:
        """What a key was before, the oldest first: version, value, module, at, run, actor, removed."""
        given = {"namespace": namespace, "key": key, "after": -1, "limit": -1}
        versions = self._connection.execute(statements()["get_history"], given).fetchall()
        # the first is what it is now, and none has an end any more
        return [version[:7] for version in reversed(versions[1:])] or None

    def _learn(self, ids: set[Any]) -> None:
        unknown = ids - self._names.keys()
        if unknown:
            self._names.update(
                self._connection.execute(
                    "SELECT id, text FROM name WHERE id IN (SELECT value FROM json_each(?))",
                    (orjson.dumps(list(unknown)).decode(),),
                )
            )
