"""Maintenance of the file by its owner, in small steps between the commits of others."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from binp.store.contract import Write

from ._erase import KEPT_RECORDS, erase, thin
from ._file import File
from ._index import tidy

__all__ = [
    "TENDING",
    "Checkpoint",
    "Erase",
    "Forget",
    "Shrink",
    "Tended",
    "Tidy",
    "Trim",
    "Truncate",
    "tend",
]


@dataclass(frozen=True, slots=True)
class Tended:
    """The result of a step."""

    #: runs, records, rows or pages
    count: int
    #: duration during which others could not write
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Erase(Write):
    """Erases runs with everything that belongs to them; those that may not be erased yet are kept."""

    kind: ClassVar[str] = "erase"
    runs: tuple[int, ...]
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Tidy(Write):
    """Removes some of what erased runs have left in the index."""

    kind: ClassVar[str] = "tidy"
    #: maximum number of runs to move for it
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Trim(Write):
    """Removes some of the very many records of a run."""

    kind: ClassVar[str] = "trim"
    run: int
    #: maximum number
    most: int
    #: only records older than this, oldest first; None for any, newest first
    before: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Forget(Write):
    """Forgets idempotency keys and processes that are long past."""

    kind: ClassVar[str] = "forget"
    before: int
    #: maximum number
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Shrink(Write):
    """Releases free pages, which are cut off the end of the file at the next checkpoint."""

    kind: ClassVar[str] = "shrink"
    pages: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncate(Write):
    """Copies the whole write-ahead log to the file and truncates it; not while somebody reads."""

    kind: ClassVar[str] = "truncate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint(Write):
    """Copies the rest of the write-ahead log to the file, so that the log restarts."""

    kind: ClassVar[str] = "checkpoint"


#: the kinds of these writes
TENDING = frozenset({Checkpoint.kind, Erase.kind, Tidy.kind, Trim.kind, Forget.kind, Shrink.kind, Truncate.kind})


def tend(file: File, write: Write) -> Tended:
    """Execute *write* in a transaction of its own.

    It is not synced: what comes back after a power failure is erased again.
    """
    began = time.monotonic()
    if isinstance(write, Truncate):
        count = _truncate(file)
    elif isinstance(write, Checkpoint):
        (count,) = file.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[2:]
    elif isinstance(write, Shrink):
        before = _free(file)
        file.give_back(write.pages)
        count = before - _free(file)
    else:
        # none of these changes open runs or keys
        file.begin(durable=False, keeps=True)
        count = _change(file, write)
        file.commit()
    return Tended(count, time.monotonic() - began)


def _change(file: File, write: Write) -> int:
    if isinstance(write, Erase):
        count = len(erase(file, write.runs))
        if count:
            file.run("count_erased", {"runs": count, "at": write.at})
        return count
    if isinstance(write, Tidy):
        return tidy(file, write.most)
    if isinstance(write, Trim):
        if write.before is None:
            return thin(file, write.run, write.most)
        given = {"run": write.run, "kept": KEPT_RECORDS, "most": write.most, "before": write.before}
        return file.run("trim_records", given).rowcount
    assert isinstance(write, Forget)  # noqa: S101 - there is no other kind
    file.run("forget_nodes", {"before": write.before})
    return file.run("forget_once", {"before": write.before, "most": write.most}).rowcount


def _truncate(file: File) -> int:
    run: Any = file.connection.execute
    (patience,) = run("PRAGMA busy_timeout").fetchone()
    # do not wait for readers: it will be tried again
    run("PRAGMA busy_timeout = 0")
    try:
        busy, _, _ = run("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        run(f"PRAGMA busy_timeout = {patience}")
    return 0 if busy else 1


def _free(file: File) -> int:
    (pages,) = file.connection.execute("PRAGMA freelist_count").fetchone()
    return int(pages)
