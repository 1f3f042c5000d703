"""Writes on their way to the owner: sent, in the order of their numbers, and not heard of yet."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from ._receipt import Awaited, Failure, Receipt
from ._wire import decode_failure, decode_outcome

__all__ = ["Flight"]

#: writes on their way, and characters in them, above which no more are sent
_MOST = 16_384
_MOST_CHARACTERS = 64 * 1024 * 1024


class Flight:
    """One thread adds, another one lands.

    Args:
        number: The last number that was given before.
    """

    def __init__(self, number: int) -> None:
        #: of the last write that was sent
        self.sent = number
        #: of the last write of which the outcome is known
        self.heard = number
        #: there is no owner from whom anything could be heard
        self.is_lost = False
        self._receipts: deque[Receipt] = deque()
        #: characters in them
        self._characters = 0
        self._landing = threading.Condition()

    def __len__(self) -> int:
        return len(self._receipts)

    def __iter__(self) -> Iterator[Receipt]:
        return iter(self._receipts)

    def add(self, receipt: Receipt) -> None:
        """*receipt* is sent, with the next number."""
        self.sent += 1
        receipt.number = self.sent
        with self._landing:
            self._receipts.append(receipt)
            self._characters += receipt.size

    def take_back(self) -> deque[Receipt]:
        """All of them, in their order; none is on its way then."""
        with self._landing:
            taken, self._receipts, self._characters = self._receipts, deque(), 0
        return taken

    def lose(self) -> None:
        """The owner has gone: nobody is to wait for what it says."""
        with self._landing:
            self.is_lost = True
            self._landing.notify_all()

    def has_room(self, timeout: float) -> bool:
        """Whether more may be sent, or the owner has gone, within *timeout* seconds."""
        with self._landing:
            return self._landing.wait_for(self._may_send, timeout)

    def empty(self, patience: float) -> bool:
        """Wait until nothing is on its way; False if the owner has gone before.

        Raises:
            TimeoutError: nothing was heard for *patience* seconds.
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
        """Settle what the owner says of the first ones; who waits for them is added to *awaited*, whatever happens.

        Raises:
            ValueError: what it says is not about those that are due.
        """
        with self._landing:
            for number, value, failure in results:
                if not self._receipts or self._receipts[0].number != number:
                    raise ValueError(f"this is the result of write {number!r}, which is not the one that is due")
                awaited += self._settle_first(failure, value)
            if results:
                self._landing.notify_all()

    def land_known(self, numbered: int, refused: Sequence[Sequence[Any]], awaited: list[Awaited]) -> None:
        """Settle what an owner committed and could not tell: up to *numbered*, all true but for those *refused*."""
        not_true = {number: (failure, outcome) for number, failure, outcome in refused}
        with self._landing:
            while self._receipts and self._receipts[0].number <= numbered:
                awaited += self._settle_first(*not_true.get(self._receipts[0].number, (None, True)))
            self._landing.notify_all()

    def _may_send(self) -> bool:
        has_room = len(self._receipts) < _MOST and self._characters < _MOST_CHARACTERS
        return has_room or not self._receipts or self.is_lost

    def _settle_first(self, failure: Any, value: Any) -> Sequence[Awaited]:
        """Settle the first one, which leaves: not before it is known what is said of it."""
        receipt = self._receipts[0]
        outcome = decode_outcome(receipt.write, value) if failure is None else Failure(decode_failure(failure))
        self._receipts.popleft()
        self._characters -= receipt.size
        self.heard = receipt.number
        return receipt.settle(outcome)
