"""One execution of a service: with a run in the history where there is one, without where there is none."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any

from binp.home import Home
from binp.operations import Operation, is_async, journal_of
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
        #: why the task was cancelled for the sake of this life alone; None while nobody asked for it
        self.cancelled: str | None = None

    @property
    def run(self) -> int | None:
        """The id of its run; None where there is no history."""
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
        """Queue the end of the run, once; nobody waits for it."""
        if self._ended or self._run is None or self._home is None:
            return
        self._ended = True
        try:
            self._home.runs.finish(self._run, outcome)
        except StoreError as error:
            _logger.warning("the end of service %r is missing in the history: %s", self._operation.name, error.what)

    def _shield(self) -> None:
        """The function is done: who asks to cancel this life from here on does not reach the task any more."""
        if self._run is None or self._shielded:
            return
        self._shielded = True
        if not self._run.shield():
            self.cancelled = self._run.cancel_reason

    async def _call(self, provided: dict[str, Any]) -> Any:
        function = _without_journal(self._operation.function)
        current_end.set(self._end)
        try:
            if is_async(function):
                return await function(**provided)
            value = await self._in_thread(lambda: function(**provided))
            # a plain function around an asynchronous one: decorators are often written so
            return await value if inspect.isawaitable(value) else value
        finally:
            # threads that it has started itself may go on
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
    """Begin a life in the running task: its run, if there is a home, can be cancelled from here on."""
    if home is None:
        return _Life(operation, None, None)
    await home.ensure()
    run, _ = home.runs.begin(operation, trigger=Trigger("service"))
    if journal_of(operation.function) is not None:
        # the function keeps history by itself: this is the run that it would begin
        run.adoptable = operation.base
    run.task = asyncio.current_task()
    return _Life(operation, home, run)


def _without_journal(function: Callable[..., Any]) -> Callable[..., Any]:
    """What is below the journal, where that is the outermost decorator: the run that it would begin is there already.

    A journal would not wait for a thread that cannot be stopped.
    """
    journal = journal_of(function)
    inner: Callable[..., Any] | None = getattr(function, "__wrapped__", None)
    return inner if journal is not None and inner is not None and inner is journal.function else function


class _Once:
    """A call that a thread begins, or that is given up before: one of the two."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._claim = threading.Lock()

    def __call__(self) -> tuple[Any, BaseException | None]:
        if not self._claim.acquire(blocking=False):
            return None, None
        try:
            return self._call(), None
        except BaseException as error:  # noqa: BLE001 - raised again in the task of the service, which answers it
            return None, error

    def give_up(self) -> bool:
        """Whether it has not begun; then it never will."""
        return self._claim.acquire(blocking=False)


async def _in_thread(threads: Threads, call: Callable[[], Any], end: threading.Event) -> Any:
    """Await *call* in a thread. When cancelled, tell it by *end* and wait until it is done: it cannot be stopped.

    The wait is a task of its own, that only a loop which is being closed cancels; so that is not held up.
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
