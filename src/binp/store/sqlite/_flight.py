"""Writes in flight to the owner: sent and numbered, but not answered yet."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from ._receipt import Awaited, Failure, Receipt
from ._wire import decode_failure, decode_outcome

__all__ = ["Flight"]

#: maximum number of writes in flight, and of characters in them
_MOST = 16_384
_MOST_CHARACTERS = 64 * 1024 * 1024


class Flight:
    """A queue to which one thread adds, and from which another one removes.

    Args:
        number: The last number used before.
    """

    def __init__(self, number: int) -> None:
        #: number of the last sent write
        self.sent = number
        #: number of the last write with a known result
        self.heard = number
        #: whether there is no owner that could answer
        self.is_lost = False
        self._receipts: deque[Receipt] = deque()
        #: number of characters in them
        self._characters = 0
        self._landing = threading.Condition()

    def __len__(self) -> int:
        return len(self._receipts)

    def __iter__(self) -> Iterator[Receipt]:
        return iter(self._receipts)

    def add(self, receipt: Receipt) -> None:
        """*receipt* is being sent, with the next number."""
        self.sent += 1
        receipt.number = self.sent
        with self._landing:
            self._receipts.append(receipt)
            self._characters += receipt.size

    def take_back(self) -> deque[Receipt]:
        """Remove and return all of them, in order."""
        with self._landing:
            taken, self._receipts, self._characters = self._receipts, deque(), 0
        return taken

    def lose(self) -> None:
        """The owner is gone: stop waiting for its answers."""
        with self._landing:
            self.is_lost = True
            self._landing.notify_all()

    def has_room(self, timeout: float) -> bool:
        """Wait until more may be sent; False after *timeout* seconds, unless the owner is gone."""
        with self._landing:
            return self._landing.wait_for(self._may_send, timeout)

    def empty(self, patience: float) -> bool:
        """Wait until nothing is in flight; False if the owner is gone before.

        Raises:
            TimeoutError: nothing was received for *patience* seconds.
        """
        with self._landing:
            before = None
            while self._receipts and not self.is_lost:
                if before == len(self._receipts):
                    raise TimeoutError
                before = len(self._receipts)
                self._landing.wait_for(lambda: not self._receipts or self.is_lost, patience)
            return not self._receipts

    def land(self, results: Sequence[Sequence[Any]], awaited: list[Awaited]) -> None:
        """Settle the first writes with the owner's results; waiting callers are added to *awaited*, even on an error.

        Raises:
            ValueError: the results are not those of the next writes.
        """
        with self._landing:
            for number, value, failure in results:
                if not self._receipts or self._receipts[0].number != number:
                    raise ValueError(f"this is the result of write {number!r}, which is not the one that is due")
                awaited += self._settle_first(failure, value)
            if results:
                self._landing.notify_all()

    def land_known(self, numbered: int, refused: Sequence[Sequence[Any]], awaited: list[Awaited]) -> None:
        """Settle writes that an owner committed but could not report: up to *numbered*, all True except *refused*."""
        not_true = {number: (failure, outcome) for number, failure, outcome in refused}
        with self._landing:
            while self._receipts and self._receipts[0].number <= numbered:
                awaited += self._settle_first(*not_true.get(self._receipts[0].number, (None, True)))
            self._landing.notify_all()

    def _may_send(self) -> bool:
        has_room = len(self._receipts) < _MOST and self._characters < _MOST_CHARACTERS
        return has_room or not self._receipts or self.is_lost

    def _settle_first(self, failure: Any, value: Any) -> Sequence[Awaited]:
        """Settle the first write, and remove it once its result could be decoded."""
        receipt = self._receipts[0]
        outcome = decode_outcome(receipt.write, value) if failure is None else Failure(decode_failure(failure))
        self._receipts.popleft()
        self._characters -= receipt.size
        self.heard = receipt.number
        return receipt.settle(outcome)
