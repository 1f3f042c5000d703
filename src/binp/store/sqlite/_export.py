"""Export a whole database as lines of JSON, whether it is in use or not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from binp.store.contract import StoreDamaged

from ._connect import FAILURES, explain
from ._losses import Losses
from ._migrate import altered, check_known, standing
from ._open_run import state_of
from ._statements import statements
from ._tolerate import Tolerant
from ._visit import visit
from ._walk import Row, Walk

__all__ = ["FORMAT", "TABLES", "Table", "export"]

#: version of the format
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Table:
    """A table to export, with whatever columns it has."""

    #: name of the table, and kind of its lines
    name: str
    #: columns of the primary key
    key: tuple[str, ...]
    #: columns with ids of interned texts
    names: tuple[str, ...] = ()


_RUN = Table(
    "run", ("id",), ("operation", "journal", "description", "trigger", "actor", "node", "version", "cancelled_by")
)
#: tables whose rows also carry their history
_KEYS = (Table("kv", ("namespace", "key")), Table("kv_removed", ("namespace", "key")))
_PARTS = (Table("record", ("run", "seq"), ("level", "source")),)

#: in the order of the export; a run comes before its parts
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


#: the tables that an export reads
_READ = (*(table.name for table in TABLES), "name", "kv_past")


def export(path: Path) -> Iterator[bytes]:
    """The whole content of the database *path*, as lines of JSON without line ends.

    The first line has the format, each further line a row (``kind`` is its table; nulls are left out), and the last
    line the number of rows, so that a truncated export is noticed. Each run is complete in itself; what is written
    meanwhile may or may not be included.

    Damaged data is left out and reported in the last line (``lost``): for each ``kind``, the rows between the keys
    ``after`` and ``before`` (null where nothing could be read beyond), or the one with ``key``; how many ``rows`` these
    are at most, null if unknown; or which ``part`` of a row: its ``text`` has altered characters, its ``past`` is
    incomplete, or a ``name`` shared with other rows is made up. ``unknown`` means losses because the pages of a table
    are inconsistent, with the reason ``why``. A row whose key itself was altered cannot be recognised: it is exported
    with that key.

    Raises:
        SchemaTooNew: a newer version wrote it, and the export would be incomplete.
        StoreError: it cannot be read, or is too damaged to know what it contains.
    """
    with visit(path, is_torn=True) as connection:
        reader = _Reader(connection)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            schema = _schema(connection, path, reader.losses)
            yield orjson.dumps({"kind": "binp", "format": FORMAT, "schema": schema, "at": now})
            yield from reader.lines()
            lost = reader.losses.told(_READ)
            yield orjson.dumps({"kind": "end", "lines": reader.count} | ({"lost": lost} if lost else {}))
        except FAILURES as error:
            raise explain(error, path) from None


def _schema(connection: sqlite3.Connection, path: Path, losses: Losses) -> int | None:
    """The version of the schema, if it is a known one."""
    # if even the list of tables cannot be read, nothing can
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    for table in _READ:
        if not connection.execute(f"PRAGMA table_info({table})").fetchall():
            raise _without(path, f"it has no table {table}")
    try:
        check_known(connection, path)
        changed = altered(connection, path, tables=_READ)
        if not changed:
            return standing(connection, path)
    except StoreDamaged:
        losses.add_part("migration", (), "all")
        return None
    raise _without(path, f"{' and '.join(changed)} has not the columns that it was made with")


def _without(path: Path, what: str) -> StoreDamaged:
    return StoreDamaged(f"the database is damaged: {what}", where=str(path), fix="restore a backup with `binp restore`")


class _Reader:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.count = 0
        self.losses = Losses(connection)
        self._connection = connection
        self._names: dict[int, str] = {}
        #: whether they were searched in the table and its index already
        self._is_searched = False

    def lines(self) -> Iterator[bytes]:
        for table in TABLES:
            if table is _RUN:
                yield from self._runs()
            elif table not in _PARTS:
                for page in self._walk(table).pages(self.losses.add):
                    yield from self._written(table, page)

    def _runs(self) -> Iterator[bytes]:
        parts = [(part, self._walk(part)) for part in _PARTS]
        for page in self._walk(_RUN).pages(self.losses.add):
            self.losses.count_runs({row["id"]: row["records"] for row in page})
            yield from self._written(_RUN, page)
            for part, walk in parts:
                for rows in walk.pages(self.losses.add_records, (page[0]["id"], 0), page[-1]["id"]):
                    self.losses.count_records((row["run"], row["seq"]) for row in rows)
                    yield from self._written(part, rows)
        # parts of lost runs may still be useful where the runs are known
        for first, last in self.losses.lost_runs():
            for part, walk in parts:
                for rows in walk.pages(self.losses.add_orphans, (first, 0), last):
                    yield from self._written(part, rows)

    def _walk(self, table: Table) -> Walk:
        return Walk(self._connection, table.name, table.key)

    def _written(self, table: Table, rows: list[Row]) -> Iterator[bytes]:
        self._learn({row[column] for row in rows for column in table.names} - {None})
        for row in rows:
            for column in table.names:
                row[column] = self._names.get(row[column])
            if table is _RUN:
                row["state"] = state_of(row["state"])
            elif table in _KEYS:
                row["past"] = self._past(table, row)
            self.count += 1
            yield orjson.dumps({"kind": table.name} | {name: value for name, value in row.items() if value is not None})

    def _past(self, table: Table, row: Row) -> list[tuple[Any, ...]] | None:
        """The history of a key, oldest first: version, value, module, at, run, actor, removed."""
        if row["past"] is None:
            return None
        given = {"namespace": row["namespace"], "key": row["key"], "after": -1}
        versions: list[tuple[Any, ...]] = []
        with Tolerant() as block:
            for version in self._connection.execute(statements()["get_history"], given | {"limit": -1}):
                versions.append(version)  # noqa: PERF402 - keeps the rows before one that fails
        if block.damage is not None:
            self.losses.add_part(table.name, (row["namespace"], row["key"]), "past")
        # the first one is the present version; the expiry is dropped, as past versions have none
        return [version[:7] for version in reversed(versions[1:])] or None

    def _learn(self, ids: set[Any]) -> None:
        """Read the texts for these ids; an unreadable one gets a replacement."""
        unknown = ids - self._names.keys()
        if not unknown:
            return
        with Tolerant() as block:
            self._names.update(
                self._connection.execute(
                    "SELECT id, text FROM name WHERE id IN (SELECT value FROM json_each(?))",
                    (orjson.dumps(list(unknown)).decode(),),
                )
            )
        if block.damage is not None:
            self._search_names()
        for number in sorted(unknown - self._names.keys()):
            self.losses.add_part("name", (number,), "all")
            self._names[number] = f"unreadable-{number}"

    def _search_names(self) -> None:
        """Read all readable texts, from the table and from its index."""
        if self._is_searched:
            return
        self._is_searched = True
        for key, index in (("id", None), ("text", "sqlite_autoindex_name_1")):
            for page in Walk(self._connection, "name", (key,), index=index).pages(lambda _gap: None):
                self._names.update((row["id"], row["text"]) for row in page)
