"""All runs that this process holds: starts, traces, cancels and drains them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

from binp.operations import BoundCall, Operation, Operations
from binp.store.contract import Ack, BeginRun, Change, Run, State, Store, StoreError

from ._active import ActiveRun, current_journal, current_run, entered, now, quietly
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
from ._threads import Threads
from ._tracing import Tracing
from ._version import Versions
from ._watch import Watch, cancel_asked, cancel_told, topics_in

__all__ = ["Runs"]

_logger = logging.getLogger("binp.runs")


class Runs:
    """The runs of one BINP in this process.

    Args:
        store: Where they are kept.
        operations: Tells which functions are journaled.
        base: Context variables that runs start with; never those of whoever happened to start one.
        tracing: What is kept of them besides what they say themselves.
        files: Bytes of one file that they take or return, and of all.
    """

    def __init__(
        self, store: Store, operations: Operations, base: contextvars.Context, tracing: Tracing, files: tuple[int, int]
    ) -> None:
        self.store = store
        self.files = RunFiles(shelf_of(store, files), store)
        self.threads = Threads()
        #: where runs are executed that are to have a process of their own
        self.processes: Processes | None = None
        self._operations = operations
        self._base = base
        self._limit = 10_000  # runs in flight
        self._tracing = tracing
        self._versions = Versions(operations)
        self._active: dict[int, ActiveRun] = {}
        #: the loop alone would let them be collected
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
        """Those that end by themselves: a service ends when it is stopped."""
        return [run for run in self._active.values() if not run.in_service]

    def context(self) -> contextvars.Context:
        """A context for a task that the platform owns, which belongs to no run."""
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
        """Queue the row of a new run and hold it; the values of *secrets* are masked in all that is kept of it.

        Returns:
            The run, and the acknowledgement of its row: with False if there is a run with the key *once* already.
        """
        journal = operation if operation.kind == "journal" else self._operations.find("journal", operation.function)
        refresh()
        masks = Masks.of(secrets, parent.masks if parent else None)
        # whoever waits for a run waits for what it needs
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
        """Take nothing more for *run*, and queue its end behind everything it said."""
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
        """Start *operation* in a task of its own; returns when the row of the run is committed.

        Cancelling the caller does not cancel the run.

        Args:
            operation: What to run.
            call: Its arguments.
            trigger: What started it, and who.
            labels: Beside those of the operation.
            once: Key for which only one run is started, ever.
            due: When it was due, in microseconds since the epoch.
            again: The run of which it is a further attempt.

        Raises:
            AlreadyStarted: a run was started for the key *once* before.
            TooManyRuns: more runs are in flight than there may be, or the process is shutting down.
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
        # it goes on by itself, whoever started it
        run.in_service = False
        handle = RunHandle(self.store, run.id, operation.name)
        execution = Execution.of(operation, call, self.processes)
        # what it starts with is what there is now
        context = self._base.copy()
        try:
            is_new = await settle(ack)
        except (asyncio.CancelledError, StoreError):
            # the run goes on without whoever started it, or finds out by itself that it has no row
            self._spawn(run, handle, ack, execution, context)
            raise
        self._spawn(run, handle, None if is_new else ack, execution, context)
        if not is_new and once is not None:
            raise AlreadyStarted(operation.name, once, await self.store.get_once(once), call.recorded)
        return handle

    def resume(self, row: Run, operation: Operation, call: BoundCall) -> None:
        """Take *row*, which a process that is gone has left queued, and execute it when it is its turn."""
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
        """What processes that are gone have left queued is executed here from now on."""
        self._dispatch.wake()
        self.files.lead(self.context())

    async def trace(
        self, operation: Operation, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Call *function* as a run, in the caller's task; what it returns or raises passes through.

        A function with parameters to inject runs in a task of its own, so that its dependencies are torn down in peace.
        History that cannot be written is logged and does not keep the function from being called.
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
        # it was this run that somebody cancelled, not the task it is called in
        is_relieved = run.cancel_delivered and run.task is not None and run.task.uncancel() == 0
        if outcome.error is None:
            return outcome.value
        if is_relieved and isinstance(outcome.error, asyncio.CancelledError):
            raise RunCancelled(run.id, run.operation, run.cancel_reason) from None
        raise outcome.error

    async def cancel(self, run: int, *, actor: str | None = None) -> bool:
        """Write that somebody wants *run* to be cancelled; False if it is unknown or has ended."""
        return await ask_to_cancel(self.store, run, actor=actor)

    def obey(self, changes: Sequence[Change]) -> None:
        """Cancel what somebody asked for: a listener of the store."""
        # most are of runs that go on and end, and are nobody's business here
        topics = topics_in(changes)
        if "cancel" in topics:
            cancel_told(self._active, changes)
        if not changes and self._active:
            # what was asked for in between was not told
            asking = self._task(cancel_asked(self.store, self.active), "binp cancel", self.context())
            asking.add_done_callback(self._tasks.discard)
        self.watch.obey(changes)
        if "slot" in topics or not changes:
            self._queue.obey(changes)
        if "queue" in topics or not changes:
            self._dispatch.obey()

    def stop_accepting(self) -> None:
        """From here on :meth:`start` refuses, and what waits for its turn is left to the next process."""
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
        # without *ack* its row is there. The task is known only from here on: one that is cancelled before its first
        # step would leave the run without an end
        run.task = asyncio.current_task()
        current_run.set(run)
        current_journal.set(run.id)
        try:
            if ack is not None and not await settle(ack):
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
        if isinstance(outcome.error, KeyboardInterrupt):
            raise outcome.error

    def _forget(self, run: ActiveRun, handle: RunHandle, outcome: Outcome) -> None:
        """*run* never came into being."""
        self._active.pop(run.id, None)
        run.close()
        self.files.release(run, outcome)
        handle._settle(outcome)  # noqa: SLF001 - made together
        self._let_go(run)

    def _let_go(self, run: ActiveRun) -> None:
        """The task of *run* is about to end. Its context leads to the run, so that is not to lead to it any more."""
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
        # it is the caller's call: what he has in his context is found
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
            text = "the end of run %s of %r is missing in the history: it %s; %s"
            _logger.error(text, run.id, run.operation, outcome.state, error)  # noqa: TRY400 - the reason is the message
            return
        # one that was cancelled while it waited had its end written with that
        if not written and not run.is_queued:
            text = "run %s of %r had been ended by somebody else before it %s"
            _logger.warning(text, run.id, run.operation, outcome.state)
