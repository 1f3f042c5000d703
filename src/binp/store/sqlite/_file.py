"""The file as its one writer sees it: named statements, bulk rows, and the texts that are kept once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from ._statements import statements

__all__ = ["File"]

#: texts whose ids are remembered; labels may be of any number
_REMEMBERED = 50_000


class File:
    """What the writer does to the file.

    Args:
        connection: The one that writes.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._sql = statements()
        self._names: dict[str, int] = {}
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
        known = self._names
        missing = [text for text in texts if text not in known]
        if missing:
            if len(known) > _REMEMBERED:
                known.clear()
                missing = list(texts)
            self._find(missing)
            new = [text for text in missing if text not in known]
            if new:
                self.bulk("add_names", new)
                self._find(new)
        return known

    def begin(self) -> None:
        """Begin a transaction that writes: a reading one could not become one when another program has written."""
        self.connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make it last."""
        self.connection.execute("COMMIT")

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

    def _forget(self) -> None:
        self._names.clear()
        (newest,) = self.one("newest_run")
        self.newest = newest or 0

    def _find(self, texts: list[str]) -> None:
        for id, text in self.ask("find_names", texts):  # noqa: A001 - the name of the column
            self._names[text] = id
