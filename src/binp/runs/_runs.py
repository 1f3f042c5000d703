"""All runs that this process holds: start, trace, cancel and drain them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

from binp.operations import BoundCall, Operation, Operations, is_async, without_journal
from binp.store.contract import Ack, BeginRun, Change, Run, State, Store, StoreError

from ._active import ActiveRun, current_journal, current_run, entered, now
from ._dispatch import Dispatch
from ._errors import AlreadyStarted, admit
from ._execution import Execution, carry_out
from ._files import RunFiles, shelf_of
from ._handle import RunCancelled, RunHandle, ask_to_cancel
from ._life import Outcome, Trigger, end_of, missing, outcome_of, settle
from ._logs import refresh
from ._masks import MASKED, Masks
from ._process import Processes
from ._queue import Queue
from ._quiet import quietly
from ._threads import Threads
from ._tracing import Tracing
from ._version import Versions
from ._watch import Watch, cancel_asked, cancel_told, topics_in

__all__ = ["Runs"]

_logger = logging.getLogger("binp.runs")


class Runs:
    """The runs of one BINP in this process.

    Args:
        store: Stores the runs.
        operations: Knows which functions are journaled.
        base: Context variables for new runs; those of the caller are not used.
        tracing: What is recorded automatically.
        files: Maximum bytes of one file that runs take or return, and of all.
    """

    def __init__(
        self, store: Store, operations: Operations, base: contextvars.Context, tracing: Tracing, files: tuple[int, int]
    ) -> None:
        self.store = store
        self.files = RunFiles(shelf_of(store, files), store)
        self.threads = Threads()
        #: executes runs in processes of their own
        self.processes: Processes | None = None
        self._operations = operations
        self._base = base
        self._limit = 10_000  # runs in flight
        self._tracing = tracing
        self._versions = Versions(operations)
        self._active: dict[int, ActiveRun] = {}
        #: strong references: the event loop only keeps weak ones
        self._tasks: set[asyncio.Task[Any] | None] = set()
        self._accepting = True
        self.watch = Watch(store)
        self._queue = Queue(store)
        self._dispatch = Dispatch(self, operations)

    @property
    def active(self) -> list[ActiveRun]:
        """The runs in flight, oldest first."""
        return list(self._active.values())

    @property
    def ending(self) -> list[ActiveRun]:
        """The runs that end by themselves; those of services end when the service is stopped."""
        return [run for run in self._active.values() if not run.in_service]

    def context(self) -> contextvars.Context:
        """A context for a task of the platform, which belongs to no run."""
        context = self._base.copy()
        context.run(current_run.set, None)
        context.run(current_journal.set, None)
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
        slot: str | None = None,
        again: Run | None = None,
        secrets: Collection[Any] = (),
    ) -> tuple[ActiveRun, Ack[Any]]:
        """Queue the row of a new run and hold the run; the values of *secrets* are masked in all that is stored.

        Returns:
            The run, and the acknowledgement of its row: False if a run with the key *once* exists already.
        """
        journal = operation if operation.kind == "journal" else self._operations.find("journal", operation.function)
        refresh()
        masks = Masks.of(secrets, parent.masks if parent else None)
        # whoever waits for a run also waits for the runs that it started
        grace = operation.policy.grace if parent is None else parent.grace_with(operation.policy.grace)
        run = ActiveRun(
            store=self.store,
            id=self.store.new_id(),
            operation=operation.name,
            trigger=trigger.kind,
            journal=journal is not None,
            actor=trigger.actor,
            in_service=trigger.kind == "service" or (parent is not None and parent.in_service),
            again=again,
            tracing=self._tracing,
            masks=masks,
            grace=grace,
        )
        ack = self.store.write(
            BeginRun(
                id=run.id,
                operation=operation.name,
                journal=journal.name if journal else None,
                description=(journal or operation).description,
                state=State.RUNNING if slot is None else State.QUEUED,
                trigger=trigger.kind,
                actor=trigger.actor,
                parent=parent.id if parent else None,
                attempt=run.attempt,
                epoch=run.epoch,
                node=self.store.node,
                version=self._versions.of(operation),
                arguments=arguments if masks is None or arguments is None else masks.json(arguments, MASKED),
                labels=tuple(dict.fromkeys((*operation.policy.labels, *labels))),
                once=once,
                due=due,
                origin=run.origin,
                slot=slot,
                at=now(),
            )
        )
        run.is_queued = slot is not None
        self._active[run.id] = run
        return run, ack

    def finish(self, run: ActiveRun, outcome: Outcome) -> Ack[Any]:
        """Stop recording for *run*, and queue its end after all its records."""
        run.close()
        run.end = end_of(run, outcome)
        try:
            return self.store.write(run.end)
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
        again: Run | None = None,
    ) -> RunHandle:
        """Start *operation* in a task of its own. Returns when the row of the run is committed.

        Cancelling the caller does not cancel the run.

        Args:
            operation: The operation.
            call: Its arguments.
            trigger: What started it, and who.
            labels: Labels in addition to those of the operation.
            once: Idempotency key: at most one run is started per key.
            due: When it was due, in microseconds since the epoch.
            again: The run of which it is a further attempt.

        Raises:
            AlreadyStarted: a run was already started with this key.
            TooManyRuns: too many runs are in flight, or the process is shutting down.
            StoreError: the row could not be written; the function was not called.
        """
        parent = current_run.get()
        is_open = self._accepting or (parent is not None and not parent.in_service)
        admit(operation.name, accepting=is_open, active=len(self._active), limit=self._limit)
        if call.files:
            call = await self.files.keep(call)
        slot = await self._queue.slot_of(operation, call)
        run, ack = self.begin(
            operation,
            trigger=trigger,
            arguments=call.recorded,
            labels=labels,
            parent=parent,
            once=once,
            due=due,
            slot=slot,
            again=again,
            secrets=operation.form.secrets(call.args, call.kwargs),
        )
        if call.files:
            self.files.claim(call, run)
        # it runs independently of the run that started it
        run.in_service = False
        handle = RunHandle(self.store, run.id, operation.name)
        execution = Execution.of(operation, call, self.processes)
        # the context as it is now, not later when the task starts
        context = self._base.copy()
        try:
            is_new = await settle(ack)
        except (asyncio.CancelledError, StoreError):
            # the run continues without its caller, or finds out itself that it has no row
            self._spawn(run, handle, ack, execution, context)
            raise
        self._spawn(run, handle, None if is_new else ack, execution, context)
        if not is_new and once is not None:
            raise AlreadyStarted(operation.name, once, await self.store.get_once(once), call.recorded)
        return handle

    def resume(self, row: Run, operation: Operation, call: BoundCall) -> None:
        """Adopt *row*, which was left queued by a process that is gone, and execute it when it is its turn."""
        run = ActiveRun(
            store=self.store,
            id=row.id,
            operation=operation.name,
            trigger=row.trigger,
            journal=row.journal is not None,
            actor=row.actor,
            epoch=row.epoch,
            seq=row.records,
            tracing=self._tracing,
            grace=operation.policy.grace,
        )
        run.is_queued, run.origin, run.attempt, run.has_files = True, row.origin, row.attempt, bool(call.files)
        self._active[run.id] = run
        execution = Execution.of(operation, call, self.processes, orphaned=True)
        self._spawn(run, RunHandle(self.store, run.id, operation.name), None, execution, self._base.copy())

    def lead(self) -> None:
        """Execute from now on what processes that are gone have left queued."""
        self._dispatch.wake()
        self.files.lead(self.context())

    async def trace(
        self, operation: Operation, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Call *function* as a run, in the caller's task; its result or exception is passed through.

        A function with injected parameters runs in a task of its own, so that the teardown of its dependencies cannot
        be interrupted. A failure to write history is logged, and does not prevent the call.
        """
        parent = current_run.get()
        given = operation.form.record_direct(args, kwargs)
        secrets = operation.form.secrets(args, kwargs)
        trigger = Trigger("call", parent.actor if parent else None)
        run, ack = self.begin(operation, trigger=trigger, arguments=given, parent=parent, secrets=secrets)
        execution = Execution(operation, function, args, kwargs, must_begin=False)
        if operation.form.injected - kwargs.keys():
            return await self._trace_apart(run, ack, execution)
        run.task = asyncio.current_task()
        with entered(run):
            outcome = await self._trace_here(run, ack, execution)
            await self._write_end(run, outcome)
        # the run was cancelled, not the task that it runs in
        is_relieved = run.cancel_delivered and run.task is not None and run.task.uncancel() == 0
        if outcome.error is None:
            return outcome.value
        if is_relieved and isinstance(outcome.error, asyncio.CancelledError):
            raise RunCancelled(run.id, run.operation, run.cancel_reason) from None
        raise outcome.error

    async def cancel(self, run: int, *, actor: str | None = None) -> bool:
        """Store a request to cancel *run*; False if it is unknown or has ended."""
        return await ask_to_cancel(self.store, run, actor=actor)

    def obey(self, changes: Sequence[Change]) -> None:
        """Cancel the runs for which a request was stored; a listener of the store."""
        # most changes are about other things: check the topics first
        topics = topics_in(changes)
        if "cancel" in topics:
            cancel_told(self._active, changes)
        if not changes and self._active:
            # changes were lost: read the requests from the rows
            asking = self._task(cancel_asked(self.store, self.active), "binp cancel", self.context())
            asking.add_done_callback(self._tasks.discard)
        self.watch.obey(changes)
        if "slot" in topics or not changes:
            self._queue.obey(changes)
        if "queue" in topics or not changes:
            self._dispatch.obey()

    def stop_accepting(self) -> None:
        """Make :meth:`start` refuse from here on; queued runs are left to the next process."""
        self._accepting = False
        self._queue.close()
        self._dispatch.close()
        self.files.close()

    def _spawn(
        self,
        run: ActiveRun,
        handle: RunHandle,
        ack: Ack[Any] | None,
        execution: Execution,
        context: contextvars.Context,
    ) -> asyncio.Task[None]:
        return self._task(self._live(run, handle, ack, execution), f"run {run.id} {run.operation}", context)

    def _task(self, work: Coroutine[Any, Any, None], name: str, context: contextvars.Context) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name, context=context)
        self._tasks.add(task)
        return task

    async def _live(self, run: ActiveRun, handle: RunHandle, ack: Ack[Any] | None, execution: Execution) -> None:
        # without *ack*, the row exists already. The task is set only here: if it were cancelled before its first step,
        # the run would have no end
        run.task = asyncio.current_task()
        current_run.set(run)
        current_journal.set(run.id)
        try:
            if ack is not None and not await settle(ack):
                # the caller is told about the existing run
                self._forget(run, handle, Outcome(State.SKIPPED, message="it was started before"))
                return
        except asyncio.CancelledError as error:
            outcome = outcome_of(run, error)
        except StoreError as error:
            if execution.must_begin:
                # the caller gets the error from the same acknowledgement
                self._forget(run, handle, Outcome(State.FAILED, error=error, message=error.what))
                return
            missing(run, error)
            outcome = await carry_out(run, execution, self.threads)
        else:
            left_out = await self._queue.turn_of(run, execution) if run.is_queued else None
            outcome = left_out or await carry_out(run, execution, self.threads)
        if outcome.state is State.QUEUED:
            self._forget(run, handle, outcome)
            return
        outcome = await self.files.keep_result(run, outcome)
        try:
            await self._write_end(run, outcome)
        finally:
            self.files.release(run, outcome)
            handle._settle(outcome, run.end)  # noqa: SLF001 - made together
            self._let_go(run)
        if outcome.state is State.FAILED:
            with quietly():
                _logger.warning("run %s of %r failed: %s", run.id, run.operation, outcome.message)
        if isinstance(outcome.error, KeyboardInterrupt) and is_async(without_journal(execution.function)):
            raise outcome.error  # Ctrl-C, which comes to the main thread only

    def _forget(self, run: ActiveRun, handle: RunHandle, outcome: Outcome) -> None:
        """*run* was never created."""
        self._active.pop(run.id, None)
        run.close()
        self.files.release(run, outcome)
        handle._settle(outcome)  # noqa: SLF001 - made together
        self._let_go(run)

    def _let_go(self, run: ActiveRun) -> None:
        """Drop the task of *run*, which is about to end: its context and the run would be a reference cycle."""
        self._tasks.discard(run.task)
        run.task = None

    async def _trace_here(self, run: ActiveRun, ack: Ack[Any], execution: Execution) -> Outcome:
        try:
            await ack
        except StoreError as error:
            missing(run, error)
        except asyncio.CancelledError as error:
            return outcome_of(run, error)
        return await carry_out(run, execution, self.threads)

    async def _trace_apart(self, run: ActiveRun, ack: Ack[Any], execution: Execution) -> Any:
        handle = RunHandle(self.store, run.id, execution.operation.name)
        # it is the caller's call: the caller's context variables are visible in it
        task = self._spawn(run, handle, ack, execution, contextvars.copy_context())
        try:
            return await handle.result()
        except asyncio.CancelledError:
            if not task.done():
                run.cancel("cancelled")
                await asyncio.wait([task])
            raise

    async def _write_end(self, run: ActiveRun, outcome: Outcome) -> None:
        try:
            written = await settle(self.finish(run, outcome))
        except StoreError as error:
            text = "the end of run %s of %r was not written to the history: it %s; %s"
            _logger.error(text, run.id, run.operation, outcome.state, error)  # noqa: TRY400 - the message has the reason
            return
        # the end of a run that was cancelled while queued was written with the cancellation
        if not written and not run.is_queued:
            _logger.warning("run %s of %r was ended elsewhere before it %s", run.id, run.operation, outcome.state)
