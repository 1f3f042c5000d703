"""Register schedules, list them, pause them, and fire them by hand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from binp.home import Home
from binp.operations import (
    FormError,
    InvalidArguments,
    Operation,
    Policy,
    UnknownOperation,
    base_of,
    check_callable,
    default_description,
    default_name,
    labels_of,
    seconds_of,
    with_known_options,
)
from binp.runs import RunHandle, Trigger, current_run, now
from binp.store.contract import Change, PauseSchedule, ScheduleRow, as_datetime
from buvar.names import did_you_mean

from ._cron import Cron
from ._due import Missed
from ._entry import Entry, Overlap
from ._ticker import Ticker
from ._timing import At, BadSchedule, Every, Timing

if TYPE_CHECKING:
    from ._models import ScheduleInfo

__all__ = ["Schedule"]

Function = TypeVar("Function", bound=Callable[..., Any])
Choice = TypeVar("Choice", Missed, Overlap)

_logger = logging.getLogger("Schedule")

#: number of upcoming ticks to show
_SHOWN = 10


class Schedule:
    """The schedules of one BINP.

    ``@binp.schedule`` registers a function to be started by time, and returns it unchanged. If the function is an
    action too, in either order of the decorators, that action is started. Schedules run while the app is served, in one
    of all processes that serve it. Each tick is started once, or recorded in the history as a skipped run with the
    reason.
    """

    def __init__(self) -> None:
        self._home = Home()
        self._entries: dict[str, Entry] = {}
        self._ticker: Ticker | None = None
        self._ticking: asyncio.Task[None] | None = None

    def bind(self, home: Home) -> None:
        """Share *home*, and register there what was defined before."""
        self._home = home
        for entry in self._entries.values():
            home.operations.add(entry.own, logger=_logger)

    def adopt(self, other: Schedule) -> None:
        """Take over the schedules of *other*, which becomes an alias of this registry."""
        for entry in other._entries.values():
            self._enter(entry)
        other.__dict__ = self.__dict__

    @with_known_options("@binp.schedule")
    def __call__(
        self,
        expression: str | None = None,
        /,
        *,
        every: timedelta | float | str | None = None,
        at: datetime | None = None,
        tz: str | tzinfo | None = None,
        args: Mapping[str, Any] | None = None,
        name: str | None = None,
        description: str | None = None,
        labels: Iterable[str] = (),
        missed: Literal["latest", "all", "skip"] = "latest",
        grace: timedelta | float | str = timedelta(hours=1),
        overlap: Literal["skip", "queue", "parallel"] = "skip",
        jitter: timedelta | float | str = timedelta(),
    ) -> Callable[[Function], Function]:
        """Register a function to be started by time. Give exactly one of *expression*, *every* and *at*.

        Args:
            expression: A cron expression: ``minute hour day-of-month month day-of-week``, with a field for seconds in
                front if there are six; or ``@hourly``, ``@daily``, ``@weekly``, ``@monthly``, ``@yearly``.
            every: An interval of at least one second: a timedelta, seconds, or ``"5min"``. Ticks are multiples of it
                since 1970-01-01 00:00 UTC, so a restart does not shift them.
            at: A single moment, with a time zone.
            tz: Time zone of *expression*: an IANA name, such as ``Europe/Berlin``, or a ``ZoneInfo``. Default: UTC.
            args: Arguments for the form of the function.
            name: Name of the schedule. Default: the qualified name of the function; further schedules of the same
                function get ``#2``, ``#3``, ... appended.
            description: The description in lists, if the function is not an action. Default: the docstring.
            labels: Labels for its runs, if the function is not an action.
            missed: What to do about ticks that came while no process could start them: ``latest`` starts once for all
                of them, ``all`` starts once for each, up to a hundred, ``skip`` starts none.
            grace: Maximum age of a missed tick that is still started, written like *every*.
            overlap: What to do about a tick while the run of the previous tick has not ended: ``skip`` skips the tick,
                ``queue`` starts it afterwards, ``parallel`` starts it at once.
            jitter: Maximum delay of a start, written like *every*; the actual delay is fixed for each tick.

        Raises:
            BadSchedule: the timing is invalid, or *missed* or *overlap* is not one of the values above.
            BinpError: *function* is not a function, or is a generator function.
        """
        timing = _timing(expression, every, at, tz)
        if args is not None and not isinstance(args, Mapping):
            raise BadSchedule(f"args={args!r} has no names", fix="write args={'parameter': value}")
        oldest, latest = _span("grace", grace), _span("jitter", jitter)
        on_missed, on_overlap = _choice(Missed, "missed", missed), _choice(Overlap, "overlap", overlap)

        def add(function: Function) -> Function:
            check_callable(function, "@binp.schedule")
            own = Operation(
                kind="schedule",
                name=name or self._free_name(function),
                function=function,
                description=default_description(function) if description is None else description,
                policy=Policy(labels=labels_of(labels)),
            )
            entry = Entry(
                name=own.name,
                timing=timing,
                function=function,
                own=own,
                arguments=dict(args or {}),
                missed=on_missed,
                grace=oldest,
                overlap=on_overlap,
                jitter=latest,
            )
            self._enter(entry)
            return function

        return add

    def _enter(self, entry: Entry) -> None:
        # it is known by its name to who runs it again, and to who says how long its runs are kept
        self._home.operations.add(entry.own, logger=_logger)
        self._entries[entry.name] = entry
        if self._ticker is not None:
            self._ticker.wake()

    def _free_name(self, function: Callable[..., Any]) -> str:
        """The function's name, numbered if the function has a schedule already; another function's name is reused."""
        first, number = default_name(function), 1
        name = first
        while (entry := self._entries.get(name)) is not None and base_of(entry.function) is base_of(function):
            number += 1
            name = f"{first}#{number}"
        return name

    # -- look and command ----------------------------------------------------------------------------------------

    @property
    def names(self) -> list[str]:
        """The names of all schedules, in the order of their definition."""
        return list(self._entries)

    async def schedules(self) -> list[ScheduleInfo]:
        """The schedules as they are now, in the order of their definition."""
        rows: dict[str, ScheduleRow] = {}
        if self._entries:
            home = await self._home.ensure()
            rows = {row.name: row for row in await home.store.get_schedules()}
        return [self._info(entry, rows.get(entry.name)) for entry in self._entries.values()]

    async def pause(self, name: str, *, actor: str | None = None) -> None:
        """Pause a schedule: ticks are skipped until it is resumed.

        Raises:
            UnknownOperation: there is no such schedule.
        """
        await self._set_paused(name, True, actor)

    async def resume(self, name: str, *, actor: str | None = None) -> None:
        """Resume a schedule from the next tick on.

        Raises:
            UnknownOperation: there is no such schedule.
        """
        await self._set_paused(name, False, actor)

    async def fire(self, name: str, *, trigger: Trigger | None = None, once: str | None = None) -> RunHandle:
        """Start the function of a schedule now, with the schedule's arguments. Also works while it is paused.

        Args:
            name: The name of the schedule.
            trigger: What started it, and who.
            once: Idempotency key: the schedule is fired at most once per key.

        Raises:
            AlreadyStarted: the schedule was already fired with this key.
            UnknownOperation: there is no such schedule.
            InvalidArguments: the arguments do not fit the function.
            TooManyRuns: too many runs are in flight.
        """
        entry = self._find(name)
        home = await self._home.ensure()
        operation = self._operation_of(entry)
        parent = current_run.get()
        return await home.runs.start(
            operation,
            operation.form.bind(entry.arguments),
            trigger=trigger or Trigger("call", parent.actor if parent else None),
            once=None if once is None else f"fire {name} {once}",
        )

    async def _set_paused(self, name: str, paused: bool, actor: str | None) -> None:
        self._find(name)
        home = await self._home.ensure()
        await home.store.write(PauseSchedule(name=name, paused=paused, actor=actor, at=now()))

    def _find(self, name: str) -> Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise UnknownOperation("schedule", name, list(self._entries))
        return entry

    def _operation_of(self, entry: Entry) -> Operation:
        return self._home.operations.find("action", entry.function) or entry.own

    def _info(self, entry: Entry, row: ScheduleRow | None) -> ScheduleInfo:
        import orjson

        from ._models import ScheduleInfo

        operation = self._operation_of(entry)
        recorded, problem = "{}", None
        try:
            recorded = operation.form.bind(entry.arguments).recorded
        except (InvalidArguments, FormError) as error:
            # list the schedule all the same
            problem = error.what
        return ScheduleInfo(
            name=entry.name,
            operation=operation.name,
            description=operation.description,
            spec=entry.timing.spec,
            words=entry.timing.words(),
            zone=entry.timing.zone,
            arguments=orjson.loads(recorded),
            problem=problem,
            missed=entry.missed,
            grace=entry.grace.total_seconds(),
            overlap=entry.overlap,
            jitter=entry.jitter.total_seconds(),
            paused=row is not None and row.paused,
            paused_by=None if row is None else row.paused_by,
            paused_at=None if row is None or row.paused_at is None else as_datetime(row.paused_at),
            next=_fires(entry.timing),
        )

    # -- a part of a home ----------------------------------------------------------------------------------------

    def opened(self) -> None:
        """The store is open. Nothing is started before this process leads."""

    def check(self) -> None:
        """Check that each schedule can start its function.

        Raises:
            InvalidArguments: the arguments of a schedule do not fit its function.
            FormError: the parameters of a function do not make a form.
        """
        for entry in self._entries.values():
            try:
                self._operation_of(entry).form.bind(entry.arguments)
            except InvalidArguments as error:
                error.where = f"args of the schedule {entry.name!r}"
                error.fix = "give the schedule arguments that fit, args={...}"
                raise

    def lead(self) -> None:
        """Run the schedules from here on, unless this home runs none.

        Raises:
            InvalidArguments: the arguments of a schedule do not fit its function.
            FormError: the parameters of a function do not make a form.
        """
        self.check()
        if self._ticking is None and self._home.has_schedules:
            self._ticker = Ticker(self._home, self._entries, self._operation_of)
            loop = asyncio.get_running_loop()
            context = self._home.context()
            self._ticking = loop.create_task(self._ticker.run(), name="binp schedules", context=context)

    def changed(self, changes: Sequence[Change]) -> None:
        """Recompute the next start when a schedule was paused or resumed."""
        if self._ticker is not None and any(change.topic == "schedule" for change in changes):
            self._ticker.wake()

    async def shut_down(self, timeout: float) -> None:
        """Stop starting anything."""
        ticking, self._ticking, self._ticker = self._ticking, None, None
        for entry in self._entries.values():
            # the next leader continues from what this one has stored
            entry.until = entry.waiting = None
            entry.running.clear()
        if ticking is not None:
            ticking.cancel()
            await asyncio.wait({ticking}, timeout=timeout)


def _timing(expression: object, every: object, at: object, tz: object) -> Timing:
    if sum(given is not None for given in (expression, every, at)) != 1:
        raise BadSchedule(
            "a schedule has one timing",
            fix="give an expression ('30 2 * * *'), or every='5min', or at=datetime(...)",
        )
    if expression is not None:
        if not isinstance(expression, str):
            raise BadSchedule(
                f"@binp.schedule got {expression!r} instead of a timing",
                fix="write @binp.schedule('30 2 * * *'), or @binp.schedule(every='5min')",
            )
        return Cron(expression, _zone_name(tz))
    if tz is not None:
        raise BadSchedule("tz is for an expression: an interval and a moment need none", fix="leave out tz")
    if every is not None:
        return Every(_span("every", every))
    if not isinstance(at, datetime):
        raise BadSchedule(f"at={at!r} is not a moment", fix="write at=datetime(2030, 1, 31, 12, 0, tzinfo=UTC)")
    return At(at)


def _zone_name(tz: object) -> str:
    """Name of the zone *tz*: a name, a ``ZoneInfo`` or ``datetime.UTC``; UTC by default."""
    if tz is None or tz is UTC:
        return "UTC"
    name = getattr(tz, "key", tz)
    if not isinstance(name, str):
        raise BadSchedule(f"tz={tz!r} has no name", fix="write an IANA name, such as tz='Europe/Berlin'")
    return name


def _span(option: str, given: object) -> timedelta:
    seconds = seconds_of(given)
    if seconds is None or not 0 <= seconds < timedelta.max.total_seconds():
        fix = f'write seconds, as {option}=600, or {option}="90min", "1h30min", or timedelta(minutes=5)'
        raise BadSchedule(f"{option}={given!r} is not a time of zero or more", fix=fix)
    return given if isinstance(given, timedelta) else timedelta(seconds=seconds)


def _choice(kind: type[Choice], option: str, text: str) -> Choice:
    try:
        return kind(text)
    except ValueError:
        near = did_you_mean(str(text), [one.value for one in kind])
        known = ", ".join(repr(one.value) for one in kind)
        raise BadSchedule(
            f"{option}={text!r} is not a choice", fix=f"did you mean {near!r}?" if near else f"write one of {known}"
        ) from None


def _fires(timing: Timing) -> list[Any]:
    from zoneinfo import ZoneInfo

    from ._models import Fire

    zone = ZoneInfo(timing.zone)
    found: list[Any] = []
    due = timing.next(datetime.now(UTC))
    while due is not None and len(found) < _SHOWN:
        found.append(Fire(at=due, local=due.astimezone(zone), note=timing.note(due)))
        due = timing.next(due)
    return found
