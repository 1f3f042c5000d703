"""The file as its one writer sees it: named statements, bulk rows, and the texts that are kept once."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from ._key_care import KeyCare
from ._open_run import OpenRun
from ._statements import of_part, statements, values_of
from ._text import clean_name

__all__ = ["File"]

#: texts whose ids are remembered, of each kind; labels may be of any number
_REMEMBERED = 50_000

#: rows of one execution: any number below the first, multiples of it, and these
_FEW, _MANY = 8, (256, 128)

#: the level of SQLite at which each commit is on the disk when it is done
_FULL = 2


class File:
    """What the writer does to the file.

    Args:
        connection: The one that writes.
        path: The file.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        #: when the first commit was made that is not on the disk yet, in monotonic seconds; None if all are
        self.unsynced: float | None = None
        self._log = path.with_name(path.name + "-wal")
        #: whether commits are to reach the disk at all, and whether the next one does
        self._syncs = self._is_syncing = connection.execute("PRAGMA synchronous").fetchone()[0] >= _FULL
        self._sql = statements()
        self._names = _Texts(self, "find_names", "add_names")
        self._labels = _Texts(self, "find_labels", "add_labels")
        self._tuples: dict[tuple[str | None, ...], tuple[int | None, ...]] = {}
        #: what is known of runs that are open, by their ids
        self.runs: dict[int, OpenRun] = {}
        #: version, versions that are kept and moment of expiry of keys that are there
        self.present_keys: dict[tuple[str, str], tuple[int, int, int | None]] = {}
        #: columns of the statements that take a row, and what they are for several
        self._widths: dict[str, int] = {}
        self._wide: dict[tuple[str, int], str] = {}
        #: changes when another connection has written
        self._version = self._read_version()
        (newest,) = self.one("newest_run")
        #: the largest id of a run so far
        self.newest: int = newest or 0
        #: called after each commit
        self.tell: Callable[[], None] = lambda: None
        #: what is known of all keys together
        self.keys = KeyCare(self)

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

    def names(self, texts: tuple[str | None, ...]) -> tuple[int | None, ...]:
        """The ids of *texts*, None for None; a text that is not known yet becomes known."""
        return self._tuples.get(texts) or self._name(texts)

    def ids_of(self, texts: set[str]) -> dict[str, int]:
        """The same for any number of texts that do not come again and again."""
        return self._names.ids(texts)

    def labels(self, texts: set[str]) -> dict[str, int]:
        """The ids of the labels *texts*; those that are not known yet become known."""
        return self._labels.ids(texts)

    def forget_labels(self, texts: Iterable[str]) -> None:
        """The labels *texts* are not in the file any more."""
        self._labels.forget(texts)

    def begin(self, *, durable: bool = True, keeps: bool = False) -> None:
        """Begin a transaction that writes: a reading one could not become one when another program has written.

        Args:
            durable: It is to be on the disk when it is committed.
            keeps: What it changes about open runs and keys, it changes in :attr:`runs` and :attr:`present_keys` too.
        """
        self._set_durable(durable)
        self.connection.execute("BEGIN IMMEDIATE")
        version = self._read_version()
        if version != self._version:
            # by a program of somebody else: what is remembered may not be true any more
            self._version = version
            self._forget()
        elif not keeps:
            self.runs.clear()
            self.present_keys.clear()

    def commit(self) -> None:
        """Make it last."""
        self.connection.execute("COMMIT")
        self._committed()

    def give_back(self, pages: int) -> None:
        """Give so many free pages back, in a transaction of its own that need not be on the disk."""
        self._set_durable(False)
        # it goes on with each row that is asked for and has none: only a script is run to its end
        self.connection.executescript(f"PRAGMA incremental_vacuum({pages})")
        self._committed()

    def sync(self) -> None:
        """Bring onto the disk what is committed and not there yet.

        Raises:
            OSError: the disk did not take it.
        """
        if self.unsynced is None:
            return
        log = os.open(self._log, os.O_RDONLY)
        try:
            os.fsync(log)
        finally:
            os.close(log)
        self.unsynced = None

    def roll_back(self) -> None:
        """Undo the transaction, if SQLite has not done so itself."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self._forget()

    def save(self) -> None:
        """Begin a part of the transaction that can be undone by itself."""
        self.connection.execute("SAVEPOINT part")

    def release_save(self) -> None:
        """The part is done, or undone."""
        self.connection.execute("RELEASE part")

    def back_to_save(self) -> None:
        """Undo the part."""
        self.connection.execute("ROLLBACK TO part")
        self._forget()

    def _set_durable(self, durable: bool) -> None:
        if self._syncs and durable is not self._is_syncing:
            self.connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._is_syncing = durable

    def _committed(self) -> None:
        self.tell()
        if self._is_syncing:
            # a transaction that changed nothing did not take the earlier ones with it
            self.sync()
        elif self._syncs and self.unsynced is None:
            self.unsynced = time.monotonic()

    def _read_version(self) -> int:
        cursor = self.connection.execute("PRAGMA data_version")
        version: int = cursor.fetchone()[0]
        cursor.close()
        return version

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

    def _name(self, texts: tuple[str | None, ...]) -> tuple[int | None, ...]:
        clean = [None if text is None else clean_name(text) for text in texts]
        ids = self._names.ids({text for text in clean if text is not None})
        if len(self._tuples) > _REMEMBERED:
            self._tuples.clear()
        self._tuples[texts] = found = tuple(None if text is None else ids[text] for text in clean)
        return found

    def _forget(self) -> None:
        self.runs.clear()
        self.present_keys.clear()
        self._tuples.clear()
        self._names.clear()
        self._labels.clear()
        (newest,) = self.one("newest_run")
        self.newest = newest or 0
        self.keys.read()


def _portion(rows: int) -> int:
    """How many of *rows* go into one execution: of each number there is a statement to be kept, so there are few."""
    if rows < _FEW:
        return rows
    return next((most for most in _MANY if rows >= most), rows - rows % _FEW)


class _Texts:
    """Ids of texts that a table keeps once.

    Args:
        file: What has the table.
        find: Statement that asks for the ids of texts.
        add: Statement that keeps texts.
    """

    def __init__(self, file: File, find: str, add: str) -> None:
        self._file = file
        self._statements = (find, add)
        self._known: dict[str, int] = {}

    def ids(self, texts: set[str]) -> dict[str, int]:
        """At least the ids of *texts*; those that are not in the table yet are put there."""
        known = self._known
        missing = [text for text in texts if text not in known]
        if missing:
            if len(known) > _REMEMBERED:
                known.clear()
                missing = list(texts)
            self._find(missing)
            new = [text for text in missing if text not in known]
            if new:
                self._file.bulk(self._statements[1], new)
                self._find(new)
        return known

    def forget(self, texts: Iterable[str]) -> None:
        """Those are not in the table any more."""
        for text in texts:
            self._known.pop(text, None)

    def clear(self) -> None:
        """What is in the table is not known any more."""
        self._known.clear()

    def _find(self, texts: list[str]) -> None:
        for id, text in self._file.ask(self._statements[0], texts):  # noqa: A001 - the name of the column
            self._known[text] = id
