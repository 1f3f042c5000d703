"""Replace a database that nobody has open with a backup."""

from __future__ import annotations

import contextlib
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from binp.store.contract import SchemaTooNew, StoreError

from ._connect import check_place, connect_writer
from ._copy import Progress, copy_into, sync_directory
from ._migrate import shipped, standing
from ._owner import OwnerLock, claim, owned_error, unclaim
from ._visit import visit

__all__ = ["restore"]


def restore(path: Path, source: Path, progress: Progress | None = None) -> Path | None:
    """Replace the database *path* with a copy of *source*; the old database is kept beside it.

    Args:
        path: The database file.
        source: The backup; it is not changed.
        progress: Called with the number of bytes done, and the total.

    Returns:
        Where the old database is kept; None if there was none.

    Raises:
        StoreOwned: a process has the database open.
        SchemaTooNew: the backup was written by a newer version of the platform.
        StoreError: *source* is not a sound database of this platform. In all these cases nothing was changed.
    """
    check_place(path)
    if not source.is_file():
        raise StoreError("there is no backup here", where=str(source), fix="name a file that `binp backup` made")
    if path.exists() and source.samefile(path):
        raise StoreError("the backup is the database itself", where=str(source), fix="name another file")
    claim(path)
    lock = OwnerLock(path)
    try:
        if not lock.take():
            raise owned_error(path, lock.read())
        fresh = path.with_name(f".{path.name}.restoring")
        try:
            _copy(source, fresh, progress)
            return _exchange(path, fresh)
        finally:
            fresh.unlink(missing_ok=True)
    finally:
        lock.release()
        unclaim(path)


def _copy(source: Path, fresh: Path, progress: Progress | None) -> None:
    with visit(source) as connection:
        have, newest = standing(connection, source), shipped()[-1].version
        if have > newest:
            raise SchemaTooNew(
                f"the backup has schema {have}, and this version knows schema {newest}",
                have,
                newest,
                where=str(source),
                fix="install the version that wrote it",
            )
        copy_into(connection, source, fresh, progress)


def _exchange(path: Path, fresh: Path) -> Path | None:
    """Move *fresh* to *path*, so that a complete database is there at every moment."""
    kept = None
    if path.exists():
        kept = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%d-%H%M%S}.bak")
        _close_log(path, kept)
    # otherwise SQLite would use them for the new file
    for ending in ("-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
    if kept is not None:
        try:
            os.link(path, kept)
        except OSError:
            # a file system without hard links: for a moment there is no file at the path
            path.rename(kept)
    fresh.replace(path)
    sync_directory(path.parent)
    return kept


def _close_log(path: Path, kept: Path) -> None:
    """Checkpoint the whole log of *path*; the log of a damaged database is kept beside *kept*."""
    log, kept_log = path.with_name(path.name + "-wal"), kept.with_name(kept.name + "-wal")
    if log.exists() and log.stat().st_size:
        shutil.copy2(log, kept_log)
    with contextlib.suppress(StoreError):
        connect_writer(path, "FULL").close()
        kept_log.unlink(missing_ok=True)
