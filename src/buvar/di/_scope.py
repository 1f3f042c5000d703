"""Scopes: layers that close what was opened in them, and keep values that are made once."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import AsyncGeneratorType, GeneratorType, MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

from buvar.components import Components
from buvar.context import buvar_context

from ._errors import ResolveError
from ._teardown import ENDED, Opened, finish_all, leave, settle, yielded_again
from ._types import type_name

if TYPE_CHECKING:
    from ._adapters import Key
    from ._registry import Adapters

Build = Callable[[], Awaitable[Any]]


class _Building:
    """A kept value while it is being made."""

    __slots__ = ("awaited", "future", "title")

    def __init__(self, title: str) -> None:
        self.title = title
        self.future: asyncio.Future[Any]
        #: The other values that it is waiting for.
        self.awaited: set[_Building] = set()

    def way_to(self, goal: _Building) -> list[str]:
        """The titles from here to *goal* along the waiting values; empty if there is no such path."""
        if self is goal:
            return [self.title]
        for other in self.awaited:
            way = other.way_to(goal)
            if way:
                return [self.title, *way]
        return []


#: The kept value that the running code is helping to make.
_building: contextvars.ContextVar[_Building | None] = contextvars.ContextVar("buvar.di.building", default=None)


class _Keeper:
    """What scopes and applications have in common."""

    title = "scope"
    # class-level defaults: most scopes are short-lived and need none of these
    _pending: dict[Key, _Building] | None = None
    #: The kept values.
    values: Mapping[Key, Any] = MappingProxyType({})
    #: All errors during the teardown, even if an earlier error was raised instead.
    teardown_errors: tuple[BaseException, ...] = ()
    #: The components that code inside sees.
    components: Components
    _token: contextvars.Token[Components]

    def __init__(self, adapters: Adapters, components: Components | None) -> None:
        self._adapters = adapters
        self._base = components
        #: Whether nothing can be opened here any more.
        self.is_closed = False
        #: What was opened and has to be closed.
        self.opened: list[Opened] = []

    async def nject(self, /, *targets: Any, **dependencies: Any) -> Any:
        """Like `di.nject`, but always with this as the innermost scope, whatever the current context is.

        Raises:
            ResolveError: a target cannot be built.
        """
        components, adapters = self.components, self._adapters
        if not dependencies:
            # the fast path of `_nject_in`, repeated here because one more call is measurable per request
            plan = adapters._plans.get((components.chain, targets))  # noqa: SLF001 - two halves of one
            if plan is not None:
                return await plan(components.layers)
        return await adapters._nject_in(components, targets, dependencies)  # noqa: SLF001 - two halves of one

    async def provide(self, func: Callable[..., Any], *, skip: Collection[str] = ()) -> dict[str, Any]:
        """Values for the ``Inject[...]`` parameters of *func*, except those in *skip*; they share their dependencies.

        A component with the parameter's name takes precedence. A parameter with a default is left out if nothing is
        found.

        Raises:
            AdapterError: an annotation cannot be evaluated.
            ResolveError: a parameter without a default cannot be built.
        """
        return await self._adapters._provide_in(self.components, func, skip=skip)  # noqa: SLF001 - two halves of one

    def _leave(self) -> None:
        """Restore the previous context, if this is the task that entered."""
        token = self._token
        del self._token
        try:
            buvar_context.reset(token)
        except ValueError:  # left by another task, whose context was never changed
            return

    def _store(self, key: Key, value: Any) -> None:
        self.values = {**self.values, key: value}

    def refuse(self, what: object) -> None:
        """Raise that it is too late to open *what*."""
        raise ResolveError(
            f"{what} cannot be opened: the {self.title} that it would live in is closed",
            where="a task that has outlived it" if self.title == "scope" else None,
            fix=f"finish the work inside the {self.title}, or open one for it: async with di.{self.title}():",
        )

    async def too_late(self, opened: Opened) -> None:
        """Close what was opened while the scope was closing, and raise an error."""
        failed = await finish_all([opened], None)
        settle(failed, None, self.title)
        self.refuse(getattr(opened, "__qualname__", opened))

    def _check_wait(self, building: _Building) -> _Building | None:
        """The value that waits for *building*; raises if that would be a cycle."""
        waiter = _building.get()
        way = building.way_to(waiter) if waiter is not None else []
        if way:
            raise ResolveError(
                f"{way[0]} is needed to build itself",
                where=" -> ".join([way[-1], *way]) if len(way) > 1 else f"{way[0]} -> {way[0]}",
                fix="ask for it in a parameter instead of inside the body, and break the cycle",
            )
        return waiter

    async def _wait(self, building: _Building) -> Any:
        waiter = self._check_wait(building)
        if waiter is not None:
            waiter.awaited.add(building)
        try:
            return await asyncio.shield(building.future)
        finally:
            if waiter is not None:
                waiter.awaited.discard(building)


class Scope(_Keeper):
    """A layer on the context; when the block ends, the generators opened inside are closed in reverse order.

    In detail: each generator is resumed, the last one first. The exception that leaves the block is thrown into each
    at its ``yield``; a generator can observe it, but neither suppress nor replace it. When a teardown fails, the others
    are still finished, and

    - if an exception left the block, it propagates; failed teardowns are logged and added to it as notes,
    - otherwise a single failure is raised as it is, several as one `ExceptionGroup`; a cancellation is raised as such.

    `teardown_errors` has all of them.
    """

    async def __aenter__(self) -> Self:
        base = self._base
        if base is None:
            base = buvar_context.get()
        self.components = components = base.push_fresh(self)
        self._token = buvar_context.set(components)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.is_closed = True
        opened = self.opened
        failed: list[BaseException] = []
        try:
            if error is not None:
                failed = await finish_all(opened, error)
            else:
                # the normal path of `finish_all`, repeated here because one more call is measurable per request
                try:
                    while opened:
                        one = opened.pop()
                        if type(one) is AsyncGeneratorType:
                            if await anext(one, ENDED) is not ENDED:
                                raise await yielded_again(one)
                        elif type(one) is GeneratorType:
                            if next(one, ENDED) is not ENDED:
                                raise await yielded_again(one)
                        else:
                            await leave(one, None)
                except BaseException as problem:  # noqa: BLE001 - the others are finished first; then it is raised
                    failed = [problem, *await finish_all(opened, problem)]
            if failed:
                self.teardown_errors = tuple(failed)
                settle(failed, error, self.title)
        finally:
            # break the reference cycle of scope and layer here, instead of leaving it to the garbage collector
            self.components.layers[0].owner = CLOSED
            try:  # noqa: SIM105 - a `with` block costs more than everything else here
                buvar_context.reset(self._token)
            except ValueError:  # left by another task, whose context was never changed
                pass

    async def once(self, key: Key, build: Build) -> Any:
        """The value kept under *key*, made by the first caller; if that one is cancelled, by the next."""
        while key not in self.values:
            building = self._pending.get(key) if self._pending else None
            if building is None:
                return await self._build(key, build)
            await self._wait(building)
        return self.values[key]

    async def _build(self, key: Key, build: Build) -> Any:
        if self.is_closed:
            self.refuse(type_name(key.candidate.produces))
        if self._pending is None:
            self._pending = {}
        pending = self._pending
        building = pending[key] = _Building(type_name(key.candidate.produces))
        future = building.future = asyncio.get_running_loop().create_future()
        builder = _building.get()
        if builder is not None:
            builder.awaited.add(building)
        token = _building.set(building)
        try:
            value = await build()
        except asyncio.CancelledError:
            future.set_result(None)  # there is no value yet: one of the waiting callers continues
            raise
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # mark it as retrieved: possibly nobody waits for it
            raise
        else:
            self._store(key, value)
            future.set_result(None)
            return value
        finally:
            _building.reset(token)
            if builder is not None:
                builder.awaited.discard(building)
            del pending[key]


#: Takes the place of every scope that has ended.
CLOSED: Final = Scope(cast("Adapters", None), None)  # never asked to build anything
CLOSED.is_closed = True


class Application(_Keeper):
    """The scope of a whole application: values of adapters with ``scope="app"`` are made once in it, and kept.

    Each value is made by a task of its own, with the context variables in which the application was opened. Cancelling
    a caller that waits for it does not cancel the task. A failed build is not remembered. When the application closes,
    running builds are cancelled, then everything is closed as in `Scope`. It may be entered in one task and left in
    another one; the context of that task is then not changed.
    """

    title = "application"
    _pending: dict[Key, _Building]

    async def __aenter__(self) -> Self:
        base = self._base if self._base is not None else buvar_context.get()
        self._pending = {}
        self._loop = asyncio.get_running_loop()
        self._variables = contextvars.copy_context()
        if self._base is None or not base.own(self):
            base = base.push_fresh(self)
        self.components = base
        self._token = buvar_context.set(base)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.is_closed = True
        try:
            try:
                await self._stop_building()
            except asyncio.CancelledError as cancelled:
                error = error or cancelled  # everything is still closed
                raise
            finally:
                failed = await finish_all(self.opened, error)
                self.teardown_errors = tuple(failed)
                settle(failed, error, self.title)
        finally:
            self.components.disown(self)
            self._leave()

    async def _stop_building(self) -> None:
        tasks = [building.future for building in self._pending.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def once(self, key: Key, build: Build) -> Any:
        """The value kept under *key*, made by a task of its own if it does not exist yet."""
        title = type_name(key.candidate.produces)
        if self.is_closed:
            self.refuse(title)
        if asyncio.get_running_loop() is not self._loop:
            raise ResolveError(
                f"{title} lives in an application of another event loop",
                fix="ask for it in the loop that opened the application, or open one here: "
                "async with di.application():",
            )
        building = self._pending.get(key)
        if building is None:
            building = self._start(key, title, build)
        try:
            return await self._wait(building)
        except asyncio.CancelledError:
            waiter = asyncio.current_task()
            if self.is_closed and building.future.cancelled() and not (waiter and waiter.cancelling()):
                self.refuse(title)
            raise

    def _start(self, key: Key, title: str, build: Build) -> _Building:
        building = _Building(title)
        variables = self._variables.copy()
        variables.run(buvar_context.set, self.components)
        variables.run(_building.set, building)

        async def make() -> Any:
            try:
                value = await build()
                self._store(key, value)
                return value
            finally:
                del self._pending[key]

        task = building.future = self._loop.create_task(make(), name=f"build {title}", context=variables)
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # the callers that wait get it raised
        self._pending[key] = building
        return building
