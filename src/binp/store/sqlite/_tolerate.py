"""Continue after damage: where some bytes of a file cannot be read, others often can."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

from binp.store.contract import StoreDamaged

from ._connect import FAILURES, explain

__all__ = ["Tolerant"]

#: read errors of the disk, after which reading may work again further on
_UNREADABLE = frozenset({sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ})


class Tolerant:
    """A block that ends at damage and records it; other exceptions propagate."""

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
    """Whether *error* only concerns some bytes of the file."""
    code = getattr(error, "sqlite_errorcode", None)
    return (
        code in _UNREADABLE or isinstance(error, sqlite3.DataError) or isinstance(explain(error, Path()), StoreDamaged)
    )
