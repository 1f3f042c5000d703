"""Register actions, list them, and start them from Python."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from binp._loop import running_loop
from binp.errors import BinpError
from binp.home import Home
from binp.operations import (
    InvalidArguments,
    Operation,
    Policy,
    Retry,
    UnknownOperation,
    check_callable,
    check_importable,
    default_description,
    default_name,
    is_async,
    journal_of,
    labels_of,
    place,
    with_known_options,
)
from binp.runs import (
    MASKED,
    RunHandle,
    RunLost,
    Threads,
    Trigger,
    call_function,
    current_run,
    is_interruptible,
    told_to_end,
)
from binp.store.contract import State
from buvar import di

from ._policy import check_per, policy_of

if TYPE_CHECKING:
    from ._models import ActionInfo

__all__ = ["Action"]

Function = TypeVar("Function", bound=Callable[..., Any])

_logger = logging.getLogger("Action")

#: how to write arguments as JSON when searching them for the mask
_LOOSE: dict[str, Any] = {"ensure_ascii": False, "default": str}

#: a rerun of a run in one of these states is a further attempt
_UNDONE = frozenset({State.FAILED, State.CANCELLED, State.INTERRUPTED})


class Action:
    """The actions of one BINP.

    ``@binp.action`` registers a function and returns it unchanged. The parameters of the function become its form,
    except those annotated with ``Inject[...]``. The platform always starts an action as a run. A direct call of the
    function leaves no history, unless the function is a ``@binp.journal`` too.
    """

    def __init__(self) -> None:
        self._home = Home()

    def bind(self, home: Home) -> None:
        """Share *home*, and move the actions registered so far into it."""
        for operation in self._home.operations.all("action"):
            home.operations.add(operation, logger=_logger)
        self._home = home

    @overload
    def __call__(self, function: Function, /) -> Function: ...

    @overload
    def __call__(
        self,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        labels: Iterable[str] = (),
        timeout: float | timedelta | str | None = None,
        retries: int = 0,
        retry_delay: float = 1.0,
        retry_backoff: float = 2.0,
        retry_max_delay: float = 60.0,
        concurrency: int | None = None,
        per: str | Sequence[str] = (),
        when_full: Literal["queue", "skip", "replace"] = "queue",
        confirm: str | Callable[..., str] | None = None,
        keep: timedelta | int | str | None = None,
        grace: float | timedelta | str | None = None,
        process: bool = False,
    ) -> Callable[[Function], Function]: ...

    @with_known_options("@binp.action")
    def __call__(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        labels: Iterable[str] = (),
        timeout: float | timedelta | str | None = None,
        retries: int = 0,
        retry_delay: float = 1.0,
        retry_backoff: float = 2.0,
        retry_max_delay: float = 60.0,
        concurrency: int | None = None,
        per: str | Sequence[str] = (),
        when_full: Literal["queue", "skip", "replace"] = "queue",
        confirm: str | Callable[..., str] | None = None,
        keep: timedelta | int | str | None = None,
        grace: float | timedelta | str | None = None,
        process: bool = False,
    ) -> Any:
        """Register a function as an action.

        Args:
            function: An async function, or a sync one, which is called in a thread.
            name: The name in lists. Default: the qualified name of the function. A later action of the same name
                replaces the earlier one.
            description: The description in lists. Default: the docstring.
            labels: Labels for each of its runs.
            timeout: Maximum run time: seconds, or a text such as ``"90s"`` or ``"1h30min"``. An async function is
                then cancelled. A thread cannot be stopped: the platform waits until it ends. In both cases the run
                fails.
            retries: How many further attempts follow a failure. All attempts belong to one run; each failure is a
                record.
            retry_delay: Seconds before the second attempt, varied by up to 10 %.
            retry_backoff: Factor by which the delay grows with each further attempt.
            retry_max_delay: Upper limit of the delay, in seconds.
            concurrency: How many of its runs may run at once, in all processes that share the database.
            per: Names of parameters: *concurrency* then limits each combination of their values.
            when_full: What happens to a run above the limit: ``queue`` makes it wait, even across a restart, ``skip``
                records it as skipped, ``replace`` cancels the current run.
            confirm: What to ask before a person starts it: a text, or a function of the arguments that returns one.
            keep: How long to keep its runs after they end (``"7d"``), or how many of the newest to keep. Default: the
                settings in ``[binp.retention]``, which take precedence where they name this action.
            grace: How long a shutdown waits for its runs, counted from the first signal: seconds, or a text such as
                ``"3h"`` or ``"90min"``. Meanwhile the process only finishes these runs, and the next process
                takes over the database. Default: the setting of the same name, which applies to all runs.
            process: Run each attempt in a process of its own, which is killed if it does not end by itself. Arguments
                and results are passed as JSON, files as files.

        These rules apply to runs that the platform starts, not to direct calls of the function.

        Raises:
            BinpError: *function* is not a function, or is a generator function, or an option has an invalid value.
            UnknownOption: there is no such option.
        """
        policy = policy_of(
            labels=labels_of(labels),
            timeout=timeout,
            retry=Retry(limit=retries, delay=retry_delay, backoff=retry_backoff, max_delay=retry_max_delay),
            places=concurrency,
            per=(per,) if isinstance(per, str) else tuple(per),
            when_full=when_full,
            confirm=confirm,
            keep=keep,
            grace=grace,
            process=process,
        )
        if function is None:
            return lambda given: self._add(given, name, description, policy)
        return self._add(function, name, description, policy)

    def _add(
        self, function: Callable[..., Any], name: str | None, description: str | None, policy: Policy
    ) -> Callable[..., Any]:
        check_callable(function, "@binp.action")
        if policy.concurrency is not None and policy.concurrency.per:
            check_per(policy.concurrency.per, function, place(function))
        if policy.process:
            check_importable(function)
        operation = Operation(
            kind="action",
            name=name or default_name(function),
            function=function,
            description=default_description(function) if description is None else description,
            policy=policy,
        )
        self._home.operations.add(operation, logger=_logger)
        return function

    @property
    def actions(self) -> list[ActionInfo]:
        """The actions, in the order of their definition; a new list."""
        from ._models import ActionInfo

        return [ActionInfo(name=found.name, description=found.description) for found in self.operations]

    @property
    def operations(self) -> Sequence[Operation]:
        """The registered operations, in the order of their definition."""
        return self._home.operations.all("action")

    def find(self, action: str | Callable[..., Any]) -> Operation:
        """The operation of an action, found by name or function.

        Raises:
            UnknownOperation: there is no such action.
        """
        if isinstance(action, str):
            return self._home.operations.get("action", action)
        found = self._home.operations.find("action", action)
        if found is None:
            known = [operation.name for operation in self.operations]
            raise UnknownOperation("action", default_name(action), known)
        return found

    async def invoke(self, name: str, /, **arguments: Any) -> bool:
        """Call an action directly, not as a run of its own, and wait for it.

        Args:
            name: The name of the action.
            arguments: Arguments for its form.

        Returns:
            True when the action has returned; False, with a warning, if there is no such action.

        Raises:
            InvalidArguments: the arguments do not fit its form.
            Exception: whatever the action raised.
            Exception: what the action raised.
        """
        try:
            operation = self.find(name)
        except UnknownOperation:
            _logger.warning("there is no action named %r to invoke", name)
            return False
        call = operation.form.bind(arguments)
        journal = self._home.operations.find("journal", operation.function)
        if journal is not None and journal_of(operation.function) is None:
            # @journal was applied after @action: the function that @action registered does not journal by itself
            home = await self._home.ensure()
            await home.runs.trace(journal, operation.function, call.args, call.kwargs)
        elif operation.form.injected:
            async with di.scope() as scope:
                provided = await scope.provide(operation.function)
                await self._call(operation, call.args, {**call.kwargs, **provided})
        else:
            await self._call(operation, call.args, call.kwargs)
        return True

    async def start(self, action: str | Callable[..., Any], /, **arguments: Any) -> RunHandle:
        """Start an action as a run. Returns when the row of the run is committed, without waiting for its end.

        Args:
            action: The name or the function of the action.
            arguments: Arguments for its form.

        Returns:
            A handle with ``id``, ``result()`` and ``cancel()``.

        Raises:
            UnknownOperation: there is no such action.
            InvalidArguments: the arguments do not fit its form. No run was created.
            TooManyRuns: too many runs are in flight.
        """
        operation = self.find(action)
        call = operation.form.bind(arguments)
        home = await self._home.ensure()
        parent = current_run.get()
        return await home.runs.start(operation, call, trigger=Trigger("call", parent.actor if parent else None))

    async def rerun(
        self,
        run: int,
        arguments: Mapping[str, Any] | None = None,
        *,
        trigger: Trigger | None = None,
        once: str | None = None,
    ) -> RunHandle:
        """Start an action again, or the function of a schedule, with the arguments of an earlier run.

        If the earlier run failed, was cancelled or was interrupted, and the arguments are the same, the new run is a
        further attempt: it skips the steps that are already done.

        Args:
            run: The id of the earlier run.
            arguments: Arguments to change. Secret ones must be given again, because they were not stored.
            trigger: What started the run, and who.
            once: Idempotency key: the run is started again at most once per key.

        Raises:
            AlreadyStarted: the run was already started again with this key.
            RunLost: there is no such run.
            UnknownOperation: there is no such action or schedule any more, or it was none.
            InvalidArguments: the arguments do not fit its form. No run was created.
            TooManyRuns: too many runs are in flight.
        """
        home = await self._home.ensure()
        row = await home.store.get_run(run)
        if row is None:
            raise RunLost(f"run {run} is not in the history")
        operation = self._home.operations.started(row.operation)
        given = json.loads(row.arguments or "{}")
        for name in operation.form.secret_names:
            given.pop(name, None)
        wanted = {**given, **(arguments or {})}
        if masked := [
            name for name, value in wanted.items() if MASKED in json.dumps(value, ensure_ascii=False, default=str)
        ]:
            # neither the default nor the mask is what the earlier run had
            what = "held a secret, which was not kept: give it again"
            problems = [{"loc": [name], "msg": what, "type": "missing"} for name in masked]
            raise InvalidArguments(f"{operation.kind} {operation.name!r}", problems)
        call = operation.form.bind(wanted, home.runs.files.shelf.find)
        is_attempt = row.state in _UNDONE and not arguments
        parent = current_run.get()
        return await home.runs.start(
            operation,
            call,
            trigger=trigger or Trigger("call", parent.actor if parent else None),
            again=row if is_attempt else None,
            once=None if once is None else f"rerun {run} {once}",
        )

    def stopping(self, *, within: float = 0) -> bool:
        """Whether the calling run has to end. Threads cannot be cancelled, so their function has to ask.

        True if the run was cancelled or replaced, the server shuts down, or its ``timeout`` is over. A run that got
        True and returns is recorded as cancelled, or as failed if it timed out. Outside of a run, the result is False.

        ``while not binp.action.stopping(within=5)`` waits five seconds between rounds, or less if the run has to end.

        Args:
            within: Seconds to wait for it, in a thread.

        Raises:
            BinpError: *within* was given on an event loop, which would be blocked.
        """
        if within > 0 and running_loop() is not None and not is_interruptible.get():
            raise BinpError(
                "stopping(within=...) would block the event loop",
                fix="leave out `within` and await asyncio.sleep, which ends when the run is cancelled",
            )
        return told_to_end(max(0.0, within))

    async def _call(self, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        threads = Threads(1)
        call = asyncio.ensure_future(call_function(operation.function, args, kwargs, threads))
        try:
            await asyncio.shield(call)
        except asyncio.CancelledError:
            if is_async(operation.function):
                call.cancel()
            # a thread cannot be stopped, and what was injected must not be closed under it
            await asyncio.wait([call])
            raise
        finally:
            threads.close(0)
