"""Where runs, records, key-value state and observed states are kept."""

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
    """Make the store that *url* names. Nothing is opened before its ``open()``.

    Args:
        url: ``sqlite:///data.db`` relative to the current directory, ``sqlite:////srv/data.db``, or a plain path.
        group: Processes of the same group share a database: one of them writes, the others write through it, and the
            role passes on when that one ends. None: this process alone.
        is_guest: This process was started by one that has the database and lets guests in: it writes through whoever
            owns it, whatever the group, and never owns it.
        synchronous: ``FULL`` keeps what is acknowledged through a power cut. ``NORMAL`` may lose the last moments in
            one, ``OFF`` may lose the file; neither loses anything when the process is killed.
        clock: Microseconds since the epoch, by which keys expire; the clock of this computer by default.

    Raises:
        BadStoreUrl: *url* names no database that can be used.
    """
    path = database_path(url)
    # a store of another kind needs no SQLite, and a program that keeps nothing needs neither
    from .sqlite import SqliteStore

    return SqliteStore(path, group=group, is_guest=is_guest, synchronous=synchronous, clock=clock)
