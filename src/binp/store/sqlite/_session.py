"""A process that writes through this one, as its owner knows it: what it was told, and what it may ask about."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from binp.store.contract import Write

from ._nodes import Node
from ._receipt import Awaited, Failure, Receipt
from ._wire import encode_failure

__all__ = ["RemoteReceipt", "Session"]


class Session:
    """Another process that writes through this one. Its results are only touched by the thread that commits."""

    def __init__(self, out: asyncio.StreamWriter) -> None:
        self.out = out
        self.node = ""
        self.process: Node | None = None
        self.is_joined = False
        #: when it was heard last, in monotonic seconds; what it was running is given up
        self.heard_at = time.monotonic()
        self.is_silent = False
        #: [number, value, failure] of what is committed and not told yet
        self.results: list[list[Any]] = []
        #: number up to which it has heard the results
        self.heard = 0
        #: it has come again, and sends by another session what was not committed by then
        self.is_over = False
        #: what it may still ask about, by its numbers
        self._refused: dict[int, list[Any]] = {}

    def hear(self) -> None:
        """It said something, or it is not its fault that it was not heard."""
        self.heard_at = time.monotonic()
        self.is_silent = False

    def start(self, refused: list[list[Any]]) -> None:
        """Go on from what the file remembers."""
        self._refused = {entry[0]: entry for entry in refused}

    def remember(self, first: int, refused: list[list[Any]]) -> list[list[Any]]:
        """Add what is not acknowledged with True of a batch that begins with *first*; returns what it may ask about."""
        # what is noted from there on is of an attempt that was not committed
        kept = {number: entry for number, entry in self._refused.items() if self.heard < number < first}
        self._refused = kept | {entry[0]: entry for entry in refused}
        return list(self._refused.values())

    def fail(self, number: int, failure: list[Any]) -> None:
        """Write *number* is not done; that gets into the file with what is committed next, which is behind it."""
        self._refused[number] = [number, failure, None]

    def end(self) -> None:
        """Read nothing more of it."""
        self.is_over = True
        self.out.transport.abort()


class RemoteReceipt(Receipt):
    """The acknowledgement of a write that another process waits for."""

    __slots__ = ("_session", "sender")

    def __init__(self, write: Write, number: int, session: Session) -> None:
        super().__init__(write)
        self.number = number
        self.sender = self._session = session

    def settle(self, outcome: Any) -> Sequence[Awaited]:
        """Leave the result for the next ``Server.publish``, which follows at once."""
        # where the rest of its batch fails this one is not tried again; that nobody waits for it here is no loss
        self._outcome = outcome
        failure = encode_failure(outcome.error) if isinstance(outcome, Failure) else None
        if failure is not None:
            self._session.fail(self.number, failure)
        self._session.results.append([self.number, outcome if failure is None else None, failure])
        return ()
