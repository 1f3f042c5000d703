"""Bring what is committed from the write-ahead log into the file, while others go on writing."""

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

#: seconds between two looks at the log while something is committed
_LOOK = 0.1
#: pages that are worth being brought into the file
_PAGES = 1000
#: pages in the log above which the one who writes does the last of them itself, so that the log begins anew, if the
#: disk takes some within so many seconds; above so many times as many it does in any case. As long as the log is
#: written over, and does not grow, a commit takes a third less: the file system has no new length to write down
_MANY, _QUICK, _FAR = 2048, 0.02, 16
#: pages above which SQLite does all of it within a commit, if nobody else did
_BY_ITSELF = 65_536
#: seconds until the next attempt when the file did not take the pages, and when somebody reads them still
_AGAIN, _READ = 5.0, 0.5

_GROWS = "what is committed stays in the write-ahead log, which grows"
_IS_READ = "somebody has been reading the database for long, and holds fast what was there when they began"
_END_IT = "end what reads it: a shell, or a backup that hangs"

#: where in the log: the size of a page and the mark of this round of it (https://www.sqlite.org/fileformat.html#walformat)
_HEADER = struct.Struct(">8xI4x8s8x")
_FRAME_HEADER, _MARK = 24, 8


class Checkpoints:
    """A thread that checkpoints, with a connection of its own.

    SQLite left alone does it inside whichever commit crosses a limit, and that one waits until a thousand pages are
    written all over the file and are on the disk, which takes seconds on an SD card. Nobody who writes waits for this
    thread. The log begins anew when all of it is in the file: by itself as soon as nobody writes for a moment;
    otherwise the one who writes is asked to bring in the few pages that have come meanwhile.

    Args:
        path: The database file, which has a write-ahead log.
        ask: Queues what the one who writes is to do; returns why it cannot be queued.

    Raises:
        StoreError: the file cannot be opened once more.
    """

    def __init__(self, path: Path, ask: Callable[[Receipt], Failure | None]) -> None:
        self._path = path
        self._log = path.with_name(path.name + "-wal")
        self._ask = ask
        self._connection = connect_checkpointer(path)
        self._using = threading.Lock()
        #: pages of the log that are in the file, as far as this thread brought them there
        self._done = 0
        self._asked: Receipt | None = None
        #: why the log grows; None if it does not have to
        self.problem: str | None = None
        self._something = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="binp-store-checkpoint", daemon=True)

    def start(self, writing: sqlite3.Connection) -> None:
        """Do from here on what *writing*, the connection of the one who writes, did by itself."""
        writing.execute(f"PRAGMA wal_autocheckpoint = {_BY_ITSELF}")
        self._thread.start()

    def expect(self) -> None:
        """Something was committed."""
        if not self._something.is_set():
            self._something.set()

    def carry(self) -> None:
        """Bring all that is in the log into the file, now and in this thread; what somebody reads of it stays.

        Raises:
            sqlite3.Error: the file does not take it.
        """
        with self._using:
            _, _, self._done = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def stop(self) -> None:
        """End, and leave the rest of the log as it is."""
        self._end.set()
        self._something.set()
        while self._thread.is_alive():
            # it may be at it for long, or just about to begin
            self._connection.interrupt()
            self._thread.join(0.01)
        self._connection.close()

    def abandon(self) -> None:
        """In a forked child: leave the connection, which is the parent's, as it is."""
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
            except Exception as error:  # noqa: BLE001 - told; without this thread nobody would say that the log grows
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
                    # who reads it does not say when they are done, and nobody may write any more
                    pause = _READ
                    self._something.set()
            self._end.wait(pause)

    def _look(self) -> int:
        """Bring pages into the file if it is worth it; returns how many are left that could not be."""
        pages = pages_in_log(self._log)
        if pages < self._done:
            # it has begun anew since
            self._done = 0
        if pages - self._done < _PAGES:
            return 0
        self.carry()
        if pages > _MANY and (self._asked is None or self._asked.is_settled) and self._is_worth_asking(pages):
            asked = Receipt(Checkpoint())
            # where it is closed all of the log gets into the file anyway
            with contextlib.suppress(StoreClosed):
                self._asked = asked if self._ask(asked) is None else None
        return pages - self._done

    def _is_worth_asking(self, pages: int) -> bool:
        """Whether what is left would hardly keep the one who writes: on a busy disk it would."""
        began = time.monotonic()
        # of what has come meanwhile
        self.carry()
        return time.monotonic() - began < _QUICK or pages > _MANY * _FAR

    def _tell(self, error: StoreError) -> None:
        """Say once what is wrong: nothing is lost by it, but the log grows."""
        what = f"{_GROWS}: {error.what}"
        if what != self.problem:
            self.problem = what
            _logger.warning("%s: %s", _GROWS, error)


def pages_in_log(log: Path) -> int:
    """How many pages the write-ahead log *log* holds.

    It is written anew from its beginning without becoming shorter: the pages of this round are those with its mark.
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
