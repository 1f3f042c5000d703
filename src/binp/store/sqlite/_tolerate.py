"""Go on where the file is damaged: some bytes of it cannot be read, and others may be all the same."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from binp.store.contract import StoreDamaged

from ._connect import FAILURES, explain

__all__ = ["Tolerant"]

#: what SQLite says of a disk that does not give out what is on it: there too it may go on behind that
_UNREADABLE = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ})


class Tolerant:
    """A block that ends where it meets damage, and keeps what it was; whatever else is raised in it goes through."""

    def __init__(self) -> None:
        self.damage: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, FAILURES) and _is_damage(error):
            self.damage = error
            return True
        return False


def _is_damage(error: Exception) -> bool:
    """Whether *error* is about some bytes of the file only."""
    code = getattr(error, "sqlite_errorcode", None)
    return (
        code in _UNREADABLE or isinstance(error, sqlite3.DataError) or isinstance(explain(error, Path()), StoreDamaged)
    )
