"""Checkpoint the write-ahead log in the background, while others continue to write."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from binp.store.contract import StoreClosed, StoreError

from ._connect import connect_checkpointer, explain
from ._guard import leak
from ._receipt import Failure, Receipt
from ._tend import Checkpoint

__all__ = ["Checkpoints", "pages_in_log"]

_logger = logging.getLogger("binp.store")

#: polling interval of the log while there are commits, in seconds
_LOOK = 0.1
#: minimum number of pages for a checkpoint
_PAGES = 1000
#: number of pages in the log above which the writer copies the last of them itself, so that the log restarts; only if
#: the disk is fast enough to copy some within so many seconds, or the number is exceeded by so many times. A log that
#: is overwritten instead of growing makes commits a third faster, because the file system need not record a new length
_MANY, _QUICK, _FAR = 2048, 0.02, 16
#: number of pages above which SQLite runs the whole checkpoint within a commit, as a last resort
_BY_ITSELF = 65_536
#: seconds until the next attempt, if the checkpoint failed, and if readers still use the pages
_AGAIN, _READ = 5.0, 0.5

_GROWS = "what is committed stays in the write-ahead log, which grows"
_IS_READ = "somebody has been reading the database for long, and holds fast what was there when they began"
_END_IT = "end what reads it: a shell, or a backup that hangs"

#: in the log header: page size and salt of the present generation (https://www.sqlite.org/fileformat.html#walformat)
_HEADER = struct.Struct(">8xI4x8s8x")
_FRAME_HEADER, _MARK = 24, 8


class Checkpoints:
    """A thread that checkpoints, with a connection of its own.

    By default, SQLite checkpoints inside the commit that exceeds a limit. That commit then waits until a thousand pages
    are written all over the file and synced, which takes seconds on an SD card. Nobody who writes waits for this
    thread. The log restarts when all of it is in the file: automatically when nobody writes for a moment; otherwise the
    writer is asked to copy the few pages that were added meanwhile.

    Args:
        path: The database file, with a write-ahead log.
        ask: Queues a write for the writer; returns why it cannot be queued.

    Raises:
        StoreError: the file cannot be opened again.
    """

    def __init__(self, path: Path, ask: Callable[[Receipt], Failure | None]) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._ask = ask
        self._connection = connect_checkpointer(path)
        self._using = threading.Lock()
        #: number of pages of the log that this thread has copied to the file
        self._done = 0
        self._asked: Receipt | None = None
        #: why the log grows; None if it does not have to
        self.problem: str | None = None
        self._something = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="binp-store-checkpoint", daemon=True)

    def start(self, writing: sqlite3.Connection) -> None:
        """Start checkpointing, in place of *writing*, the writer's connection."""
        writing.execute(f"PRAGMA wal_autocheckpoint = {_BY_ITSELF}")
        self._thread.start()

    def expect(self) -> None:
        """Something was committed."""
        if not self._something.is_set():
            self._something.set()

    def carry(self) -> None:
        """Checkpoint the whole log now, in this thread, except pages that readers still use.

        Raises:
            sqlite3.Error: the checkpoint failed.
        """
        with self._using:
            _, _, self._done = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def stop(self) -> None:
        """End, and leave the rest of the log as it is."""
        self._end.set()
        self._something.set()
        while self._thread.is_alive():
            # repeated, because a checkpoint may be running, or about to start
            self._connection.interrupt()
            self._thread.join(0.01)
        self._connection.close()

    def abandon(self) -> None:
        """In a forked child: leave the connection alone, which belongs to the parent."""
        leak(self._connection)

    def _run(self) -> None:
        while not self._end.is_set():
            self._something.wait()
            self._something.clear()
            if self._end.is_set():
                return
            pause = _LOOK
            try:
                left = self._look()
            except Exception as error:  # noqa: BLE001 - reported; without this thread nobody would notice that the log grows
                if not self._end.is_set():
                    self._tell(explain(error, self._path))
                pause = _AGAIN
                self._something.set()
            else:
                if left > _BY_ITSELF:
                    self._tell(StoreError(_IS_READ, where=str(self._path), fix=_END_IT))
                else:
                    self.problem = None
                if left >= _PAGES:
                    # readers do not report when they are done, and possibly nobody writes any more
                    pause = _READ
                    self._something.set()
            self._end.wait(pause)

    def _look(self) -> int:
        """Run a checkpoint if it is worthwhile; returns how many pages could not be copied."""
        pages = pages_in_log(self._log)
        if pages < self._done:
            # the log has restarted since
            self._done = 0
        if pages - self._done < _PAGES:
            return 0
        self.carry()
        if pages > _MANY and (self._asked is None or self._asked.is_settled) and self._is_worth_asking(pages):
            asked = Receipt(Checkpoint())
            # if it is closed, the whole log is copied to the file anyway
            with contextlib.suppress(StoreClosed):
                self._asked = asked if self._ask(asked) is None else None
        return pages - self._done

    def _is_worth_asking(self, pages: int) -> bool:
        """Whether the rest would hardly delay the writer; on a busy disk it would."""
        began = time.monotonic()
        # copies the pages that were added meanwhile
        self.carry()
        return time.monotonic() - began < _QUICK or pages > _MANY * _FAR

    def _tell(self, error: StoreError) -> None:
        """Log the problem once: nothing is lost, but the log grows."""
        what = f"{_GROWS}: {error.what}"
        if what != self.problem:
            self.problem = what
            _logger.warning("%s: %s", _GROWS, error)


def pages_in_log(log: Path) -> int:
    """Number of pages in the present generation of the write-ahead log *log*.

    When the log restarts, it is overwritten without becoming shorter; pages of this generation have its salt.
    """
    try:
        file = os.open(log, os.O_RDONLY)
    except FileNotFoundError:
        return 0
    try:
        header = os.pread(file, _HEADER.size, 0)
        if len(header) < _HEADER.size:
            return 0
        size, mark = _HEADER.unpack(header)
        step = _FRAME_HEADER + size
        fewest, most = 0, (os.fstat(file).st_size - _HEADER.size) // step
        while fewest < most:
            middle = (fewest + most) // 2
            if os.pread(file, _MARK, _HEADER.size + middle * step + _MARK) == mark:
                fewest = middle + 1
            else:
                most = middle
        return fewest
    finally:
        os.close(file)
