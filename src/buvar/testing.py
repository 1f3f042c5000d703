"""Pytest fixtures and a marker that run a test in the context of plugins.

Like all pytest marks, a mark called with a single function decorates that function. To mark a test with a single
plugin that is a function, use ``pytest.mark.buvar_plugins.with_args(prepare)``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

# pytest imports this module in every project that has the package installed: import everything else on use
if TYPE_CHECKING:
    from buvar import config as buvar_config
    from buvar import di, plugin
    from buvar.components import Components

__all__ = [
    "Clock",
    "buvar_adapters_setup_contextvars",
    "buvar_config_source",
    "buvar_context",
    "buvar_load",
    "buvar_plugin_context",
    "buvar_stage",
    "buvar_stage_loop",
    "clock",
    "config",
    "leak_check",
    "override",
    "pytest_configure",
    "pytest_itemcollected",
    "pytest_runtest_call",
    "reset_buvar_context",
    "reset_config_sections",
    "wrap_in_buvar_plugin_context",
]

_MARKER = "buvar_plugins"
#: iterations of the event loop after which something is assumed to run for ever
_PASSES = 10_000
#: the fixtures for which the test function has to be wrapped
_OURS = frozenset({"buvar_stage", "buvar_load", "clock", "leak_check"})


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(plugin, ..., may_fail=False): load the plugins before the test and run it in the context that they "
        "share; a task that fails in `buvar_stage.running()` fails the test at once, unless it may",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give a marked test the fixtures that the marker needs."""
    if isinstance(item, pytest.Function) and item.get_closest_marker(_MARKER):
        for name in ("reset_config_sections", "buvar_stage"):
            if name not in item.fixturenames:
                item.fixturenames.append(name)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Run a test with our marker or fixtures inside its stage, on the event loop of its own runner."""
    marker = item.get_closest_marker(_MARKER)
    funcargs: Mapping[str, Any] = getattr(item, "funcargs", {})
    if not isinstance(item, pytest.Function) or (marker is None and not _OURS & set(funcargs)):
        return (yield)
    func = item.obj
    stage: plugin.Stage | None = funcargs.get("buvar_stage")
    wrapped = _without_leaks(func) if "leak_check" in funcargs else func
    if stage is not None:
        marks = [] if marker is None else list(item.iter_markers(_MARKER))
        may_fail = any(mark.kwargs.get("may_fail", False) for mark in marks)
        wrapped = _on_stage(stage, [each for mark in reversed(marks) for each in mark.args], wrapped, may_fail=may_fail)
    # a project may have another fixture of that name
    if isinstance(clock := funcargs.get("clock"), Clock):
        wrapped = clock.around(wrapped)
    item.obj = wrapped
    try:
        return (yield)
    finally:
        item.obj = func


def _on_stage(
    stage: plugin.Stage, plugins: list[Any], func: Callable[..., Any], *, may_fail: bool
) -> Callable[..., Any]:
    inside = wrap_in_buvar_plugin_context(stage.context, func)

    @functools.wraps(func)
    async def run_async(*args: Any, **kwargs: Any) -> Any:
        try:
            await stage.aload(*plugins)
            if may_fail:
                return await inside(*args, **kwargs)
            return await _unless_tasks_fail(stage, inside(*args, **kwargs))
        finally:
            await stage.arun_teardown()

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            stage.load(*plugins)
            return inside(*args, **kwargs)
        finally:
            stage.run_teardown()

    return run_async if inspect.iscoroutinefunction(func) else run


async def _unless_tasks_fail(stage: plugin.Stage, test: Awaitable[Any]) -> Any:
    """Await the test; when a task of the stage fails meanwhile, cancel the test and make it fail with that error."""
    runner = asyncio.current_task()
    failed: list[tuple[str, BaseException]] = []

    def observe(name: str, error: BaseException) -> None:
        if not failed and runner is not None and not runner.done():
            runner.cancel()
        failed.append((name, error))

    stage.on_failure(observe)
    try:
        return await test
    finally:
        if failed and runner is not None:
            runner.uncancel()
            name, error = failed[0]
            # instead of the cancellation and its consequences
            raise pytest.fail.Exception(
                f"a task of the plugin {name} failed: {type(error).__name__}: {error}", pytrace=True
            ) from error


def _without_leaks(func: Callable[..., Any]) -> Callable[..., Any]:
    """Fail an async test that leaves tasks behind; they get three iterations of the event loop to end."""
    if not inspect.iscoroutinefunction(func):
        return func

    @functools.wraps(func)
    async def run(*args: Any, **kwargs: Any) -> Any:
        before = asyncio.all_tasks()
        result = await func(*args, **kwargs)
        for _ in range(3):
            await asyncio.sleep(0)
        leaked = asyncio.all_tasks() - before
        for task in leaked:
            task.cancel()
        if leaked:
            await asyncio.wait(leaked, timeout=1)
            pytest.fail("the test left tasks behind: " + ", ".join(sorted(repr(task.get_coro()) for task in leaked)))
        return result

    return run


def wrap_in_buvar_plugin_context(context: Components, func: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a sync or async function so that it runs with *context* installed."""
    from buvar.context import buvar_context as variable

    @contextlib.contextmanager
    def installed() -> Iterator[None]:
        token = variable.set(context)
        try:
            yield
        finally:
            variable.reset(token)

    @functools.wraps(func)
    async def run_async(*args: Any, **kwargs: Any) -> Any:
        with installed():
            return await func(*args, **kwargs)

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        with installed():
            return func(*args, **kwargs)

    return run_async if inspect.iscoroutinefunction(func) else run


@pytest.fixture
def buvar_config_source() -> buvar_config.ConfigSource:
    """The settings of the test, empty by default. Override this fixture to provide some."""
    from buvar.config import ConfigSource

    return ConfigSource()


@pytest.fixture
def buvar_context(buvar_config_source: buvar_config.ConfigSource) -> Components:
    """The components below the stage: those of the current context, and the settings."""
    from buvar import context

    components = context.push()
    components.add(buvar_config_source)
    return components


@pytest.fixture
def buvar_stage_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop for the blocking methods of `buvar_stage`; None lets the stage create one."""
    return None


@pytest.fixture
def buvar_stage(
    buvar_context: Components, buvar_stage_loop: asyncio.AbstractEventLoop | None
) -> Iterator[plugin.Stage]:
    """A stage on `buvar_context`; after the test, everything that its blocking methods opened is torn down."""
    from buvar.plugin import Stage

    stage = Stage(components=buvar_context, loop=buvar_stage_loop)
    yield stage
    if stage.loop is not None and not stage.loop.is_closed():
        stage.run_teardown()


@pytest.fixture
def buvar_load(buvar_stage: plugin.Stage) -> Callable[..., Awaitable[None]]:
    """The loader of the stage. Marked plugins are loaded already; everything is torn down after the test."""
    return buvar_stage.loader


@pytest.fixture
def buvar_plugin_context(buvar_stage: plugin.Stage) -> Components:
    """The context that all plugins share."""
    return buvar_stage.context


@pytest.fixture
def buvar_adapters_setup_contextvars() -> Iterator[di.Adapters]:
    """An empty registry of adapters for the duration of the test."""
    from buvar import di

    adapters = di.Adapters()
    token = di.buvar_adapters.set(adapters)
    yield adapters
    di.buvar_adapters.reset(token)


@pytest.fixture
def reset_buvar_context() -> Iterator[Components]:
    """An empty current context for the duration of the test."""
    from buvar.components import Components
    from buvar.context import buvar_context as variable

    components = Components()
    token = variable.set(components)
    yield components
    variable.reset(token)


@pytest.fixture
def reset_config_sections(monkeypatch: pytest.MonkeyPatch) -> dict[str | None, type]:
    """No section is claimed when the test starts; those that it claims are released afterwards."""
    from buvar.config import Config

    sections: dict[str | None, type] = {}
    monkeypatch.setattr(Config, "__buvar_config_sections__", sections)
    return sections


@pytest.fixture
def override() -> Iterator[Callable[[Any, Any], Any]]:
    """A function of a type and a value: until the end of the test, injection supplies that value for the type."""
    from buvar import di

    with contextlib.ExitStack() as stack:
        yield lambda type_, value: stack.enter_context(di.override(type_, value))


@pytest.fixture
def config(buvar_config_source: buvar_config.ConfigSource) -> Callable[..., buvar_config.ConfigSource]:
    """A function that merges settings into `buvar_config_source`: ``config(**{"db.url": "..."})``."""

    def set_values(**settings: Any) -> buvar_config.ConfigSource:
        for path, value in settings.items():
            *tables, key = path.split(".")
            tree: dict[str, Any] = {key: value}
            for table in reversed(tables):
                tree = {table: tree}
            buvar_config_source.merge(tree)
        return buvar_config_source

    return set_values


class Clock:
    """The time of the event loop of one test, which only changes when it is advanced.

    `asyncio.sleep`, timeouts and `loop.call_later` use it; `time.time` and blocking waits in threads do not.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._loop: Any = None

    def time(self) -> float:
        """The time in seconds, which `loop.time` returns in the test."""
        return self._now

    async def advance(self, seconds: float) -> None:
        """Advance the time. Callbacks that become due on the way run at their own time, in order, and whatever follows.

        Raises:
            ValueError: *seconds* is negative.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        end = self._now + seconds
        await self._calm_down()
        while (due := self._next()) is not None and due <= end:
            self._now = max(self._now, due)
            await self._calm_down()
        self._now = end
        await self._calm_down()

    def _next(self) -> float | None:
        waiting = [handle.when() for handle in self._loop._scheduled if not handle.cancelled()]  # noqa: SLF001 - asyncio has no public way
        return min(waiting, default=None)

    async def _calm_down(self) -> None:
        """Run everything that can run without advancing the time."""
        for _ in range(_PASSES):
            await asyncio.sleep(0)
            if not self._loop._ready:  # noqa: SLF001 - asyncio has no public way
                return

    def around(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap an async *func* so that it runs with this clock."""
        if not inspect.iscoroutinefunction(func):
            return func

        @functools.wraps(func)
        async def run(*args: Any, **kwargs: Any) -> Any:
            loop: Any = asyncio.get_running_loop()
            if not hasattr(loop, "_scheduled"):
                pytest.fail(f"the clock cannot move the time of {type(loop).__module__}: use the loop of asyncio")
            # whole seconds, so that sums of them are exact
            self._loop, self._now = loop, float(math.ceil(loop.time()))
            loop.time = self.time
            try:
                return await func(*args, **kwargs)
            finally:
                del loop.time

        return run


@pytest.fixture
def clock() -> Clock:
    """The time of the test: ``await clock.advance(3600)`` makes one hour pass at once."""
    return Clock()


@pytest.fixture
def leak_check() -> None:
    """Fail the test when it leaves asyncio tasks behind."""
