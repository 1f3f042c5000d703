"""The file as its only writer sees it: transactions, and a cache that is valid while nobody else writes."""

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

#: the level of SQLite at which each commit is synced
_FULL = 2


class File(Executor):
    """The writer's access to the file.

    Args:
        connection: The writing connection.
        path: The file.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        super().__init__(connection)
        #: time of the first commit that is not synced yet, in monotonic seconds; None if all are
        self.unsynced: float | None = None
        self._log = path.with_name(path.name + "-wal")
        #: whether commits are synced at all, and whether the next one is
        self._syncs = self._is_syncing = connection.execute("PRAGMA synchronous").fetchone()[0] >= _FULL
        self._names = Vocabulary(self, "find_names", "add_names")
        self._labels = Vocabulary(self, "find_labels", "add_labels")
        self._tuples: dict[tuple[str | None, ...], tuple[int | None, ...]] = {}
        #: cache: open runs, by id
        self.runs: dict[int, OpenRun] = {}
        #: cache: version, number of kept versions, and expiry, of existing keys
        self.present_keys: dict[tuple[str, str], tuple[int, int, int | None]] = {}
        #: differs when another connection has written
        self._version = self._read_version()
        (newest,) = self.one("newest_run")
        #: the largest id of a run so far
        self.newest: int = newest or 0
        #: called after each commit
        self.tell: Callable[[], None] = lambda: None
        #: the numbers that all keys share
        self.keys = KeyCare(self)

    def names(self, texts: tuple[str | None, ...]) -> tuple[int | None, ...]:
        """The ids of *texts*, None for None; new texts are added."""
        return self._tuples.get(texts) or self._name(texts)

    def ids_of(self, texts: set[str]) -> dict[str, int]:
        """The same for any number of texts that are not expected to recur."""
        return self._names.ids(texts)

    def labels(self, texts: set[str]) -> dict[str, int]:
        """The ids of the labels *texts*; new ones are added."""
        return self._labels.ids(texts)

    def forget_labels(self, texts: Iterable[str]) -> None:
        """The labels *texts* were deleted from the file."""
        self._labels.forget(texts)

    def begin(self, *, durable: bool = True, keeps: bool = False) -> None:
        """Start a write transaction: a read transaction could not be upgraded after another program has written.

        Args:
            durable: The commit must be synced.
            keeps: The caller applies its changes of open runs and keys to :attr:`runs` and :attr:`present_keys` too.
        """
        self._set_durable(durable)
        self.connection.execute("BEGIN IMMEDIATE")
        version = self._read_version()
        if version != self._version:
            # another program has written: the cache may be wrong
            self._version = version
            self._forget()
        elif not keeps:
            self.runs.clear()
            self.present_keys.clear()

    def commit(self) -> None:
        """Commit the transaction."""
        self.connection.execute("COMMIT")
        self._committed()

    def give_back(self, pages: int) -> None:
        """Release so many free pages, in a transaction of its own that need not be synced."""
        self._set_durable(False)
        # it does one page per fetched row, and returns no rows: only executescript runs it to the end
        self.connection.executescript(f"PRAGMA incremental_vacuum({pages})")
        self._committed()

    def sync(self) -> None:
        """Sync committed transactions that are not on disk yet.

        Raises:
            OSError: the sync failed.
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
        """Roll the transaction back, unless SQLite has done so itself."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self._forget()

    def save(self) -> None:
        """Start a part of the transaction that can be undone by itself."""
        self.connection.execute("SAVEPOINT part")

    def release_save(self) -> None:
        """End the part, whether it was undone or not."""
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
            # a transaction without changes does not sync earlier ones. If this fails, the transaction is committed all
            # the same, and the next attempt, within a second, reports the error
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
