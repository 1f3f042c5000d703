"""The acknowledgement of a write: awaited by tasks, waited for by threads, settled by the thread that commits."""

from __future__ import annotations

import asyncio
import copy
import enum
import logging
import threading
from collections.abc import Generator, Iterable, Sequence
from typing import Any, Final, Protocol

from binp.store.contract import StoreError, Write

__all__ = ["Awaited", "Failure", "Receipt", "Sender", "resolve"]

_logger = logging.getLogger("binp.store")

# taken by those who begin to wait, so that two of them do not overwrite each other's place in the list
_waiting = threading.Lock()


class _Pending(enum.Enum):
    """It is not known how it ended."""

    PENDING = "pending"


_PENDING: Final = _Pending.PENDING

#: who awaits a write, and how it ended
Awaited = tuple["asyncio.Future[Any]", Any]


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
        made = copy.copy(self.error)
        made.__cause__ = self.error.__cause__
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

    def remember(self, first: int, refused: list[list[Any]]) -> list[list[Any]]:
        """Add [number, failure, outcome] of those not acknowledged with True, in a batch that begins with *first*.

        Returns what it may still ask about.
        """


class Hurry(Protocol):
    """What is told when somebody begins to wait."""

    def hasten(self) -> None:
        """It is time."""


class _Unheard:
    """The failure of one write, which is logged if it goes without having been raised.

    Most writes do not fail, and something with a finalizer costs whenever it goes.
    """

    __slots__ = ("_failure", "_is_heard", "_write")

    def __init__(self, failure: Failure, write: Write) -> None:
        self._failure = failure
        self._write = write
        self._is_heard = False

    def exception(self) -> StoreError:
        """The failure, for somebody who hears of it."""
        self._is_heard = True
        return self._failure.exception()

    def __del__(self) -> None:
        if not self._is_heard:
            self._failure.log(self._write)


class Receipt:
    """A write on its way, and its acknowledgement.

    Args:
        write: What is to be written.
    """

    __slots__ = ("_outcome", "_unheard", "_waiters", "hurry", "number", "size", "write")

    #: the process that it came from; None for this one
    sender: Sender | None = None
    #: its place among the numbered writes of this process, as long as another process commits them
    number: int
    #: about how many characters it brings along; set by the outbox
    size: int

    def __init__(self, write: Write) -> None:
        self.write = write
        #: told when somebody begins to wait; set by the outbox when that matters
        self.hurry: Hurry | None = None
        self._outcome: Any = _PENDING
        self._waiters: Any = None

    @property
    def is_settled(self) -> bool:
        """Whether it is known how it ended."""
        return self._outcome is not _PENDING

    def __await__(self) -> Generator[Any, None, Any]:
        if self._outcome is _PENDING:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            if self.hurry is None:
                with _waiting:
                    self._waiters = (future,) if self._waiters is None else (*self._waiters, future)
            else:
                self._add(future)
            # settling sets the outcome and then looks at the list, this is the other way round: one sees the other
            if self._outcome is _PENDING:
                return future.__await__()
            # settled just now: nobody waits for what may be on its way, and a failure would be said to be missed
            future.cancel()
        return self._ended()

    def wait(self, timeout: float | None = None) -> Any:
        """Block the calling thread until it is committed; *timeout* in seconds, then TimeoutError."""
        if self._outcome is _PENDING:
            event = threading.Event()
            self._add(event)
            if self._outcome is _PENDING and not event.wait(timeout):
                raise TimeoutError(f"not committed within {timeout} seconds: {self.write.kind}")
        return self.outcome()

    def settle(self, outcome: Any) -> Sequence[Awaited]:
        """Say how it ended and wake the threads that wait. Returns whom :func:`resolve` is to tell on their loops.

        Args:
            outcome: What it is acknowledged with, or its :class:`Failure`.
        """
        if isinstance(outcome, Failure):
            self._unheard = _Unheard(outcome, self.write)
        self._outcome = outcome
        waiters = self._waiters
        if waiters is None:
            return ()
        if isinstance(outcome, Failure):
            outcome = self._unheard
        awaited = []
        for waiter in waiters:
            if isinstance(waiter, threading.Event):
                waiter.set()
            else:
                awaited.append((waiter, outcome))
        return awaited

    def outcome(self) -> Any:
        """What it was acknowledged with.

        Raises:
            StoreError: it failed.
        """
        if isinstance(self._outcome, Failure):
            raise self._unheard.exception()
        return self._outcome

    def _ended(self) -> Generator[Any, None, Any]:
        yield from ()
        return self.outcome()

    @staticmethod
    def settle_all(receipts: Sequence[Receipt], outcomes: Sequence[Any]) -> list[Awaited]:
        """Settle each of *receipts* as one of *outcomes* says; returns the same as for one."""
        awaited: list[Awaited] = []
        for receipt, outcome in zip(receipts, outcomes, strict=True):
            if receipt.__class__ is not Receipt or outcome.__class__ is Failure:
                awaited += receipt.settle(outcome)
                continue
            # the same as settling it, without the calls: there are some hundred thousand in a second
            receipt._outcome = outcome  # noqa: SLF001 - of this class
            waiters = receipt._waiters  # noqa: SLF001 - the same
            if waiters is not None:
                for waiter in waiters:
                    if waiter.__class__ is threading.Event:
                        waiter.set()
                    else:
                        awaited.append((waiter, outcome))
        return awaited

    def _add(self, waiter: asyncio.Future[Any] | threading.Event) -> None:
        with _waiting:
            if self._waiters is None:
                self._waiters = (waiter,)
            else:
                self._waiters += (waiter,)
        if self.hurry is not None:
            self.hurry.hasten()


def resolve(awaited: Iterable[Awaited]) -> None:
    """Tell those who wait on this loop."""
    for future, outcome in awaited:
        if future.done():
            continue
        if isinstance(outcome, _Unheard):
            future.set_exception(outcome.exception())
        else:
            future.set_result(outcome)
