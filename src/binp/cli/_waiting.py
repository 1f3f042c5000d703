"""Say beside the database that its server waits for a file to be mended: commands look for it there."""

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

#: bytes that are shared, and characters of an error that are told
_SIZE, _MOST = 16 * 1024, 300


class Board:
    """What a turn leaves for those after it and for the process that starts them, in memory that they share.

    Make it in the process that stays, before the first turn.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SIZE)
        self._write({})
        #: the process that stays, and will serve again
        self._pid = os.getpid()

    @property
    def _database(self) -> Path | None:
        path = self._read().get("database")
        return None if path is None else Path(path)

    def loaded(self, binp: BINP) -> None:
        """The file could be loaded, so it is known now which database it is about."""
        from binp.store import database_path

        database = binp.home.database
        if not isinstance(database, str):
            return
        path, former = database_path(database), self._database
        if former is not None and former != path:
            withdraw(former, self._pid)
        self._write({"database": str(path)})

    def failed(self, why: str, order: Order) -> None:
        """It cannot be served, because of *why*. What is not known of its database is taken from *order*."""
        with contextlib.suppress(Explained, OSError):  # then nobody is told, but by the terminal
            database = self._database or _asked_for(order)
            self._write({"database": str(database), "why": why})
            publish_waiting(database, why, self._pid)

    def ended(self, order: Order) -> None:
        """Nobody serves: either somebody has said why already, or it has ended by itself."""
        if "why" not in self._read():
            self.failed("it has ended by itself", order)

    def over(self) -> None:
        """Nobody waits any more."""
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
    """What is wrong, on one line: what a file raised is told with its type, and a place where it says one."""
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
