"""Register actions, list them, and start them from Python."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

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
from binp.runs import MASKED, RunHandle, RunLost, Threads, Trigger, call_function, current_run
from binp.store.contract import State
from buvar import di

from ._policy import check_per, policy_of

if TYPE_CHECKING:
    from ._models import ActionInfo

__all__ = ["Action"]

Function = TypeVar("Function", bound=Callable[..., Any])

_logger = logging.getLogger("Action")

#: how JSON is made to be looked through
_LOOSE: dict[str, Any] = {"ensure_ascii": False, "default": str}

#: a run that ended so may be followed by a further attempt
_UNDONE = frozenset({State.FAILED, State.CANCELLED, State.INTERRUPTED})


class Action:
    """The actions of one BINP.

    ``@binp.action`` registers a function and returns it unchanged. Its parameters, except those annotated with
    ``Inject[...]``, are its form. It keeps no history when it is called directly, unless it is a ``@binp.journal`` too;
    what the platform starts is always a run.
    """

    def __init__(self) -> None:
        self._home = Home()

    def bind(self, home: Home) -> None:
        """Share *home*; what was registered before comes along."""
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
        """Make an action of a function.

        Args:
            function: Async, or sync: that is called in a thread.
            name: What it is listed as; the qualified name of the function by default. The latest of a name wins.
            description: What it says of itself; the docstring by default.
            labels: Labels of each of its runs.
            timeout: How long it may take: seconds, or as ``"90s"``, ``"1h30min"``. An async function is cancelled then;
                the end of one in a thread, which cannot be stopped, is waited for. Either way its run has failed.
            retries: How often it is tried again when it failed. All attempts are one run; each failure is a record.
            retry_delay: Seconds before the second attempt, give or take a tenth.
            retry_backoff: How many times as long each further one waits.
            retry_max_delay: Seconds that no attempt waits longer than.
            concurrency: How many of its runs there may be at once, in all processes that share the database.
            per: Names of parameters: then as many for each combination of their values.
            when_full: What becomes of a run for which there is no place: ``queue`` lets it wait, also over a restart,
                ``skip`` keeps it as skipped, ``replace`` cancels what runs.
            confirm: What is asked before somebody starts it by hand: a text, or a function of its arguments.
            keep: For how long its runs are kept after their end (``"7d"``), or how many, the newest. By default the
                settings decide, ``[binp.retention]``, as they do where they name this action.
            grace: How long a shutdown waits for its runs, from its first signal: seconds, or as ``"3h"``, ``"90min"``.
                The process goes on for them alone, and leaves the database to the next one meanwhile. By default as
                long as for all others, within the setting of the same name.
            process: Whether each attempt runs in a process of its own, which is killed where it does not end by itself.
                Arguments and results go there and back as JSON, files as what they are.

        These rules hold for what is started; a direct call of the function is just that call.

        Raises:
            BinpError: it is no function, or a generator function, or an option makes no sense.
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
        """A new list of the actions, in the order of their definition."""
        from ._models import ActionInfo

        return [ActionInfo(name=found.name, description=found.description) for found in self.operations]

    @property
    def operations(self) -> Sequence[Operation]:
        """The registered operations, in the order of their definition."""
        return self._home.operations.all("action")

    def find(self, action: str | Callable[..., Any]) -> Operation:
        """The operation of an action, by its name or its function.

        Raises:
            UnknownOperation: there is none.
        """
        if isinstance(action, str):
            return self._home.operations.get("action", action)
        found = self._home.operations.find("action", action)
        if found is None:
            known = [operation.name for operation in self.operations]
            raise UnknownOperation("action", default_name(action), known)
        return found

    async def invoke(self, name: str, /, **arguments: Any) -> bool:
        """Call an action in place, and wait for it.

        Args:
            name: Its name.
            arguments: For its form.

        Returns:
            False, with a warning, if there is no such action; True when it has returned.

        Raises:
            InvalidArguments: the arguments do not fit its form.
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
            # the journal was put around the action, so the action's own function does not know of it
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
        """Start an action as a run, and return when its row is committed; it goes on by itself.

        Args:
            action: Its name, or the function.
            arguments: For its form.

        Returns:
            A handle with ``id``, ``result()`` and ``cancel()``.

        Raises:
            UnknownOperation: there is no such action.
            InvalidArguments: the arguments do not fit its form. No run was made.
            TooManyRuns: so many runs are in flight that no further one is taken.
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
        """Start an action again with the arguments that a run of it had.

        With the same arguments, a run that failed, was cancelled or interrupted is followed by a further attempt, which
        need not do the steps again that are done.

        Args:
            run: Its id.
            arguments: Those that shall differ. What was secret has to be among them, for that was not kept.
            trigger: What started it, and who.
            once: Key for which it is started again once, ever.

        Raises:
            AlreadyStarted: it was started again for the key *once* before.
            RunLost: there is no such run.
            UnknownOperation: there is no such action any more.
            InvalidArguments: the arguments do not fit its form. No run was made.
            TooManyRuns: so many runs are in flight that no further one is taken.
        """
        home = await self._home.ensure()
        row = await home.store.get_run(run)
        if row is None:
            raise RunLost(f"run {run} is not in the history")
        operation = self.find(row.operation)
        given = json.loads(row.arguments or "{}")
        for name in operation.form.secret_names:
            given.pop(name, None)
        wanted = {**given, **(arguments or {})}
        if masked := [
            name for name, value in wanted.items() if MASKED in json.dumps(value, ensure_ascii=False, default=str)
        ]:
            # a default, or the mask itself, would be something else than what it had
            what = "held a secret, which was not kept: give it again"
            problems = [{"loc": [name], "msg": what, "type": "missing"} for name in masked]
            raise InvalidArguments(f"action {operation.name!r}", problems)
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
