"""Scopes: layers that close what was opened in them, and keep what is to be made once."""

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
    """A value that is being made for keeping."""

    __slots__ = ("awaited", "future", "title")

    def __init__(self, title: str) -> None:
        self.title = title
        self.future: asyncio.Future[Any]
        #: Which others it waits for right now.
        self.awaited: set[_Building] = set()

    def way_to(self, goal: _Building) -> list[str]:
        """The titles from here to *goal*, following who waits for whom; empty when there is no way."""
        if self is goal:
            return [self.title]
        for other in self.awaited:
            way = other.way_to(goal)
            if way:
                return [self.title, *way]
        return []


#: The value that the running code is part of making.
_building: contextvars.ContextVar[_Building | None] = contextvars.ContextVar("buvar.di.building", default=None)


class _Keeper:
    """What scopes and applications have in common."""

    title = "scope"
    # defaults of the class, because most scopes are short and need none of it
    _pending: dict[Key, _Building] | None = None
    #: What is kept.
    values: Mapping[Key, Any] = MappingProxyType({})
    #: What went wrong while it was closed, also where an earlier error is raised instead.
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
        """Like `nject`, with this as the newest scope whatever the current context is.

        Raises:
            ResolveError: a target cannot be built.
        """
        components, adapters = self.components, self._adapters
        if not dependencies:
            # what `_nject_in` looks at first; here, because one call more is felt in each request
            plan = adapters._plans.get((components.chain, targets))  # noqa: SLF001 - two halves of one
            if plan is not None:
                return await plan(components.layers)
        return await adapters._nject_in(components, targets, dependencies)  # noqa: SLF001 - two halves of one

    async def provide(self, func: Callable[..., Any], *, skip: Collection[str] = ()) -> dict[str, Any]:
        """Values for the ``Inject[...]`` parameters of *func*, but those in *skip*, which share what they depend on.

        For each, a component with the parameter's name goes before the rest. A parameter with a default for which
        nothing is found is left out.

        Raises:
            AdapterError: an annotation cannot be evaluated.
            ResolveError: a parameter without default cannot be built.
        """
        return await self._adapters._provide_in(self.components, func, skip=skip)  # noqa: SLF001 - two halves of one

    def _leave(self) -> None:
        """Give back the former context, where this is still the task that entered."""
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
        """Close at once what was opened while the scope was being closed, and raise that."""
        failed = await finish_all([opened], None)
        settle(failed, None, self.title)
        self.refuse(getattr(opened, "__qualname__", opened))

    def _check_wait(self, building: _Building) -> _Building | None:
        """Who would be waiting for *building*; refuses when that one is waited for in turn."""
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
    """A layer on the context; what generators open inside is closed, in reverse, when the block ends.

    How it ends, precisely. Each generator is resumed, the last one first. The exception that leaves the block is
    thrown into each at its ``yield``; a generator can see it there, it can neither swallow nor replace it. When a
    teardown fails, the rest is still finished, and

    - if an exception left the block, that one goes on; failed teardowns are logged and noted on it,
    - else a single failure is raised as it is, several as one `ExceptionGroup`; a cancellation is raised as such.

    `teardown_errors` has them all.
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
                # what that does as long as all goes well; here, because one call more is felt in each request
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
            # the scope and its layer hold each other: let go here, not when the garbage collector comes by
            self.components.layers[0].owner = CLOSED
            try:  # noqa: SIM105 - a `with` costs more than all the rest
                buvar_context.reset(self._token)
            except ValueError:  # left by another task, whose context was never changed
                pass

    async def once(self, key: Key, build: Build) -> Any:
        """The value kept under *key*, made by the first who asks; when that one is cancelled, by the next."""
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
            future.set_result(None)  # there is no value yet: one of those who wait goes on
            raise
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # nobody else may be waiting for it
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


#: Stands for every scope that has ended.
CLOSED: Final = Scope(cast("Adapters", None), None)  # never asked to build anything
CLOSED.is_closed = True


class Application(_Keeper):
    """The scope of a whole application: what is registered with ``scope="app"`` is made once in it, and kept.

    Each value is made by a task of its own, in the context variables that the application was opened with; nobody who
    waits for it can cancel it. A build that fails is not remembered. When the application closes, builds that are
    under way are cancelled, then everything is closed as in `Scope`. It may be entered in one task and left in
    another; that task's context is then left as it is.
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
                error = error or cancelled  # everything is closed all the same
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
        """The value kept under *key*, made by a task of its own when it does not exist yet."""
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
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # those who wait get it raised
        self._pending[key] = building
        return building
