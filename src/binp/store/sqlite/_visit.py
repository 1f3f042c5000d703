"""Read a database from outside, whether it is in use or not, and leave it unchanged."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from binp.store.contract import StoreError

from ._connect import check_ours, connect_copier, connect_writer, explain, looking
from ._owner import OwnerLock

__all__ = ["visit"]


@contextlib.contextmanager
def visit(path: Path, *, is_torn: bool = False) -> Iterator[sqlite3.Connection]:
    """A connection to the database *path* that reads, and may write what it reads to other files.

    Args:
        path: The database file.
        is_torn: As for :func:`connect_copier`.

    Raises:
        StoreError: it cannot be opened, or is not a database of this platform.
    """
    with looking(path):
        is_there = path.is_file()
    if not is_there:
        raise StoreError("there is no database here", where=str(path), fix="name one that there is")
    connection = connect_copier(path, is_torn=is_torn)
    try:
        check_ours(connection, path)
        yield connection
    except UnicodeDecodeError as error:
        # the sqlite3 module raises this if the error message quotes damaged text
        raise explain(error, path) from None
    finally:
        connection.close()
        _tidy_up(path)


def _tidy_up(path: Path) -> None:
    """Remove the empty log that a reader leaves behind if no other process has the database open."""
    log = path.with_name(path.name + "-wal")
    lock = OwnerLock(path)
    with contextlib.suppress(OSError, StoreError):
        if log.stat().st_size == 0 and lock.take():
            try:
                connect_writer(path, "FULL").close()
            finally:
                lock.release()
