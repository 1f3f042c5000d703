"""A handle on a started run: its id, its result, and a way to cancel it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from binp.errors import BinpError
from binp.store.contract import EndRun, RequestCancel, Run, State, Store

from ._active import now
from ._life import Outcome

__all__ = ["RunCancelled", "RunHandle", "RunLost", "RunSkipped", "ask_to_cancel"]


class RunCancelled(BinpError):
    """The run was cancelled, so it has no result.

    Attributes:
        run: Its id.
    """

    def __init__(self, run: int, operation: str, reason: str) -> None:
        super().__init__(f"run {run} of {operation!r} was cancelled: {reason}")
        self.run = run


class RunSkipped(BinpError):
    """The run was skipped by a rule, so it has no result.

    Attributes:
        run: Its id.
    """

    def __init__(self, run: int, operation: str, reason: str) -> None:
        super().__init__(f"run {run} of {operation!r} was not executed: {reason}")
        self.run = run


class RunLost(BinpError):
    """The row of a run no longer exists."""


class RunHandle:
    """A run that was started.

    Attributes:
        id: Its id in the history.
        operation: The name under which it was started.
    """

    def __init__(self, store: Store, id: int, operation: str) -> None:  # noqa: A002 - the name of the attribute
        self.id = id
        self.operation = operation
        self._store = store
        self._end: EndRun | None = None
        self._outcome: Outcome | None = None
        #: one future per waiting caller, so that one who is cancelled does not affect the others
        self._waiters: set[asyncio.Future[None]] = set()
        self._callbacks: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        state = State.RUNNING if self._outcome is None else self._outcome.state
        return f"<RunHandle {self.id} {self.operation} {state}>"

    @property
    def done(self) -> bool:
        """Whether it has ended, and its end is committed."""
        return self._outcome is not None

    async def result(self) -> Any:
        """Wait for the end and return the result of the function. Cancelling the wait does not cancel the run.

        Raises:
            RunCancelled: the run was cancelled.
            RunSkipped: a rule skipped it, or it stays queued for the next process.
            Exception: whatever the function raised.
        """
        outcome = await self._wait()
        if outcome.state is State.SUCCEEDED:
            return outcome.value
        if outcome.error is not None and not isinstance(outcome.error, asyncio.CancelledError):
            raise outcome.error
        if outcome.state is State.CANCELLED:
            raise RunCancelled(self.id, self.operation, outcome.message or "cancelled")
        if outcome.state in {State.SKIPPED, State.QUEUED}:
            raise RunSkipped(self.id, self.operation, outcome.message or "skipped")
        raise BinpError(f"run {self.id} of {self.operation!r} failed: {outcome.message}") from outcome.error

    async def ended(self) -> EndRun | None:
        """Wait for the end and return it as written; None if the run was never created, or stays queued.

        Faster than :meth:`wait`, which reads the run.
        """
        await self._wait()
        return self._end

    async def wait(self) -> Run:
        """Wait for the end and return the run from the history, whatever its state."""
        await self._wait()
        run = await self._store.get_run(self.id)
        if run is None:
            raise RunLost(f"run {self.id} of {self.operation!r} is not in the history any more")
        return run

    async def cancel(self, *, actor: str | None = None) -> bool:
        """Request its cancellation. Returns immediately; False if it has already ended.

        A function in a thread cannot be stopped: its run ends when the function returns.
        """
        return await ask_to_cancel(self._store, self.id, actor=actor)

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call *callback* on the event loop when it has ended."""
        if self._outcome is None:
            self._callbacks.append(callback)
        else:
            asyncio.get_running_loop().call_soon(callback)

    async def _wait(self) -> Outcome:
        while self._outcome is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        return self._outcome

    def _settle(self, outcome: Outcome, end: EndRun | None = None) -> None:
        if self._outcome is not None:
            return
        self._end = end
        self._outcome = outcome
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        for callback in self._callbacks:
            asyncio.get_running_loop().call_soon(callback)
        self._callbacks.clear()


async def ask_to_cancel(store: Store, run: int, *, actor: str | None = None) -> bool:
    """Store a request to cancel *run*; False if it is unknown or has ended."""
    return bool(await store.write(RequestCancel(id=run, actor=actor, at=now())))
