"""Keep history of what functions do, and look it up."""

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

    Each call of a function decorated with ``@binp.journal`` is a run: its row is committed before the body is entered,
    and its end when the call returns. :meth:`record`, :meth:`labels` and :meth:`progress` belong to the run that the
    calling code is in, whoever started it.

    Args:
        database: URL or path of the database, or a store; the setting by default.
    """

    def __init__(self, database: str | Store | None = None) -> None:
        self.db = database
        #: id of a journaled run that began, ended, or got labels
        self.journal_updated: Emitter[int] = Emitter()
        #: id of a journaled run that got a record
        self.record_added: Emitter[int] = Emitter()
        #: what runs in flight remember for further attempts
        self._steps: WeakKeyDictionary[ActiveRun, Steps] = WeakKeyDictionary()
        self._home = Home(db=database)
        self._home.attach(self, database)

    def bind(self, home: Home) -> None:
        """Share *home*; what was registered before comes along."""
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
        """Keep history of a function.

        A sync function becomes an async one that runs it in a thread. The signature stays, so that the result can be
        an action or a route.

        Args:
            function: What to keep history of.
            operation: Name in the history; the qualified name of the function by default.
            description: What it says of itself; the docstring by default.

        Raises:
            BinpError: it is no function, or a generator function.
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
                # the platform has begun this very run
                run.adoptable = None
                if not in_thread:
                    return await function(*args, **kwargs)
                # what was injected into it must not be closed under a thread that cannot be stopped
                run.shield()
                return await call_function(function, args, kwargs, self._home.runs.threads)
            home = await self._home.ensure()
            return await home.runs.trace(operation, function, args, kwargs)

        setattr(journaled, JOURNALED, operation)
        return journaled

    def record(self, message: str, /, **fields: Any) -> Kept | Acknowledged:
        """Say what happens, with typed fields. Queued at once; await it to have it committed.

        Works in async code and in threads. Outside of a run it warns and keeps nothing. It never raises because of
        what *fields* hold: what is not JSON is kept as its representation.
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
        """Add labels to the run; one it has already is left alone. Outside of a run it warns and keeps nothing."""
        run = current_run.get()
        return self._outside("labels", labels) if run is None else run.label(labels)

    def progress(self, value: float, total: float | None = None, message: str | None = None) -> Kept | Acknowledged:
        """Say how far the run is: *value* of *total*, in any unit. Outside of a run it warns and keeps nothing."""
        run = current_run.get()
        return self._outside("progress", value) if run is None else run.progress(value, total, message)

    async def step(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Do a part of the run that its further attempts need not do again.

        The function is called and its result kept, unless an attempt before has done that: then that result is given.
        Attempts are the retries of an action, and a run that is started again after it failed, was cancelled or
        interrupted, with the same arguments. A step is done at least once: where the process dies between its end and
        the moment when its result is kept, it is done again.

        Args:
            name: What it is called. Where a run does several steps of one name, the first of them here is the first
                there, and so on.
            function: Async, or sync: that is called in a thread.
            args: For the function.
            kwargs: For the function.

        Returns:
            The result as JSON gives it back. Outside of a run, what the function returned.

        Raises:
            BadStep: it returned what JSON cannot carry, or the run was ended by somebody else.
            Exception: what the function raised; then the step is not done.
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
        """Id of the run that the calling code is in, None outside of any."""
        run = current_run.get()
        return None if run is None else run.id

    # -- look up -------------------------------------------------------------------------------------------------

    async def history(self, offset: int = 0, limit: int = 20) -> list[Headline]:
        """Journaled runs, newest first; at most 200."""
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
        """Journaled runs for which all given conditions hold, newest first.

        Args:
            operation: Exact name.
            failed: True for failed, cancelled and interrupted ones, False for all others.
            pending: True for those that have not ended, False for those that have.
            labels: At least one of these; an empty list is no condition.
            offset: Skip so many.
            limit: At most so many, up to 200.
            query: Words and conditions: ``timeout label:shop=7 since:2h``.

        Raises:
            BadQuery: *query* cannot be understood.
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
        """A journaled run with its records, newest first; None if there is none."""
        from ._models import Journal

        home = await self._home.ensure()
        run = await home.store.get_run(journal_id)
        if run is None or run.journal is None:
            return None
        return Journal.whole(run, await self._records(home, journal_id))

    async def headline(self, journal_id: int) -> Headline | None:
        """A journaled run without its records; None if there is none."""
        from ._models import Headline

        home = await self._home.ensure()
        run = await home.store.get_run(journal_id)
        return None if run is None or run.journal is None else Headline.of(run)

    async def remove_dead(self) -> None:
        """Nothing is removed: runs of a process that died are marked as interrupted by themselves, and stay."""
        await self._home.ensure()

    # -- a part of a home ----------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The store is open."""

    def lead(self) -> None:
        """Nothing of a journal runs only once."""

    def changed(self, changes: Sequence[Change]) -> None:
        """Tell the emitters."""
        for change in changes:
            if change.journal and isinstance(change.id, int):
                if change.topic == "run":
                    self.journal_updated.emit(change.id)
                elif change.topic == "record":
                    self.record_added.emit(change.id)

    async def shut_down(self, timeout: float) -> None:
        """Nothing of a journal runs by itself."""

    async def _page(self, query: RunQuery) -> list[Headline]:
        from ._models import Headline

        home = await self._home.ensure()
        page = await home.store.find_runs(query)
        found = list(page.runs)
        while page.stopped is not None:
            # it takes long: one bounded step after the other, between which others are asked as well
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


#: largest number of records in one answer; the newest ones
_RECORDS = 10_000


def _bounded(limit: int) -> int:
    return max(0, min(limit, 200))
