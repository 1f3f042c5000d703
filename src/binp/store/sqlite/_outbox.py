"""Queue the writes of all threads in one order, and decide when to commit."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from binp.store.contract import (
    AddLabels,
    AddRecord,
    BeginRun,
    EndRun,
    Import,
    KeepStep,
    PutKey,
    SetKeys,
    SetObserved,
    SetProgress,
    StoreClosed,
    StoreError,
)

from ._nodes import Join, Leave
from ._receipt import Failure, Receipt

__all__ = ["LEISURELY", "Outbox"]

#: maximum seconds that a write may be queued if nobody is known to wait for it
PATIENCE = 0.05

#: kinds of writes that are frequent and not awaited: committed with the next other write, or soon
LEISURELY = frozenset({AddRecord.kind, AddLabels.kind, SetProgress.kind, SetObserved.kind})

#: limits of the queue, in writes and in characters, above which leisurely writes fail
_MOST = 200_000
_MOST_CHARACTERS = 256 * 1024 * 1024

#: factor for these limits above which all writes fail, except those that end something
_UTMOST = 4

#: kinds of writes that are always accepted: their number is limited by that of runs and processes
_ALWAYS = frozenset({EndRun.kind, Join.kind, Leave.kind})

#: maximum number of characters in one batch, so that parameters stay small; and no limit
_BATCH_CHARACTERS = 16 * 1024 * 1024
_EVERYTHING = 2**63

#: queue size, in writes and in characters, above which nothing is read from other processes
_PLENTY = 50_000
_PLENTY_CHARACTERS = 64 * 1024 * 1024


class Outbox:
    """The queue of writes for the file. Any thread puts, one thread takes.

    Awaiting acknowledgements is the back-pressure: a caller that awaits cannot get ahead. Records and similar writes
    need not be awaited, so there is a limit above which they fail instead of filling the memory. For writes that are
    usually awaited there is a much higher one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: released to wake the taking thread, which says in the two fields below what it waits for
        self._gate = threading.Lock()
        self._gate.acquire()
        self._queue: deque[Receipt] = deque()
        self._characters = 0
        #: the same for the batch taken last, which may come back; 0 once it was passed on
        self._taken = self._taken_characters = 0
        self._urgent = 0
        self._first = 0.0
        self._napping = False
        self._idle = False
        self._is_waiting = False
        self._is_interrupted = False
        self._closed = True

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def pending(self) -> int:
        """Number of writes that are queued, or taken and neither settled nor passed on."""
        with self._lock:
            return len(self._queue) + self._taken

    @property
    def is_pressing(self) -> bool:
        """Whether something is queued that should be committed by now."""
        return bool(self._queue) and (self._urgent > 0 or time.monotonic() - self._first > PATIENCE)

    def open(self) -> None:
        """Accept writes from now on."""
        self._closed = False

    @property
    def is_full(self) -> bool:
        """Whether so much is queued that reading writes from elsewhere should pause."""
        return len(self._queue) > _PLENTY or self._characters > _PLENTY_CHARACTERS

    @property
    def is_closed(self) -> bool:
        """Whether no more writes are accepted."""
        return self._closed

    def close(self) -> None:
        """Accept no more writes; queued ones can still be taken, then None."""
        with self._lock:
            self._closed = True
            self._wake()

    def put(self, receipt: Receipt, *, is_bounded: bool = True) -> Failure | None:
        """Queue *receipt*; never blocks. Returns why it was not queued, or None.

        Args:
            receipt: The write.
            is_bounded: Reject a leisurely write if very many are queued.

        Raises:
            StoreClosed: no more writes are accepted.
        """
        write = receipt.write
        kind = write.kind
        size = 0
        if kind in _SIZES:
            try:
                size = _SIZES[kind](write)
            except (TypeError, ValueError):
                # it contains something that is not text; that is reported when it is written
                size = 0
        receipt.size = size
        is_leisurely = kind in LEISURELY
        with self._lock:
            if self._closed:
                raise StoreClosed("the store is not open: nothing was written", fix="write while it is open")
            queue = self._queue
            if is_bounded:
                queued, characters = len(queue) + self._taken, self._characters + self._taken_characters
                if queued >= _MOST or characters >= _MOST_CHARACTERS:
                    failure = self._refuse(kind, is_leisurely, queued, characters)
                    if failure is not None:
                        return failure
            if not queue:
                self._first = time.monotonic()
            queue.append(receipt)
            self._characters += size
            if is_leisurely:
                receipt.hurry = self
                if self._idle:
                    self._wake()
            else:
                self._urgent += 1
                if self._idle or self._napping:
                    self._wake()
        return None

    def hasten(self) -> None:
        """Somebody waits for what is queued: commit it now."""
        with self._lock:
            self._first = 0.0
            if self._napping:
                self._wake()

    def put_back(self, receipts: Iterable[Receipt]) -> None:
        """Queue *receipts*, which were taken but not committed, again: before everything else, to be committed now."""
        with self._lock:
            before = list(receipts)
            self._queue.extendleft(reversed(before))
            self._urgent += sum(receipt.write.kind not in LEISURELY for receipt in before)
            self._characters += sum(receipt.size for receipt in before)
            self._first = 0.0
            self._taken = self._taken_characters = 0
            self._wake()

    def settled(self, count: int) -> None:
        """*count* writes of the batch taken last are settled."""
        with self._lock:
            self._taken = max(0, self._taken - count)

    def passed_on(self) -> None:
        """The batch taken last is about to be sent: from here on its sender counts and limits it."""
        with self._lock:
            self._taken = self._taken_characters = 0

    def interrupt(self) -> None:
        """Let the taking thread return with nothing, to check what else there is to do."""
        with self._lock:
            self._is_interrupted = True
            self._wake()

    def take(self, most: int, within: float | None = None) -> list[Receipt] | None:
        """Wait until it is time to commit, then take up to *most* writes. None if closed and empty.

        Returns an empty list after :meth:`interrupt`, and if nothing was queued *within* so many seconds.
        """
        with self._lock:
            self._taken = self._taken_characters = 0
            until = None if within is None else time.monotonic() + within
            while True:
                if self._is_interrupted:
                    self._is_interrupted = False
                    return []
                if self._queue:
                    left = self._first + PATIENCE - time.monotonic()
                    if self._urgent or self._closed or left <= 0:
                        return self._take(most)
                    self._napping = True
                    self._wait(left)
                elif self._closed:
                    return None
                elif until is not None and until <= time.monotonic():
                    return []
                else:
                    self._idle = True
                    self._wait(None if until is None else until - time.monotonic())

    def rest(self, seconds: float) -> None:
        """Wait for *seconds*, whatever is queued; less if it is closed."""
        with self._lock:
            until = time.monotonic() + seconds
            while not self._closed and (left := until - time.monotonic()) > 0:
                self._wait(left)

    def take_all(self) -> list[Receipt]:
        """Take everything that is queued, immediately."""
        with self._lock:
            return self._take(len(self._queue), _EVERYTHING)

    def _wait(self, seconds: float | None) -> None:
        """Wait to be woken; the lock is held before and after."""
        self._is_waiting = True
        self._lock.release()
        is_woken = self._gate.acquire(timeout=-1 if seconds is None else max(0.0, seconds))
        self._lock.acquire()
        if not is_woken and not self._is_waiting:
            # the gate was released just when the wait timed out
            self._gate.acquire()
        self._is_waiting = self._idle = self._napping = False

    def _wake(self) -> None:
        if self._is_waiting:
            self._is_waiting = self._idle = self._napping = False
            self._gate.release()

    def _refuse(self, kind: str, is_leisurely: bool, queued: int, characters: int) -> Failure | None:
        """Why a write of *kind* is rejected while so much is queued; None if it is accepted."""
        is_utmost = queued >= _MOST * _UTMOST or characters >= _MOST_CHARACTERS * _UTMOST
        if kind in _ALWAYS or not (is_leisurely or is_utmost):
            return None
        return Failure(
            StoreError(
                f"{queued} writes are queued, the disk does not keep up: a {kind} was dropped",
                fix="await what record() returns: then a function goes no faster than the disk",
            )
        )

    def _take(self, most: int, most_characters: int = _BATCH_CHARACTERS) -> list[Receipt]:
        queue = self._queue
        if len(queue) <= most and self._characters <= most_characters:
            taken = list(queue)
            queue.clear()
            self._taken, self._taken_characters = len(taken), self._characters
            self._urgent = self._characters = 0
            return taken
        taken = []
        size = 0
        while queue and len(taken) < most and size < most_characters:
            receipt = queue.popleft()
            taken.append(receipt)
            size += receipt.size
            if receipt.write.kind not in LEISURELY:
                self._urgent -= 1
        self._characters -= size
        self._taken, self._taken_characters = len(taken), size
        return taken


_SIZES: dict[str, Callable[[Any], int]] = {
    BeginRun.kind: lambda write: 0 if write.arguments is None else len(write.arguments),
    KeepStep.kind: lambda write: len(write.result),
    SetObserved.kind: lambda write: len(write.status),
    AddRecord.kind: lambda write: len(write.message) + len(write.fields or ""),
    Import.kind: lambda write: sum(map(len, write.lines)),
    # the common case of a single key needs no loop
    SetKeys.kind: lambda write: (
        len(write.items[0][1]) if len(write.items) == 1 else sum(len(value) for _, value in write.items)
    ),
    PutKey.kind: lambda write: len(write.value or ""),
    EndRun.kind: lambda write: len(write.result or "") + len(write.traceback or ""),
}
