"""What the owner does for the file itself, in small parts between the commits of others."""

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
    """What came of it."""

    #: runs, records, rows or pages
    count: int
    #: for which it kept the file from others
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Erase(Write):
    """Runs are to be gone, with all that belongs to them; those that may not be yet stay."""

    kind: ClassVar[str] = "erase"
    runs: tuple[int, ...]
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Tidy(Write):
    """Some of what erased runs have left behind in the index is to be gone."""

    kind: ClassVar[str] = "tidy"
    #: how many runs are moved for it
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Trim(Write):
    """Some of very many records of a run are to be gone."""

    kind: ClassVar[str] = "trim"
    run: int
    #: how many at a time
    most: int
    #: only those that are older than this, the oldest first; None for any, the newest first
    before: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Forget(Write):
    """What was to happen only once, and which processes were here, is to be forgotten after a long time."""

    kind: ClassVar[str] = "forget"
    before: int
    #: how many at a time
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Shrink(Write):
    """Free pages are to be given back, which are cut off the end of the file at the next checkpoint."""

    kind: ClassVar[str] = "shrink"
    pages: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Truncate(Write):
    """All that is in the write-ahead log is to be in the file, and the log empty; not while somebody reads."""

    kind: ClassVar[str] = "truncate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint(Write):
    """The last of what is in the write-ahead log is to get into the file, so that the log begins anew."""

    kind: ClassVar[str] = "checkpoint"


#: the kinds of these writes
TENDING = frozenset({Checkpoint.kind, Erase.kind, Tidy.kind, Trim.kind, Forget.kind, Shrink.kind, Truncate.kind})


def tend(file: File, write: Write) -> Tended:
    """Do what *write* says, in a transaction of its own.

    None of it needs to be on the disk at once: what a power cut brings back is erased again.
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
        # none of it is about runs that are open
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
    # whoever reads is not waited for: there will be another time
    run("PRAGMA busy_timeout = 0")
    try:
        busy, _, _ = run("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        run(f"PRAGMA busy_timeout = {patience}")
    return 0 if busy else 1


def _free(file: File) -> int:
    (pages,) = file.connection.execute("PRAGMA freelist_count").fetchone()
    return int(pages)
