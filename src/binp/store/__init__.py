"""The store of runs, records, key-value state and observed states."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from ._url import canonical_url, database_path
from .contract import Store

__all__ = ["canonical_url", "database_path", "open_store"]


def open_store(
    url: str,
    *,
    group: str | None = None,
    is_guest: bool = False,
    synchronous: Literal["FULL", "NORMAL", "OFF"] = "FULL",
    clock: Callable[[], int] | None = None,
) -> Store:
    """Create the store for *url*. Nothing is opened before its ``open()``.

    Args:
        url: ``sqlite:///data.db`` relative to the current directory, ``sqlite:////srv/data.db``, or a plain path.
        group: Processes of the same group share a database: one of them owns it and writes, the others write through
            the owner, and one of them takes over when the owner ends. None: this process alone.
        is_guest: This process was started by one that has the database and admits guests: it writes through the owner,
            whatever the group, and never becomes the owner.
        synchronous: With ``FULL``, acknowledged writes survive a power failure. With ``NORMAL``, the last moments may
            be lost in one, with ``OFF`` the file; neither loses anything when the process is killed.
        clock: Returns microseconds since the epoch, for the expiry of keys. Default: the clock of this computer.

    Raises:
        BadStoreUrl: *url* does not name a usable database.
    """
    path = database_path(url)
    # imported late: a program without a database needs no SQLite
    from .sqlite import SqliteStore

    return SqliteStore(path, group=group, is_guest=is_guest, synchronous=synchronous, clock=clock)
