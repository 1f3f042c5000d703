"""Bring the schema of a database up to date while nobody has it open, or try that on a copy."""

from __future__ import annotations

import tempfile
from pathlib import Path

from binp.store.contract import StoreError

from ._connect import check_place, connect_writer
from ._copy import Progress, copy_into
from ._migrate import check_known, migrate, missing, shipped
from ._owner import OwnerLock, claim, owned_error, unclaim
from ._visit import visit

__all__ = ["rehearse", "unknown_schema", "upgrade"]


def rehearse(path: Path, progress: Progress | None = None) -> list[str]:
    """Apply to a copy of *path* what is missing; the database itself may be in use, and stays as it is.

    Args:
        path: The database file.
        progress: Told how far the copy is.

    Returns:
        The names of the migrations that are missing; none if it is up to date.

    Raises:
        SchemaTooNew: a newer version wrote it.
        StoreError: it cannot be read, or one of them fails: then it would fail at the next start as well.
    """
    with visit(path) as connection:
        todo = missing(connection, path, shipped())
        if todo:
            # where there will have to be space for a copy anyway
            with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
                copy = Path(folder) / path.name
                copy_into(connection, path, copy, progress)
                _migrate(copy)
        return [migration.name for migration in todo]


def upgrade(path: Path) -> list[str]:
    """Apply what is missing, after a copy was made; nobody may have the database open.

    Returns:
        The names of the migrations that were applied.

    Raises:
        StoreOwned: somebody has it open.
        SchemaTooNew: a newer version wrote it.
        StoreError: the copy cannot be made, or one of them fails: the database is as it was before it.
    """
    check_place(path)
    with visit(path) as connection:
        names = [migration.name for migration in missing(connection, path, shipped())]
    claim(path)
    lock = OwnerLock(path)
    try:
        if not lock.take():
            raise owned_error(path, lock.read())
        _migrate(path)
    finally:
        lock.release()
        unclaim(path)
    return names


def unknown_schema(path: Path) -> StoreError | None:
    """Why this version cannot open the database *path*, although it is sound; None if it can.

    Raises:
        StoreError: it cannot be read.
    """
    with visit(path) as connection:
        try:
            check_known(connection, path)
        except StoreError as error:
            return error
    return None


def _migrate(path: Path) -> None:
    connection = connect_writer(path, "FULL")
    try:
        migrate(connection, path, shipped())
    finally:
        connection.close()
