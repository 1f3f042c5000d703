"""Copy a whole database, also while others write to it."""

from __future__ import annotations

import contextlib
import glob
import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from binp.store.contract import StoreDamaged, StoreError

from ._connect import check_directory, explain
from ._visit import visit

__all__ = ["Progress", "back_up", "copy_into", "sync_directory"]

#: called with the number of bytes done, and the total
Progress = Callable[[int, int], None]

#: steps of SQLite's virtual machine between two progress reports
_STEPS = 50_000

#: the suffix of a draft's name
_DRAFT = "[0-9a-f]" * 8
#: seconds after which a draft counts as abandoned
_ABANDONED = 86_400.0

#: result codes for problems of the source, not of the target
_SOURCE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_BUSY})


def back_up(path: Path, target: Path, *, replace: bool = False, progress: Progress | None = None) -> int:
    """Copy the database *path* to *target*, whether it is in use or not. The target appears complete and synced.

    Args:
        path: The database file.
        target: The copy.
        replace: Overwrite *target* if it exists.
        progress: Called with the progress.

    Returns:
        The size of the copy in bytes.

    Raises:
        StoreError: the copy could not be created, or is damaged; an existing *target* is not changed.
    """
    check_directory(target, "copy")
    if target.exists():
        if path.exists() and target.samefile(path):
            raise StoreError("the copy is the database itself", where=str(target), fix="name another file")
        if not replace:
            raise StoreError("there is a file of that name", where=str(target), fix="name another one, or use --force")
    with visit(path) as connection:
        return copy_into(connection, path, target, progress)


def copy_into(connection: sqlite3.Connection, path: Path, target: Path, progress: Progress | None = None) -> int:
    """Copy the database *path*, open in *connection*, over *target*, which is replaced after the copy was checked.

    Returns:
        The size of the copy in bytes.

    Raises:
        StoreError: it could not be created, or is damaged.
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    _sweep(target)
    try:
        # created first, so that nobody else can read it at any time
        os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        _vacuum_into(connection, draft, progress)
        _look_through(draft, path)
        _sync(draft)
        size = draft.stat().st_size
        draft.replace(target)
        sync_directory(target.parent)
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        raise explain(error, path if code in _SOURCE else target) from None
    except OSError as error:
        raise StoreError(
            f"the copy cannot be made: {error.strerror}", where=str(target), fix="name a file that can be written"
        ) from None
    finally:
        for name in (draft, draft.with_name(draft.name + "-journal")):
            with contextlib.suppress(OSError):
                name.unlink()
    return size


def _sweep(target: Path) -> None:
    """Remove abandoned drafts of *target*, left by killed processes."""
    for name in target.parent.glob(f".{glob.escape(target.name)}.{_DRAFT}*"):
        # another process may be removing it as well
        with contextlib.suppress(OSError):
            if time.time() - name.stat().st_mtime > _ABANDONED:
                name.unlink()


def sync_directory(directory: Path) -> None:
    """Sync the names in *directory* to disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        # some file systems cannot do this, and do not need it
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _vacuum_into(connection: sqlite3.Connection, draft: Path, progress: Progress | None) -> None:
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    total = (pages - free) * size

    def tell() -> int:
        if progress is not None:
            progress(min(draft.stat().st_size, total), total)
        return 0

    connection.set_progress_handler(tell, _STEPS)
    try:
        # the incremental backup API would start over with every write of another process
        connection.execute("VACUUM INTO ?", (str(draft),))
    finally:
        connection.set_progress_handler(None, 0)
    if progress is not None:
        progress(total, total)


def _look_through(draft: Path, path: Path) -> None:
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        found = [row for (row,) in connection.execute("PRAGMA quick_check(3)")]
    finally:
        connection.close()
    if found != ["ok"]:
        raise StoreDamaged(
            f"the database is damaged, and so would be the copy: {'; '.join(found)}",
            where=str(path),
            fix="look at it with `binp check`, and restore an earlier backup",
        )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
