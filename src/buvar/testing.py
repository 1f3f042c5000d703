"""Pytest fixtures and the marker that put a test into a plugin's context.

A mark that is called with one function decorates that function, as all marks of pytest do; so a single plugin that is a
function is marked as ``pytest.mark.buvar_plugins.with_args(prepare)``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

# pytest loads this module in every project where the package is installed: the rest of it is imported when it is used
if TYPE_CHECKING:
    from buvar import config as buvar_config
    from buvar import di, plugin
    from buvar.components import Components

__all__ = [
    "buvar_adapters_setup_contextvars",
    "buvar_config_source",
    "buvar_context",
    "buvar_load",
    "buvar_plugin_context",
    "buvar_stage",
    "buvar_stage_loop",
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


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers", f"{_MARKER}(plugin, ...): load the plugins before the test and run it in the context that they share"
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give a marked test the fixtures that its marker needs."""
    if isinstance(item, pytest.Function) and item.get_closest_marker(_MARKER):
        for name in ("reset_config_sections", "buvar_stage"):
            if name not in item.fixturenames:
                item.fixturenames.append(name)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Run a test with our marker or fixtures inside its stage, on the loop that its own runner gives it."""
    marker = item.get_closest_marker(_MARKER)
    funcargs: Mapping[str, Any] = getattr(item, "funcargs", {})
    if not isinstance(item, pytest.Function) or (marker is None and not {"buvar_load", "leak_check"} & set(funcargs)):
        return (yield)
    func = item.obj
    stage: plugin.Stage | None = funcargs.get("buvar_stage")
    wrapped = _without_leaks(func) if "leak_check" in funcargs else func
    if stage is not None:
        marks = [] if marker is None else list(item.iter_markers(_MARKER))
        wrapped = _on_stage(stage, [each for mark in reversed(marks) for each in mark.args], wrapped)
    item.obj = wrapped
    try:
        return (yield)
    finally:
        item.obj = func


def _on_stage(stage: plugin.Stage, plugins: list[Any], func: Callable[..., Any]) -> Callable[..., Any]:
    inside = wrap_in_buvar_plugin_context(stage.context, func)

    @functools.wraps(func)
    async def run_async(*args: Any, **kwargs: Any) -> Any:
        try:
            await stage.aload(*plugins)
            return await inside(*args, **kwargs)
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


def _without_leaks(func: Callable[..., Any]) -> Callable[..., Any]:
    """Fail an asynchronous test that leaves tasks behind, after giving them three passes of the loop to end."""
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
    """Make *func*, synchronous or asynchronous, run with *context* installed."""
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
    """The settings of the test; empty. Override it to give some."""
    from buvar.config import ConfigSource

    return ConfigSource()


@pytest.fixture
def buvar_context(buvar_config_source: buvar_config.ConfigSource) -> Components:
    """The components that the stage stands on: those of the current context, and the settings."""
    from buvar import context

    components = context.push()
    components.add(buvar_config_source)
    return components


@pytest.fixture
def buvar_stage_loop() -> asyncio.AbstractEventLoop | None:
    """The loop for the blocking methods of `buvar_stage`; None lets the stage make one."""
    return None


@pytest.fixture
def buvar_stage(
    buvar_context: Components, buvar_stage_loop: asyncio.AbstractEventLoop | None
) -> Iterator[plugin.Stage]:
    """A stage on `buvar_context`; what its blocking methods left open is torn down after the test."""
    from buvar.plugin import Stage

    stage = Stage(components=buvar_context, loop=buvar_stage_loop)
    yield stage
    if stage.loop is not None and not stage.loop.is_closed():
        stage.run_teardown()


@pytest.fixture
def buvar_load(buvar_stage: plugin.Stage) -> Callable[..., Awaitable[None]]:
    """The loader of the stage; marked plugins are loaded already, and everything is torn down after the test."""
    return buvar_stage.loader


@pytest.fixture
def buvar_plugin_context(buvar_stage: plugin.Stage) -> Components:
    """The context that all plugins share."""
    return buvar_stage.context


@pytest.fixture
def buvar_adapters_setup_contextvars() -> Iterator[di.Adapters]:
    """An empty registry of adapters for the time of the test."""
    from buvar import di

    adapters = di.Adapters()
    token = di.buvar_adapters.set(adapters)
    yield adapters
    di.buvar_adapters.reset(token)


@pytest.fixture
def reset_buvar_context() -> Iterator[Components]:
    """An empty current context for the time of the test."""
    from buvar.components import Components
    from buvar.context import buvar_context as variable

    components = Components()
    token = variable.set(components)
    yield components
    variable.reset(token)


@pytest.fixture
def reset_config_sections(monkeypatch: pytest.MonkeyPatch) -> dict[str | None, type]:
    """No section is taken at the beginning of the test, and those that it takes are free again afterwards."""
    from buvar.config import Config

    sections: dict[str | None, type] = {}
    monkeypatch.setattr(Config, "__buvar_config_sections__", sections)
    return sections


@pytest.fixture
def override() -> Iterator[Callable[[Any, Any], Any]]:
    """Call it with a type and a value: until the end of the test, injection gives that value for the type."""
    from buvar import di

    with contextlib.ExitStack() as stack:
        yield lambda type_, value: stack.enter_context(di.override(type_, value))


@pytest.fixture
def config(buvar_config_source: buvar_config.ConfigSource) -> Callable[..., buvar_config.ConfigSource]:
    """Call it with settings to merge them into `buvar_config_source`: ``config(**{"db.url": "..."})``."""

    def set_values(**settings: Any) -> buvar_config.ConfigSource:
        for path, value in settings.items():
            *tables, key = path.split(".")
            tree: dict[str, Any] = {key: value}
            for table in reversed(tables):
                tree = {table: tree}
            buvar_config_source.merge(tree)
        return buvar_config_source

    return set_values


@pytest.fixture
def leak_check() -> None:
    """The test fails when it leaves tasks of asyncio behind."""
