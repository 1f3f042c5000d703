"""All runs that this process holds: starts, traces, cancels and drains them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from binp.errors import BinpError
from binp.operations import BoundCall, Operation, Operations, journal_of
from binp.store.contract import Ack, BeginRun, Change, RequestCancel, State, Store, StoreError

from ._active import ActiveRun, current_journal, current_run, entered, now, quietly
from ._handle import RunCancelled, RunHandle
from ._life import Outcome, Trigger, end_of, execute, outcome_of, settle
from ._threads import Threads

__all__ = ["AlreadyStarted", "Runs", "TooManyRuns"]

_logger = logging.getLogger("binp.runs")


class TooManyRuns(BinpError):
    """So many runs are in flight that no further one is taken."""


class AlreadyStarted(BinpError):
    """A run was started for the same key before, so no further one was.

    Attributes:
        key: The key.
        run: The run that was started for it, None if that is not known.
    """

    def __init__(self, operation: str, key: str, run: int | None) -> None:
        which = "a run" if run is None else f"run {run}"
        super().__init__(f"{which} of {operation!r} was started for {key!r} before")
        self.key = key
        self.run = run


@dataclass(frozen=True, slots=True)
class _Execution:
    """What is to be called, as what."""

    operation: Operation
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    #: without its row in the history it is not to be executed
    must_begin: bool


class Runs:
    """The runs of one BINP in this process.

    Args:
        store: Where they are kept.
        operations: Tells which functions are journaled.
        base: Context variables that runs start with; never those of whoever happened to start one.
        limit: Largest number of runs in flight.
    """

    def __init__(self, store: Store, operations: Operations, base: contextvars.Context, *, limit: int = 10_000) -> None:
        self.store = store
        self.threads = Threads()
        self._operations = operations
        self._base = base
        self._limit = limit
        self._active: dict[int, ActiveRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepting = True

    @property
    def active(self) -> list[ActiveRun]:
        """The runs in flight, oldest first."""
        return list(self._active.values())

    @property
    def _ending(self) -> list[ActiveRun]:
        # a service ends when it is stopped, not by itself
        return [run for run in self._active.values() if not run.in_service]

    def context(self, run: ActiveRun | None = None) -> contextvars.Context:
        """A context for a task that the platform owns, with *run* as its current run."""
        context = self._base.copy()
        context.run(current_run.set, run)
        context.run(current_journal.set, run.id if run else None)
        return context

    def begin(
        self,
        operation: Operation,
        *,
        trigger: Trigger,
        arguments: str | None = None,
        labels: Sequence[str] = (),
        parent: ActiveRun | None = None,
        once: str | None = None,
        due: int | None = None,
    ) -> tuple[ActiveRun, Ack[Any]]:
        """Queue the row of a new run and hold it.

        Returns:
            The run, and the acknowledgement of its row: with False if there is a run with the key *once* already.
        """
        journal = operation if operation.kind == "journal" else self._operations.find("journal", operation.function)
        run = ActiveRun(
            store=self.store,
            id=self.store.new_id(),
            operation=operation.name,
            trigger=trigger.kind,
            journal=journal is not None,
            actor=trigger.actor,
            in_service=trigger.kind == "service" or (parent is not None and parent.in_service),
        )
        ack = self.store.write(
            BeginRun(
                id=run.id,
                operation=operation.name,
                journal=journal.name if journal else None,
                description=(journal or operation).description,
                trigger=trigger.kind,
                actor=trigger.actor,
                parent=parent.id if parent else None,
                epoch=run.epoch,
                node=self.store.node,
                arguments=arguments,
                labels=tuple(dict.fromkeys((*operation.policy.labels, *labels))),
                once=once,
                due=due,
                at=now(),
            )
        )
        self._active[run.id] = run
        return run, ack

    def finish(self, run: ActiveRun, outcome: Outcome) -> Ack[Any]:
        """Take nothing more for *run*, and queue its end behind everything it said."""
        run.close()
        try:
            return self.store.write(end_of(run, outcome))
        finally:
            self._active.pop(run.id, None)

    async def start(
        self,
        operation: Operation,
        call: BoundCall,
        *,
        trigger: Trigger,
        labels: Sequence[str] = (),
        once: str | None = None,
        due: int | None = None,
    ) -> RunHandle:
        """Start *operation* in a task of its own; returns when the row of the run is committed.

        Cancelling the caller does not cancel the run.

        Args:
            operation: What to run.
            call: Its arguments.
            trigger: What started it, and who.
            labels: Beside those of the operation.
            once: Key for which only one run is started, ever.
            due: When it was due, in microseconds since the epoch.

        Raises:
            AlreadyStarted: a run was started for the key *once* before.
            TooManyRuns: more runs are in flight than there may be, or the process is shutting down.
            StoreError: the row could not be written; the function was not called.
        """
        parent = current_run.get()
        self._admit(operation, parent)
        run, ack = self.begin(
            operation, trigger=trigger, arguments=call.recorded, labels=labels, parent=parent, once=once, due=due
        )
        # it goes on by itself, whoever started it
        run.in_service = False
        handle = RunHandle(self, run.id, operation.name)
        execution = _Execution(operation, operation.function, call.args, call.kwargs, must_begin=True)
        self._spawn(run, handle, ack, execution, self.context(run))
        if not await settle(ack) and once is not None:
            raise AlreadyStarted(operation.name, once, await self.store.get_once(once))
        return handle

    async def trace(
        self, operation: Operation, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Call *function* as a run, in the caller's task; what it returns or raises passes through.

        A function with parameters to inject runs in a task of its own, so that its dependencies are torn down in peace.
        History that cannot be written is logged and does not keep the function from being called.
        """
        parent = current_run.get()
        actor = parent.actor if parent else None
        recorded = operation.form.record_direct(args, kwargs)
        run, ack = self.begin(operation, trigger=Trigger("call", actor), arguments=recorded, parent=parent)
        execution = _Execution(operation, function, args, kwargs, must_begin=False)
        if operation.form.injected - kwargs.keys():
            return await self._trace_apart(run, ack, execution)
        run.task = asyncio.current_task()
        with entered(run):
            outcome = await self._trace_here(run, ack, execution)
            await self._write_end(run, outcome)
        # it was this run that somebody cancelled, not the task it is called in
        is_relieved = run.cancel_delivered and run.task is not None and run.task.uncancel() == 0
        if outcome.error is None:
            return outcome.value
        if is_relieved and isinstance(outcome.error, asyncio.CancelledError):
            raise RunCancelled(run.id, run.operation, run.cancel_reason) from None
        raise outcome.error

    async def cancel(self, run: int, *, actor: str | None = None) -> bool:
        """Write that somebody wants *run* to be cancelled; False if it is unknown or has ended."""
        return bool(await self.store.write(RequestCancel(id=run, actor=actor, at=now())))

    def obey(self, changes: Sequence[Change]) -> None:
        """Cancel what somebody asked for: a listener of the store."""
        for change in changes:
            if change.topic == "cancel" and isinstance(change.id, int):
                run = self._active.get(change.id)
                if run is not None:
                    run.cancel("cancelled")

    def stop_accepting(self) -> None:
        """From here on :meth:`begin` refuses."""
        self._accepting = False

    async def drain(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds until the runs in flight have ended, services aside. False if some have not."""
        deadline = asyncio.get_running_loop().time() + timeout
        while self._ending:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            await asyncio.sleep(min(left, 0.02))
        return True

    async def cancel_all(self, reason: str, timeout: float) -> list[ActiveRun]:
        """Cancel every run in flight and wait for their ends. What does not end in time is recorded as cancelled.

        Returns:
            The runs that did not end when they were asked to: their functions swallow it, or are in threads.
        """
        for run in self._ending:
            run.cancel(reason)
        await self.drain(timeout)
        left = self._ending
        for run in left:
            if run.task is not None:
                run.task.cancel()
        await self.drain(1.0)
        for run in self._ending:
            self.finish(run, Outcome(State.CANCELLED, message=f"{reason}; its function could not be stopped"))
        return left

    def _admit(self, operation: Operation, parent: ActiveRun | None) -> None:
        if not self._accepting and (parent is None or parent.in_service):
            raise TooManyRuns(
                f"{operation.name!r} was not started: this process is shutting down", fix="try again in a moment"
            )
        if len(self._active) >= self._limit:
            raise TooManyRuns(
                f"{operation.name!r} was not started: {self._limit} runs are in flight",
                fix="wait until some have ended",
            )

    def _spawn(
        self, run: ActiveRun, handle: RunHandle, ack: Ack[Any], execution: _Execution, context: contextvars.Context
    ) -> asyncio.Task[None]:
        live = self._live(run, handle, ack, execution)
        name = f"run {run.id} {run.operation}"
        task = asyncio.get_running_loop().create_task(live, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _live(self, run: ActiveRun, handle: RunHandle, ack: Ack[Any], execution: _Execution) -> None:
        # known only from here on: a task that is cancelled before its first step would leave the run without an end
        run.task = asyncio.current_task()
        try:
            if not await settle(ack):
                # whoever started it is told of the run that was there before
                self._forget(run, handle, Outcome(State.SKIPPED, message="it was started before"))
                return
        except asyncio.CancelledError as error:
            outcome = outcome_of(run, error)
        except StoreError as error:
            if execution.must_begin:
                # whoever started it gets the error from the same acknowledgement
                self._forget(run, handle, Outcome(State.FAILED, error=error, message=error.what))
                return
            self._missing(run, error)
            outcome = await self._execute(run, execution)
        else:
            outcome = await self._execute(run, execution)
        try:
            await self._write_end(run, outcome)
        finally:
            handle._settle(outcome)  # noqa: SLF001 - made together
        if outcome.state is State.FAILED:
            with quietly():
                _logger.warning("run %s of %r failed: %s", run.id, run.operation, outcome.message)
        if isinstance(outcome.error, KeyboardInterrupt):
            raise outcome.error

    def _forget(self, run: ActiveRun, handle: RunHandle, outcome: Outcome) -> None:
        """*run* never came into being."""
        self._active.pop(run.id, None)
        run.close()
        handle._settle(outcome)  # noqa: SLF001 - made together

    async def _execute(self, run: ActiveRun, execution: _Execution) -> Outcome:
        if run.cancel_requested:
            return Outcome(State.CANCELLED, message=run.cancel_reason)
        if execution.must_begin and journal_of(execution.function) is not None:
            # the function keeps history by itself: this is the run that it would begin
            run.adoptable = execution.operation.base
        return await execute(
            run,
            execution.function,
            execution.args,
            execution.kwargs,
            injected=execution.operation.form.injected,
            threads=self.threads,
        )

    async def _trace_here(self, run: ActiveRun, ack: Ack[Any], execution: _Execution) -> Outcome:
        try:
            await ack
        except StoreError as error:
            self._missing(run, error)
        except asyncio.CancelledError as error:
            return outcome_of(run, error)
        return await self._execute(run, execution)

    async def _trace_apart(self, run: ActiveRun, ack: Ack[Any], execution: _Execution) -> Any:
        handle = RunHandle(self, run.id, execution.operation.name)
        # it is the caller's call: what he has in his context is found
        context = contextvars.copy_context()
        context.run(current_run.set, run)
        context.run(current_journal.set, run.id)
        task = self._spawn(run, handle, ack, execution, context)
        try:
            return await handle.result()
        except asyncio.CancelledError:
            if not task.done():
                run.cancel("cancelled")
                await asyncio.wait([task])
            raise

    def _missing(self, run: ActiveRun, error: StoreError) -> None:
        text = "the run of %r is missing in the history; it is executed all the same"
        _logger.error(text, run.operation, exc_info=error)

    async def _write_end(self, run: ActiveRun, outcome: Outcome) -> None:
        try:
            written = await settle(self.finish(run, outcome))
        except StoreError:
            _logger.exception(
                "the end of run %s of %r is missing in the history: it %s", run.id, run.operation, outcome.state
            )
            return
        if not written:
            _logger.warning(
                "run %s of %r had been ended by somebody else before it %s", run.id, run.operation, outcome.state
            )
