"""Record the history of functions, and query it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, overload
from weakref import WeakKeyDictionary

from binp.events import Emitter
from binp.home import Home
from binp.operations import (
    JOURNALED,
    Operation,
    as_text,
    check_callable,
    default_description,
    default_name,
    is_async,
    with_known_options,
)
from binp.runs import Acknowledged, ActiveRun, Kept, Steps, call_function, current_journal, current_run, quietly
from binp.store.contract import Change, RecordRow, RunQuery, State, Store
from binp.store.query import parse

if TYPE_CHECKING:
    from ._models import Headline, Journal

__all__ = ["Journals", "current_journal"]

Function = TypeVar("Function", bound=Callable[..., Any])

_logger = logging.getLogger("Journals")
_FAILED = frozenset({State.FAILED, State.CANCELLED, State.INTERRUPTED})
_PENDING = frozenset({State.QUEUED, State.RUNNING})


class Journals:
    """The history of journaled functions.

    Each call of a function decorated with ``@binp.journal`` is a run. Its row is committed before the function body
    starts, and its end when the call returns. :meth:`record`, :meth:`labels` and :meth:`progress` apply to the run that
    the calling code is in, whoever started that run.

    Args:
        database: URL or path of the database, or a store. Default: the setting.
    """

    def __init__(self, database: str | Store | None = None) -> None:
        self.db = database
        #: emits the id of a journaled run that started, ended or got labels
        self.journal_updated: Emitter[int] = Emitter()
        #: emits the id of a journaled run that got a record
        self.record_added: Emitter[int] = Emitter()
        #: the steps of each run in flight
        self._steps: WeakKeyDictionary[ActiveRun, Steps] = WeakKeyDictionary()
        self._home = Home(db=database)
        self._home.attach(self, database)

    def bind(self, home: Home) -> None:
        """Share *home*, and move the functions registered so far into it."""
        for operation in self._home.operations.all("journal"):
            home.operations.add(operation, logger=_logger)
        self._home = home

    # -- keep ----------------------------------------------------------------------------------------------------

    @overload
    def __call__(self, function: Function, /) -> Function: ...

    @overload
    def __call__(
        self, /, *, operation: str | None = None, description: str | None = None
    ) -> Callable[[Function], Function]: ...

    @with_known_options("@binp.journal")
    def __call__(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        operation: str | None = None,
        description: str | None = None,
    ) -> Any:
        """Record the history of a function.

        A sync function becomes an async one that runs it in a thread. The signature is kept, so the result can also be
        an action or a route.

        Args:
            function: The function whose calls to record.
            operation: The name in the history. Default: the qualified name of the function.
            description: The description in the history. Default: the docstring.

        Raises:
            BinpError: *function* is not a function, or is a generator function.
            UnknownOption: there is no such option.
        """
        if function is None:
            return lambda given: self._wrap(given, operation, description)
        return self._wrap(function, operation, description)

    def _wrap(self, function: Callable[..., Any], name: str | None, description: str | None) -> Callable[..., Any]:
        check_callable(function, "@binp.journal")
        operation = Operation(
            kind="journal",
            name=name or default_name(function),
            function=function,
            description=default_description(function) if description is None else description,
        )
        self._home.operations.add(operation, logger=_logger)
        in_thread = not is_async(function)

        @functools.wraps(function)
        async def journaled(*args: Any, **kwargs: Any) -> Any:
            run = current_run.get()
            if run is not None and run.adoptable is operation.base:
                # the platform has already started this run
                run.adoptable = None
                if not in_thread:
                    return await function(*args, **kwargs)
                # a thread cannot be stopped: keep the injected objects open until it ends
                run.shield()
                return await call_function(function, args, kwargs, self._home.runs.threads)
            home = await self._home.ensure()
            return await home.runs.trace(operation, function, args, kwargs)

        setattr(journaled, JOURNALED, operation)
        return journaled

    def record(self, message: str, /, **fields: Any) -> Kept | Acknowledged:
        """Add a record with typed fields to the run. It is queued at once; await the result to wait for the commit.

        Works in async code and in threads. Outside of a run it logs a warning and stores nothing. It never raises
        because of the values in *fields*: a value that is not JSON is stored as its ``repr``.
        """
        run = current_run.get()
        if run is None:
            return self._outside("record", message)
        if _logger.isEnabledFor(logging.INFO):
            with quietly():
                shown = fields if run.masks is None else run.masks.fields(fields)
                extra = {"fields": shown, "operation": run.operation, "run": run.id}
                _logger.info("%s", run.hide(as_text(message)), extra=extra)
        return run.record(message, fields)

    def labels(self, *labels: str) -> Kept | Acknowledged:
        """Add labels to the run; those it has already are ignored. Outside of a run it logs a warning only."""
        run = current_run.get()
        return self._outside("labels", labels) if run is None else run.label(labels)

    def progress(self, value: float, total: float | None = None, message: str | None = None) -> Kept | Acknowledged:
        """Report the progress of the run: *value* of *total*, in any unit. Outside of a run it logs a warning only."""
        run = current_run.get()
        return self._outside("progress", value) if run is None else run.progress(value, total, message)

    async def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run a part of the run that its further attempts can skip.

        The function is called and its result is stored. If an earlier attempt already stored the result, the function
        is not called and that result is returned. Attempts are the retries of an action, and the rerun of a run that
        failed, was cancelled or was interrupted, with the same arguments. A step runs at least once: if the process
        dies after the function returned but before its result is stored, the step runs again.

        Args:
            name: Name of the step. If a run has several steps of one name, they are matched by order: the first here
                with the first of the earlier attempt, and so on.
            function: An async function, or a sync one, which is called in a thread.
            args: Positional arguments of the function.
            kwargs: Keyword arguments of the function.

        Returns:
            The result, after a round trip through JSON. Outside of a run: what the function returned.

        Raises:
            BadStep: the result cannot be stored as JSON, or something else has ended the run.
            Exception: whatever the function raised; the step is then not done.
        """
        run = current_run.get()
        home = await self._home.ensure()
        if run is None:
            self._outside("step", name)
            return await call_function(function, args, kwargs, home.runs.threads)
        steps = self._steps.get(run)
        if steps is None:
            steps = self._steps[run] = Steps(home.store, home.runs.threads)
        return await steps.do(run, name, function, args, kwargs)

    @property
    def current(self) -> int | None:
        """Id of the run that the calling code is in; None outside of a run."""
        run = current_run.get()
        return None if run is None else run.id

    # -- look up -------------------------------------------------------------------------------------------------

    async def history(self, offset: int = 0, limit: int = 20) -> list[Headline]:
        """Journaled runs, newest first; *limit* is at most 200."""
        return await self._page(RunQuery(journaled=True, offset=max(0, offset), limit=_bounded(limit)))

    async def search(
        self,
        operation: str | None = None,
        failed: bool | None = None,
        pending: bool | None = None,
        labels: Sequence[str] | None = None,
        offset: int = 0,
        limit: int = 20,
        *,
        query: str | None = None,
    ) -> list[Headline]:
        """Journaled runs that match all given conditions, newest first.

        Args:
            operation: Exact name.
            failed: True for failed, cancelled and interrupted runs, False for all others.
            pending: True for runs that have not ended, False for those that have.
            labels: The run has at least one of these; an empty list means no condition.
            offset: Number of runs to skip.
            limit: Maximum number of runs, up to 200.
            query: A search expression: ``timeout label:shop=7 since:2h``.

        Raises:
            BadQuery: *query* cannot be parsed.
        """
        wanted = RunQuery() if query is None else parse(query)
        states = set(State)
        if failed is not None:
            states &= _FAILED if failed else set(State) - _FAILED
        if pending is not None:
            states &= _PENDING if pending else set(State) - _PENDING
        if not states:
            return []
        wanted = replace(
            wanted,
            journaled=True,
            journal=operation,
            states=None if states == set(State) else frozenset(states),
            labels=((labels,) if isinstance(labels, str) else tuple(labels)) if labels else None,
            offset=max(0, offset),
            limit=_bounded(limit),
        )
        return await self._page(wanted)

    async def get(self, journal_id: int) -> Journal | None:
        """A journaled run with its records, newest first; None if there is no such run."""
        from ._models import Journal

        home = await self._home.ensure()
        run = await home.store.get_run(journal_id)
        if run is None or run.journal is None:
            return None
        return Journal.whole(run, await self._records(home, journal_id))

    async def headline(self, journal_id: int) -> Headline | None:
        """A journaled run without its records; None if there is no such run."""
        from ._models import Headline

        home = await self._home.ensure()
        run = await home.store.get_run(journal_id)
        return None if run is None or run.journal is None else Headline.of(run)

    async def remove_dead(self) -> None:
        """Does nothing: runs of a process that died are marked as interrupted automatically, and are kept."""
        await self._home.ensure()

    # -- a part of a home ----------------------------------------------------------------------------------------

    def opened(self) -> None:
        """Nothing to do when the store opens."""

    def lead(self) -> None:
        """Nothing to do: a journal has no background work for the leader."""

    def changed(self, changes: Sequence[Change]) -> None:
        """Tell the emitters about changed runs and new records."""
        for change in changes:
            if change.journal and isinstance(change.id, int):
                if change.topic == "run":
                    self.journal_updated.emit(change.id)
                elif change.topic == "record":
                    self.record_added.emit(change.id)

    async def shut_down(self, timeout: float) -> None:
        """Nothing to do: a journal has no background work."""

    async def _page(self, query: RunQuery) -> list[Headline]:
        from ._models import Headline

        home = await self._home.ensure()
        page = await home.store.find_runs(query)
        found = list(page.runs)
        while page.stopped is not None:
            # a long search takes several bounded steps, so that other requests get their turn in between
            query = replace(
                query, before=page.stopped, offset=query.offset - page.skipped, limit=query.limit - len(page.runs)
            )
            page = await home.store.find_runs(query)
            found += page.runs
        return [Headline.of(run) for run in found]

    async def _records(self, home: Home, run: int) -> list[RecordRow]:
        found: list[RecordRow] = []
        before: int | None = None
        while len(found) < _RECORDS:
            page = await home.store.get_records(run, before=before, newest=True, limit=200)
            found.extend(page)
            if len(page) < 200:
                break
            before = page[-1].seq
        return found

    def _outside(self, what: str, subject: object) -> Acknowledged:
        _logger.warning(
            "%s %r is outside of a run and not kept: nothing around it is a @journal, or was started by the platform",
            what,
            subject,
        )
        return Acknowledged()


#: maximum number of records in one answer; the newest are kept
_RECORDS = 10_000


def _bounded(limit: int) -> int:
    return max(0, min(limit, 200))
