"""The store in one SQLite file: one writer with group commit, concurrent readers, and maintenance of the file."""

from __future__ import annotations

from ._check import Finding, check
from ._copy import Progress, back_up
from ._export import export
from ._restore import restore
from ._store import SqliteStore
from ._upgrade import rehearse, unknown_schema, upgrade
from ._usage import usage_of

__all__ = [
    "Finding",
    "Progress",
    "SqliteStore",
    "back_up",
    "check",
    "export",
    "rehearse",
    "restore",
    "unknown_schema",
    "upgrade",
    "usage_of",
]
