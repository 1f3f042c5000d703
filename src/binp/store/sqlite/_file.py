"""The file as its one writer sees it: transactions, and what is known of it while nobody else writes."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ._executor import Executor
from ._key_care import KeyCare
from ._open_run import OpenRun
from ._text import clean_name
from ._vocabulary import REMEMBERED, Vocabulary

__all__ = ["File"]

#: the level of SQLite at which each commit is on the disk when it is done
_FULL = 2


class File(Executor):
    """What the writer does to the file.

    Args:
        connection: The one that writes.
        path: The file.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        super().__init__(connection)
        #: when the first commit was made that is not on the disk yet, in monotonic seconds; None if all are
        self.unsynced: float | None = None
        self._log = path.with_name(path.name + "-wal")
        #: whether commits are to reach the disk at all, and whether the next one does
        self._syncs = self._is_syncing = connection.execute("PRAGMA synchronous").fetchone()[0] >= _FULL
        self._names = Vocabulary(self, "find_names", "add_names")
        self._labels = Vocabulary(self, "find_labels", "add_labels")
        self._tuples: dict[tuple[str | None, ...], tuple[int | None, ...]] = {}
        #: what is known of runs that are open, by their ids
        self.runs: dict[int, OpenRun] = {}
        #: version, versions that are kept and moment of expiry of keys that are there
        self.present_keys: dict[tuple[str, str], tuple[int, int, int | None]] = {}
        #: changes when another connection has written
        self._version = self._read_version()
        (newest,) = self.one("newest_run")
        #: the largest id of a run so far
        self.newest: int = newest or 0
        #: called after each commit
        self.tell: Callable[[], None] = lambda: None
        #: what is known of all keys together
        self.keys = KeyCare(self)

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
            # a transaction that changed nothing did not take earlier ones with it; where the disk does not take them
            # this one is committed all the same, and whoever tries that again every second says so
            with contextlib.suppress(OSError):
                self.sync()
        elif self._syncs and self.unsynced is None:
            self.unsynced = time.monotonic()

    def _read_version(self) -> int:
        cursor = self.connection.execute("PRAGMA data_version")
        version: int = cursor.fetchone()[0]
        cursor.close()
        return version

    def _name(self, texts: tuple[str | None, ...]) -> tuple[int | None, ...]:
        clean = [None if text is None else clean_name(text) for text in texts]
        ids = self._names.ids({text for text in clean if text is not None})
        if len(self._tuples) > REMEMBERED:
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
