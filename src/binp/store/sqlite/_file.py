"""The file as its one writer sees it: named statements, bulk rows, and the texts that are kept once."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from ._statements import statements

__all__ = ["File"]

#: texts whose ids are remembered, of each kind; labels may be of any number
_REMEMBERED = 50_000

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
        (newest,) = self.one("newest_run")
        #: the largest id of a run so far
        self.newest: int = newest or 0

    def run(self, name: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> sqlite3.Cursor:
        """Execute the statement *name*."""
        return self.connection.execute(self._sql[name], parameters)

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
        return orjson.loads(self.one(name, (orjson.dumps(wanted).decode(),))[0])

    def names(self, texts: set[str]) -> dict[str, int]:
        """The ids of *texts*; those that are not known yet become known."""
        return self._names.ids(texts)

    def labels(self, texts: set[str]) -> dict[str, int]:
        """The ids of the labels *texts*; those that are not known yet become known."""
        return self._labels.ids(texts)

    def forget_labels(self, texts: Iterable[str]) -> None:
        """The labels *texts* are not in the file any more."""
        self._labels.forget(texts)

    def begin(self, *, durable: bool = True) -> None:
        """Begin a transaction that writes: a reading one could not become one when another program has written.

        Args:
            durable: It is to be on the disk when it is committed.
        """
        self._set_durable(durable)
        self.connection.execute("BEGIN IMMEDIATE")

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
        if self._is_syncing:
            # a transaction that changed nothing did not take the earlier ones with it
            self.sync()
        elif self._syncs and self.unsynced is None:
            self.unsynced = time.monotonic()

    def _forget(self) -> None:
        self._names.clear()
        self._labels.clear()
        (newest,) = self.one("newest_run")
        self.newest = newest or 0


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
