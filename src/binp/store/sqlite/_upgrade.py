"""Migrate a database that nobody has open, or try the migrations on a copy."""

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
    """Apply the missing migrations to a copy of *path*; the database itself may be in use, and is not changed.

    Args:
        path: The database file.
        progress: Called with the progress of the copy.

    Returns:
        The names of the missing migrations; empty if it is up to date.

    Raises:
        SchemaTooNew: it was written by a newer version.
        StoreError: it cannot be read, or a migration fails, as it would at the next start.
    """
    with visit(path) as connection:
        todo = missing(connection, path, shipped())
        if todo:
            # in the database's folder, which needs space for a copy anyway
            with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
                copy = Path(folder) / path.name
                copy_into(connection, path, copy, progress)
                _migrate(copy)
        return [migration.name for migration in todo]


def upgrade(path: Path) -> list[str]:
    """Apply the missing migrations after making a copy; nobody may have the database open.

    Returns:
        The names of the applied migrations.

    Raises:
        StoreOwned: a process has it open.
        SchemaTooNew: it was written by a newer version.
        StoreError: the copy cannot be made, or a migration fails; that migration is rolled back.
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
    """Why this version cannot open the sound database *path*; None if it can.

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
