"""Read the content and size of a database."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from binp.store.contract import Usage

from ._connect import FAILURES, explain
from ._migrate import check_known
from ._old import Finder
from ._visit import visit

__all__ = ["read_usage", "usage_of"]


def read_usage(connection: sqlite3.Connection, path: Path) -> Usage:
    """The usage of the database *path*, which is open in *connection*."""
    finder = Finder(connection)
    used, free, size = finder.size()
    oldest = finder.ask("oldest_run").fetchone()
    erased = finder.ask("get_erased").fetchone() or (0, None)
    (runs,) = finder.ask("count_all").fetchone()
    log = 0
    with contextlib.suppress(FileNotFoundError):
        log = path.with_name(path.name + "-wal").stat().st_size
    return Usage(
        used=used,
        free=free * size,
        log=log,
        runs=runs,
        oldest=None if oldest is None else oldest[0],
        erased=erased[0],
        erased_at=erased[1],
    )


def usage_of(path: Path) -> Usage:
    """The usage of the database *path*, whether it is in use or not.

    Raises:
        SchemaTooNew: it was written by a newer version, and its content may have another meaning.
        StoreError: it cannot be read.
    """
    with visit(path) as connection:
        check_known(connection, path)
        try:
            return read_usage(connection, path)
        except FAILURES as error:
            raise explain(error, path) from None
