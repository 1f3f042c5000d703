"""The store in one SQLite file: one writer with group commit, readers beside it."""

from __future__ import annotations

from ._store import SqliteStore

__all__ = ["SqliteStore"]
