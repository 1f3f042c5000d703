"""Publish beside the database that its server waits for a file to be fixed, where commands look for it."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
from pathlib import Path
from typing import TYPE_CHECKING

from binp.client import publish_waiting, withdraw
from buvar.errors import Explained

from ._target import BrokenFile

if TYPE_CHECKING:
    from binp.app import BINP

    from ._serve import Order

__all__ = ["Board", "in_short"]

#: size of the shared memory in bytes, and maximum length of a published error in characters
_SIZE, _MOST = 16 * 1024, 300


class Board:
    """Shared memory in which a turn leaves information for later turns, and for the parent process.

    Must be created in the parent process, before the first turn.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SIZE)
        self._write({})
        #: the parent process, which will serve again
        self._pid = os.getpid()

    @property
    def _database(self) -> Path | None:
        path = self._read().get("database")
        return None if path is None else Path(path)

    def loaded(self, binp: BINP) -> None:
        """The file was loaded, so its database is known now."""
        from binp.store import database_path

        database = binp.home.database
        if not isinstance(database, str):
            return
        path, former = database_path(database), self._database
        if former is not None and former != path:
            withdraw(former, self._pid)
        self._write({"database": str(path)})

    def failed(self, why: str, order: Order) -> None:
        """The file cannot be served, because of *why*. If its database is not known, it is taken from *order*."""
        with contextlib.suppress(Explained, OSError):  # then the error is only shown on the terminal
            database = self._database or _asked_for(order)
            self._write({"database": str(database), "why": why})
            publish_waiting(database, why, self._pid)

    def ended(self, order: Order) -> None:
        """A turn has ended: publish that, unless it has published a reason itself."""
        if "why" not in self._read():
            self.failed("it has ended by itself", order)

    def over(self) -> None:
        """Withdraw what was published: the parent process ends."""
        if (database := self._database) is not None:
            withdraw(database, self._pid)

    def _read(self) -> dict[str, str]:
        self._memory.seek(0)
        try:
            found: dict[str, str] = json.loads(self._memory.readline())
        except ValueError:  # a turn was killed while it wrote
            return {}
        return found

    def _write(self, told: dict[str, str]) -> None:
        data = json.dumps(told).encode() + b"\n"
        if len(data) <= _SIZE:
            self._memory[: len(data)] = data


def in_short(error: Explained) -> str:
    """The error on one line; for an exception of the file, with its type."""
    text = error.what.partition("\n")[0]
    if isinstance(error, BrokenFile):
        raised = error.error
        text = f"{text}: {type(raised).__name__}: {raised}".partition("\n")[0]
    return text if len(text) <= _MOST else f"{text[:_MOST]}..."


def _asked_for(order: Order) -> Path:
    from binp.settings import Settings, read_source
    from binp.store import database_path

    given = {name: value for name, value in order.settings.items() if value is not None}
    return database_path(Settings.load(read_source(order.config), given).db)
