"""One execution of a service, with a run in the history if there is a home."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

from binp.home import Home
from binp.operations import Operation, is_async, journal_of, without_journal
from binp.runs import ActiveRun, Outcome, Threads, Trigger, current_journal, current_run
from binp.store.contract import StoreError
from buvar import di

from ._inside import current_end

__all__ = ["begin_life"]

_logger = logging.getLogger("Service")


class _Life:
    def __init__(self, operation: Operation, home: Home | None, run: ActiveRun | None) -> None:
        self._operation = operation
        self._home = home
        self._run = run
        self._ended = self._shielded = False
        self._end = threading.Event()
        #: why only this execution was cancelled; None if it was not
        self.cancelled: str | None = None

    @property
    def run(self) -> int | None:
        """The id of its run; None without a home."""
        return None if self._run is None else self._run.id

    async def body(self) -> Any:
        """Execute the function as the current run, with its dependencies in a scope of their own."""
        if self._run is not None:
            current_run.set(self._run)
            current_journal.set(self._run.id)
        try:
            if not self._operation.form.injected:
                return await self._call({})
            async with di.scope() as scope:
                provided = await scope.provide(self._operation.function)
                if self._run is not None:
                    self._run.conceal(provided.values())
                return await self._call(provided)
        finally:
            self._shield()
            current_run.set(None)
            current_journal.set(None)

    def ended(self, outcome: Outcome) -> None:
        """Queue the end of the run, once, without waiting for it."""
        if self._ended or self._run is None or self._home is None:
            return
        self._ended = True
        try:
            self._home.runs.finish(self._run, outcome)
        except StoreError as error:
            _logger.warning("the end of service %r is missing in the history: %s", self._operation.name, error.what)

    def _shield(self) -> None:
        """The function has ended: a request to cancel this execution no longer reaches the task."""
        if self._run is None or self._shielded:
            return
        self._shielded = True
        if not self._run.shield():
            self.cancelled = self._run.cancel_reason

    async def _call(self, provided: dict[str, Any]) -> Any:
        function = without_journal(self._operation.function)
        current_end.set(self._end)
        try:
            if is_async(function):
                return await function(**provided)
            value = await self._in_thread(lambda: function(**provided))
            # a sync wrapper around an async function, as many decorators create
            return await value if inspect.isawaitable(value) else value
        finally:
            # threads that the function has started itself may still be running
            self._end.set()
            current_end.set(None)
            self._shield()

    async def _in_thread(self, call: Callable[[], Any]) -> Any:
        if self._home is not None and self._home.is_open:
            return await _in_thread(self._home.runs.threads, call, self._end)
        threads = Threads(1)
        try:
            return await _in_thread(threads, call, self._end)
        finally:
            threads.close(0)


async def begin_life(operation: Operation, home: Home | None) -> _Life:
    """Start an execution in the running task: if there is a home, its run can be cancelled from here on."""
    if home is None:
        return _Life(operation, None, None)
    await home.ensure()
    run, _ = home.runs.begin(operation, trigger=Trigger("service"))
    if journal_of(operation.function) is not None:
        # the function journals itself: let its journal adopt this run instead of starting another one
        run.adoptable = operation.base
    run.task = asyncio.current_task()
    return _Life(operation, home, run)


class _Once:
    """A call that is either started by a thread, or given up before; never both."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._claim = threading.Lock()

    def __call__(self) -> tuple[Any, BaseException | None]:
        if not self._claim.acquire(blocking=False):
            return None, None
        try:
            return self._call(), None
        except BaseException as error:  # noqa: BLE001 - raised again in the task of the service, which handles it
            return None, error

    def give_up(self) -> bool:
        """Prevent the call if it has not started; returns whether it was prevented."""
        return self._claim.acquire(blocking=False)


async def _in_thread(threads: Threads, call: Callable[[], Any], end: threading.Event) -> Any:
    """Await *call* in a thread. If cancelled, set *end* and wait until the call ends: it cannot be stopped.

    The waiting task is only cancelled when the event loop is being closed, so it does not block that.
    """
    once = _Once(call)
    waiting = asyncio.ensure_future(threads.run(once))
    cancelled = False
    while not waiting.done():
        try:
            await asyncio.wait({waiting})
        except asyncio.CancelledError:
            cancelled = True
            end.set()
            if once.give_up():
                waiting.cancel()
    if waiting.cancelled():
        raise asyncio.CancelledError
    value, error = waiting.result()
    if error is not None:
        raise error
    if cancelled:
        raise asyncio.CancelledError
    return value
