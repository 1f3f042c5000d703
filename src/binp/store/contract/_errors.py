"""The errors of a store."""

from __future__ import annotations

from typing import Any

from binp.errors import BinpError, UsageError


class StoreError(BinpError):
    """The store could not do what was requested."""


class StoreDamaged(StoreError):
    """The database does not contain what was written to it: a disk or another program has changed it."""


class BadStoreUrl(StoreError, UsageError):
    """A URL does not name a usable database.

    Attributes:
        url: The URL, without its password.
    """

    def __init__(self, what: str, url: str, *, fix: str) -> None:
        super().__init__(what, url, where=f"the URL of the database, {url!r}", fix=fix)
        self.url = url


class BadLine(StoreError):
    """A line to import was not exported by a store, or by a newer version. Nothing was imported.

    Attributes:
        line: Its number among the given lines, from 1; None if unknown.
    """

    def __init__(self, what: str, line: int | None = None, *, fix: str | None = None) -> None:
        super().__init__(what, where=None if line is None else f"line {line} of those given", fix=fix)
        self.line = line


class StoreClosed(StoreError):
    """The store is not open. Nothing was written."""


class StoreOwned(StoreError, UsageError):
    """Another process owns the database file, or this process has opened it already.

    Attributes:
        path: The database file.
        owner: What is known about the owner: ``pid``, ``command``, ``host``, ``since``.
    """

    def __init__(self, what: str, path: str, owner: dict[str, Any], *, fix: str) -> None:
        super().__init__(what, path, owner, where=path, fix=fix)
        self.path = path
        self.owner = owner


class SchemaTooNew(StoreError, UsageError):
    """The database was written by a newer version of the platform."""
