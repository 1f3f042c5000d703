"""What a store refuses, and why."""

from __future__ import annotations

from typing import Any

from binp.errors import BinpError, UsageError


class StoreError(BinpError):
    """The store could not do what it was asked to."""


class StoreDamaged(StoreError):
    """What is in the database is not what was written to it: something else has changed it, a disk or a program."""


class BadStoreUrl(StoreError, UsageError):
    """The URL names no database that can be used.

    Attributes:
        url: The URL, without a password.
    """

    def __init__(self, what: str, url: str, *, fix: str) -> None:
        super().__init__(what, url, where=f"the URL of the database, {url!r}", fix=fix)
        self.url = url


class BadLine(StoreError):
    """A line that was to be taken in is none that a store exported, or one of a newer version. Nothing was taken in.

    Attributes:
        line: Its place among those that were given, from 1 on; None if it is not known which one it is.
    """

    def __init__(self, what: str, line: int | None = None, *, fix: str | None = None) -> None:
        super().__init__(what, where=None if line is None else f"line {line} of those given", fix=fix)
        self.line = line


class StoreClosed(StoreError):
    """The store is not open: nothing was written."""


class StoreOwned(StoreError, UsageError):
    """Another process owns the database file, or this one has it open already.

    Attributes:
        path: The database file.
        owner: What is known of the owner: ``pid``, ``command``, ``host``, ``since``.
    """

    def __init__(self, what: str, path: str, owner: dict[str, Any], *, fix: str) -> None:
        super().__init__(what, path, owner, where=path, fix=fix)
        self.path = path
        self.owner = owner


class SchemaTooNew(StoreError, UsageError):
    """The database was written by a newer version of the platform."""
