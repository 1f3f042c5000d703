"""Call a function by its policy: with its timeout and its retries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import field
from typing import Any

from binp.files import File
from binp.operations import BoundCall, Operation, Policy, Retry, is_async, journal_of, without_journal
from binp.store.contract import State, value

from ._active import ActiveRun
from ._life import Outcome, awaited, execute, outcome_of
from ._process import Processes
from ._threads import Threads
from ._traceback import traceback_of

__all__ = ["Execution", "carry_out"]


@value(frozen=True, slots=True)
class Execution:
    """What to call, and how."""

    operation: Operation
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    #: do not execute it if its row cannot be written
    must_begin: bool
    #: the concurrency slot that it needs
    slot: str | None = None
    #: it was queued by another process, which is gone
    orphaned: bool = False
    #: the arguments as given to the form
    given: Mapping[str, Any] = field(default_factory=dict)
    #: the files among the arguments
    files: Sequence[File] = ()
    #: executes it in a process of its own; None for this process
    processes: Processes | None = None

    @classmethod
    def of(
        cls, operation: Operation, call: BoundCall, processes: Processes | None, *, orphaned: bool = False
    ) -> Execution:
        """The execution for *operation*, started with *call*."""
        return cls(
            operation,
            operation.function,
            call.args,
            call.kwargs,
            must_begin=True,
            slot=operation.slot(call),
            orphaned=orphaned,
            given=call.given,
            files=call.files,
            processes=processes,
        )

    @property
    def policy(self) -> Policy:
        """The rules of the operation; for a direct call only its labels apply."""
        return self.operation.policy if self.must_begin else Policy(labels=self.operation.policy.labels)


def carry_out(run: ActiveRun, execution: Execution, threads: Threads) -> Coroutine[Any, Any, Outcome]:
    """Call the function until it succeeds, is cancelled, or has no retries left.

    Each failed attempt except the last leaves a record with its traceback.
    """
    retry = execution.policy.retry
    return _attempt(run, execution, threads) if retry is None else _repeat(run, execution, threads, retry)


async def _repeat(run: ActiveRun, execution: Execution, threads: Threads, retry: Retry) -> Outcome:
    # a rerun continues the numbering of attempts, but has all its retries
    first = run.attempt
    while True:
        outcome = await _attempt(run, execution, threads)
        error, failures = outcome.error, run.attempt - first + 1
        if outcome.state is not State.FAILED or failures > retry.limit:
            return outcome
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return outcome
        wait = retry.wait(failures)
        trace = "" if error is None else traceback_of(error, run)
        run.record(
            f"attempt {run.attempt} failed, the next one comes in {wait:.1f} s: {outcome.message}",
            {"traceback": trace} if trace else {},
            level="warning",
        )
        if not run.expose():
            return Outcome(State.CANCELLED, message=run.cancel_reason)
        try:
            await asyncio.sleep(wait)
        except asyncio.CancelledError as cancelled:
            run.shield()
            return outcome_of(run, cancelled)
        run.attempt += 1


async def _attempt(run: ActiveRun, execution: Execution, threads: Threads) -> Outcome:
    if run.cancel_requested:
        return Outcome(State.CANCELLED, message=run.cancel_reason)
    policy, processes = execution.policy, execution.processes
    if policy.process and processes is not None:

        async def apart() -> Any:
            return await processes.call(run, execution.operation, execution.given, execution.files)

        return await execute(run, apart, (), {}, injected=(), threads=threads, timeout=policy.timeout)
    function = execution.function
    if execution.must_begin and not is_async(plain := without_journal(function)):
        # a thread cannot be stopped, so it follows the rules for threads, and its run exists already
        function = plain
    elif execution.must_begin and journal_of(function) is not None:
        # the function journals itself: let its journal adopt this run instead of starting another one
        run.adoptable = execution.operation.base
    outcome = await execute(
        run,
        function,
        execution.args,
        execution.kwargs,
        injected=execution.operation.form.injected,
        threads=threads,
        timeout=policy.timeout,
    )
    # a direct call returns what its caller expects, including a coroutine
    return awaited(outcome) if execution.must_begin else outcome
