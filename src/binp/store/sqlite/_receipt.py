"""The acknowledgement of a write: awaited by tasks, waited for by threads, settled by the thread that commits."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from typing import Any, Protocol

from binp.store.contract import StoreError, Write

__all__ = ["Failure", "Receipt", "Sender"]

_logger = logging.getLogger("binp.store")

# taken by those who begin to wait, so that two of them do not overwrite each other's place in the list
_waiting = threading.Lock()


class Failure:
    """Why writes failed; one for all that failed together, so that it is logged once if nobody hears of it."""

    __slots__ = ("_logged", "count", "error")

    def __init__(self, error: StoreError, count: int = 1) -> None:
        self.error = error
        #: writes that failed with it
        self.count = count
        self._logged = False

    def exception(self) -> StoreError:
        """A fresh exception for each that waits: one that is raised in two places mixes up their tracebacks."""
        error = self.error
        made = StoreError(*error.args, where=error.where, fix=error.fix)
        made.__cause__ = error.__cause__
        return made

    def log(self, write: Write) -> None:
        """Say that nobody awaited a write that failed with it."""
        if not self._logged:
            self._logged = True
            _logger.error(
                "%d writes were not kept, the first that nobody awaited is %r: %s", self.count, write, self.error
            )


class Sender(Protocol):
    """Another process that numbers its writes."""

    #: its name
    node: str

    def remember(self, refused: list[list[Any]]) -> list[list[Any]]:
        """Add [number, failure, outcome] of those not acknowledged with True; returns what it may still ask about."""


class Receipt:
    """A write on its way, and its acknowledgement."""

    __slots__ = ("_done", "_failure", "_hasten", "_heard", "_value", "_waiters", "number", "sender", "size", "write")

    def __init__(self, write: Write, *, hasten: Callable[[], None] | None = None, sender: Sender | None = None) -> None:
        self.write = write
        #: the process that it came from; None for this one
        self.sender = sender
        #: its place among the numbered writes of this process, as long as another process commits them
        self.number = 0
        #: about how many characters it brings along
        self.size = 0
        self._done = False
        self._value: Any = None
        #: called when somebody begins to wait
        self._hasten = hasten
        self._failure: Failure | None = None
        self._heard = False
        self._waiters: list[asyncio.Future[None] | threading.Event] | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it is known how it ended."""
        return self._done

    def __await__(self) -> Generator[Any, None, Any]:
        if not self._done:
            future = asyncio.get_running_loop().create_future()
            self._add(future)
            # settling sets the mark and then looks at the list, this is the other way round: one of both sees the other
            if not self.is_settled:
                yield from future
        return self._outcome()

    def wait(self, timeout: float | None = None) -> Any:
        """Block the calling thread until it is committed; *timeout* in seconds, then TimeoutError."""
        if not self._done:
            event = threading.Event()
            self._add(event)
            if not self.is_settled and not event.wait(timeout):
                raise TimeoutError(f"not committed within {timeout} seconds: {self.write.kind}")
        return self._outcome()

    def settle(self, value: Any, failure: Failure | None = None) -> list[asyncio.Future[None]]:
        """Say how it ended and wake the threads that wait. Returns the futures to be resolved on their loops."""
        self._value = value
        self._failure = failure
        self._done = True
        if self._waiters is None:
            return []
        futures = []
        for waiter in self._waiters:
            if isinstance(waiter, threading.Event):
                waiter.set()
            else:
                futures.append(waiter)
        return futures

    def __del__(self) -> None:
        if self._failure is not None and not self._heard:
            self._failure.log(self.write)

    def _add(self, waiter: asyncio.Future[None] | threading.Event) -> None:
        with _waiting:
            if self._waiters is None:
                self._waiters = [waiter]
            else:
                self._waiters.append(waiter)
        if self._hasten is not None:
            self._hasten()

    def _outcome(self) -> Any:
        if self._failure is not None:
            self._heard = True
            raise self._failure.exception()
        return self._value
