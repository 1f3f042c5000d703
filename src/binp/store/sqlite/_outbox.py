"""Queue the writes of all threads in one order, and say when it is time to commit."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from binp.store.contract import (
    AddLabels,
    AddRecord,
    EndRun,
    Import,
    PutKey,
    SetKeys,
    SetObserved,
    SetProgress,
    StoreClosed,
    StoreError,
)

from ._receipt import Failure, Receipt

__all__ = ["LEISURELY", "Outbox"]

#: seconds that a write may lie when nobody is known to wait for it
PATIENCE = 0.05

#: kinds of writes that are made in numbers and not waited for: they are committed with the next that is, or soon
LEISURELY = frozenset({AddRecord.kind, AddLabels.kind, SetProgress.kind, SetObserved.kind})

#: queued writes, and characters in them, above which further leisurely ones fail
_MOST = 200_000
_MOST_CHARACTERS = 256 * 1024 * 1024

#: characters in one batch, so that a statement's parameter stays handy
_BATCH_CHARACTERS = 16 * 1024 * 1024


class Outbox:
    """Writes on their way to the file. Any thread puts, one thread takes.

    Awaiting the acknowledgements is the back-pressure: who awaits cannot be ahead by more than what is in flight.
    Records and their like can be queued without awaiting, so of these there is a limit, above which they fail instead
    of filling the memory; what somebody waits for is always taken.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._queue: deque[Receipt] = deque()
        self._characters = 0
        self._urgent = 0
        self._first = 0.0
        self._napping = False
        self._idle = False
        self._is_interrupted = False
        self._closed = True

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_pressing(self) -> bool:
        """Something is queued that ought to be on its way by now."""
        return bool(self._queue) and (self._urgent > 0 or time.monotonic() - self._first > PATIENCE)

    def open(self) -> None:
        """Take writes from here on."""
        self._closed = False

    def close(self) -> None:
        """Take no more; what is queued is still given out, then None."""
        with self._lock:
            self._closed = True
            self._ready.notify_all()

    def put(self, receipt: Receipt, *, is_bounded: bool = True) -> Failure | None:
        """Queue *receipt*; never blocks. Returns why it was not queued.

        Args:
            receipt: What is to be written.
            is_bounded: Refuse a leisurely write when very many are queued.

        Raises:
            StoreClosed: writes are not taken any more.
        """
        write = receipt.write
        kind = write.kind
        measure = _SIZES.get(kind)
        try:
            size = 0 if measure is None else measure(write)
        except (TypeError, ValueError):
            # something in it is no text: that is found out, and said, where it is written
            size = 0
        receipt.size = size
        with self._lock:
            if self._closed:
                raise StoreClosed("the store is not open: nothing was written", fix="write while it is open")
            if kind not in LEISURELY:
                self._urgent += 1
                wake = self._idle or self._napping
            elif is_bounded and (len(self._queue) >= _MOST or self._characters >= _MOST_CHARACTERS):
                return Failure(
                    StoreError(
                        f"{len(self._queue)} writes are queued, the disk does not keep up: a {kind} was dropped",
                        fix="await what record() returns: then a function goes no faster than the disk",
                    )
                )
            else:
                receipt.hurry = self
                wake = self._idle
            if not self._queue:
                self._first = time.monotonic()
            self._queue.append(receipt)
            self._characters += size
            if wake:
                self._idle = self._napping = False
                self._ready.notify()
        return None

    def hasten(self) -> None:
        """Somebody waits for what is queued: it is time."""
        with self._lock:
            self._first = 0.0
            if self._napping:
                self._napping = False
                self._ready.notify()

    def put_back(self, receipts: Iterable[Receipt]) -> None:
        """Queue *receipts* again, before everything else and at once: they were taken, and did not arrive."""
        with self._lock:
            before = list(receipts)
            self._queue.extendleft(reversed(before))
            self._urgent += sum(receipt.write.kind not in LEISURELY for receipt in before)
            self._characters += sum(receipt.size for receipt in before)
            self._first = 0.0
            self._ready.notify_all()

    def interrupt(self) -> None:
        """Let the one who takes go with nothing, to look at what else there is to do."""
        with self._lock:
            self._is_interrupted = True
            self._ready.notify_all()

    def take(self, most: int, within: float | None = None) -> list[Receipt] | None:
        """Wait until it is time, then take what is queued, *most* of them. None when closed and empty.

        Returns nothing at once after :meth:`interrupt`, and when nothing came *within* so many seconds.
        """
        with self._lock:
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
                    self._ready.wait(left)
                elif self._closed:
                    return None
                elif until is not None and until <= time.monotonic():
                    return []
                else:
                    self._idle = True
                    self._ready.wait(None if until is None else until - time.monotonic())
                self._idle = self._napping = False

    def _take(self, most: int) -> list[Receipt]:
        queue = self._queue
        if len(queue) <= most and self._characters <= _BATCH_CHARACTERS:
            taken = list(queue)
            queue.clear()
            self._urgent = self._characters = 0
            return taken
        taken = []
        size = 0
        while queue and len(taken) < most and size < _BATCH_CHARACTERS:
            receipt = queue.popleft()
            taken.append(receipt)
            size += receipt.size
            if receipt.write.kind not in LEISURELY:
                self._urgent -= 1
        self._characters -= size
        return taken


_SIZES: dict[str, Callable[[Any], int]] = {
    AddRecord.kind: lambda write: len(write.message) + len(write.fields or ""),
    Import.kind: lambda write: sum(map(len, write.lines)),
    SetKeys.kind: lambda write: sum(len(value) for _, value in write.items),
    PutKey.kind: lambda write: len(write.value or ""),
    EndRun.kind: lambda write: len(write.result or "") + len(write.traceback or ""),
}
