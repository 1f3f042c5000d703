"""The acknowledgement of a write: awaited by tasks and threads, settled by the committing thread."""

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

# held while a waiter is added, so that concurrent ones do not overwrite each other
_waiting = threading.Lock()


class _Pending(enum.Enum):
    """The type of the unknown outcome."""

    PENDING = "pending"


_PENDING: Final = _Pending.PENDING

#: the future of a waiting caller, and the outcome
Awaited = tuple["asyncio.Future[Any]", Any]


class Failure:
    """Why writes failed; shared by all that failed together, so that it is logged once if nobody awaited them."""

    __slots__ = ("_logged", "count", "error")

    def __init__(self, error: StoreError, count: int = 1) -> None:
        self.error = error
        #: number of writes that failed
        self.count = count
        self._logged = False

    def exception(self) -> StoreError:
        """A new exception for each caller: raising the same object twice would mix up the tracebacks."""
        made = copy.copy(self.error)
        made.__cause__ = self.error.__cause__
        return made

    def log(self, write: Write) -> None:
        """Log that nobody awaited a failed write."""
        if not self._logged:
            self._logged = True
            _logger.error(
                "%d writes were not kept, the first that nobody awaited is %r: %s", self.count, write, self.error
            )


class Sender(Protocol):
    """Another process that sends numbered writes."""

    #: its name
    node: str

    def remember(self, first: int, refused: list[list[Any]]) -> list[list[Any]]:
        """Add [number, failure, outcome] of writes not acknowledged with True, for a batch that starts with *first*.

        Returns those that the process may still ask about.
        """


class Hurry(Protocol):
    """Notified when somebody starts to wait."""

    def hasten(self) -> None:
        """Commit now."""


class _Unheard:
    """The failure of one write, which logs it when it is destroyed without having been raised.

    A separate object, because most writes do not fail, and destroying an object with a finaliser is slow.
    """

    __slots__ = ("_failure", "_is_heard", "_write")

    def __init__(self, failure: Failure, write: Write) -> None:
        self._failure = failure
        self._write = write
        self._is_heard = False

    def exception(self) -> StoreError:
        """The exception, for a caller who gets it."""
        self._is_heard = True
        return self._failure.exception()

    def __del__(self) -> None:
        if not self._is_heard:
            self._failure.log(self._write)


class Receipt:
    """A queued write, and its acknowledgement.

    Args:
        write: The write.
    """

    __slots__ = ("_outcome", "_unheard", "_waiters", "hurry", "number", "size", "write")

    #: the process that has sent it; None for this one
    sender: Sender | None = None
    #: its number, if it is sent to another process to be committed
    number: int
    #: approximate size in characters; set by the outbox
    size: int

    def __init__(self, write: Write) -> None:
        self.write = write
        #: notified when somebody starts to wait; set by the outbox if that matters
        self.hurry: Hurry | None = None
        self._outcome: Any = _PENDING
        self._waiters: Any = None

    @property
    def is_settled(self) -> bool:
        """Whether its outcome is known."""
        return self._outcome is not _PENDING

    def __await__(self) -> Generator[Any, None, Any]:
        if self._outcome is _PENDING:
            future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            if self.hurry is None:
                with _waiting:
                    self._waiters = (future,) if self._waiters is None else (*self._waiters, future)
            else:
                self._add(future)
            # settling sets the outcome first and then reads the list; here it is the other way round, so no waiter is
            # missed
            if self._outcome is _PENDING:
                return future.__await__()
            # settled just now: cancel the future, which nobody awaits, so that no failure counts as never retrieved
            future.cancel()
        return self._ended()

    def wait(self, timeout: float | None = None) -> Any:
        """Block the calling thread until it is committed; raises TimeoutError after *timeout* seconds."""
        if self._outcome is _PENDING:
            event = threading.Event()
            self._add(event)
            if self._outcome is _PENDING and not event.wait(timeout):
                raise TimeoutError(f"not committed within {timeout} seconds: {self.write.kind}")
        return self.outcome()

    def settle(self, outcome: Any) -> Sequence[Awaited]:
        """Set the outcome and wake waiting threads. Returns the futures for :func:`resolve` on their event loops.

        Args:
            outcome: The result, or a :class:`Failure`.
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
        """The result of the write.

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
        """Settle each of *receipts* with its outcome; returns the same as :meth:`settle`."""
        awaited: list[Awaited] = []
        for receipt, outcome in zip(receipts, outcomes, strict=True):
            if receipt.__class__ is not Receipt or outcome.__class__ is Failure:
                awaited += receipt.settle(outcome)
                continue
            # `settle` inlined, because there are several hundred thousand per second
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
    """Resolve the futures of callers on this event loop."""
    for future, outcome in awaited:
        if future.done():
            continue
        if isinstance(outcome, _Unheard):
            future.set_exception(outcome.exception())
        else:
            future.set_result(outcome)
