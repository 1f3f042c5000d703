"""The owner's view of a client: which results it got, and which it may ask about."""

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
    """A client of this owner. Its results are only used by the committing thread."""

    def __init__(self, out: asyncio.StreamWriter) -> None:
        self.out = out
        self.node = ""
        self.process: Node | None = None
        self.is_joined = False
        #: when it was last heard, in monotonic seconds; whether its runs were given up
        self.heard_at = time.monotonic()
        self.is_silent = False
        #: [number, value, failure] of committed writes that were not reported yet
        self.results: list[list[Any]] = []
        #: number of the last write whose result it has received
        self.heard = 0
        #: the client has reconnected, and repeats uncommitted writes in a new session
        self.is_over = False
        #: results that it may still ask about, by number
        self._refused: dict[int, list[Any]] = {}

    def hear(self) -> None:
        """It has sent something, or its silence was not its own fault."""
        self.heard_at = time.monotonic()
        self.is_silent = False

    def start(self, refused: list[list[Any]]) -> None:
        """Continue from what the file remembers."""
        self._refused = {entry[0]: entry for entry in refused}

    def remember(self, first: int, refused: list[list[Any]]) -> list[list[Any]]:
        """Add the results other than True of a batch that starts with *first*; returns those that it may ask about."""
        # later entries belong to an attempt that was not committed
        kept = {number: entry for number, entry in self._refused.items() if self.heard < number < first}
        self._refused = kept | {entry[0]: entry for entry in refused}
        return list(self._refused.values())

    def fail(self, number: int, failure: list[Any]) -> None:
        """Write *number* has failed; this is stored with the next commit, which comes after it."""
        self._refused[number] = [number, failure, None]

    def end(self) -> None:
        """Stop reading from it."""
        self.is_over = True
        self.out.transport.abort()


class RemoteReceipt(Receipt):
    """The acknowledgement of a write from another process."""

    __slots__ = ("_session", "sender")

    def __init__(self, write: Write, number: int, session: Session) -> None:
        super().__init__(write)
        self.number = number
        self.sender = self._session = session

    def settle(self, outcome: Any) -> Sequence[Awaited]:
        """Store the result for the next ``Server.publish``, which follows immediately."""
        # if the rest of its batch fails, this write is not repeated; nobody waits for it in this process
        self._outcome = outcome
        failure = encode_failure(outcome.error) if isinstance(outcome, Failure) else None
        if failure is not None:
            self._session.fail(self.number, failure)
        self._session.results.append([self.number, outcome if failure is None else None, failure])
        return ()
