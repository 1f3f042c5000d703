"""What can be wrong with a plugin, and with how a stage is used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from buvar.errors import BuvarError


class PluginError(BuvarError):
    """A plugin cannot be loaded."""


class PluginFunctionError(PluginError, ValueError):
    """What should be a plugin is no coroutine function and no async generator function.

    Attributes:
        plugin: What was given.
    """

    def __init__(self, plugin: Any, what: str, *, fix: str = "write it as `async def prepare(...)`") -> None:
        super().__init__(what, fix=fix)
        self.plugin = plugin


class PluginNotFoundError(PluginError, ModuleNotFoundError):
    """The module of a plugin does not exist.

    Attributes:
        plugin: The dotted name that was given.
        name: The part of it that is no module.
    """

    def __init__(self, plugin: str, missing: str, *, fix: str) -> None:
        where = f"the plugin {plugin!r}" if plugin != missing else None
        super().__init__(f"there is no module {missing!r}", where=where, fix=fix)
        self.plugin = plugin
        self.name = missing


class PluginArgumentError(PluginError, TypeError):
    """An argument of a plugin cannot be provided.

    Attributes:
        plugin: Name of the plugin.
        argument: Name of the argument.
    """

    def __init__(self, plugin: str, argument: str, what: str, *, fix: str) -> None:
        super().__init__(f"the argument {argument!r} of the plugin {plugin} {what}", fix=fix)
        self.plugin = plugin
        self.argument = argument


class PluginResultError(PluginError, TypeError):
    """A plugin yielded or returned something that cannot be awaited.

    Attributes:
        plugin: Name of the plugin.
        value: What it gave.
    """

    def __init__(self, plugin: str, value: object) -> None:
        fix = "yield a coroutine, a future or another awaitable, or return nothing"
        if value is None:
            # what one writes who thinks of a context manager
            fix += "; to close something at the end, take `teardown: plugin.Teardown` and `await teardown.enter(...)`"
        super().__init__(f"the plugin {plugin} gave {value!r} where a task is expected", fix=fix)
        self.plugin = plugin
        self.value = value


class LoopRunningError(BuvarError, RuntimeError):
    """A synchronous method of a stage was called while an event loop runs in this thread.

    Attributes:
        method: Name of the method.
    """

    def __init__(self, method: str) -> None:
        super().__init__(
            f"{method}() blocks, and an event loop is running in this thread",
            fix="await Stage.arun(...) or one of its siblings, or enter `async with Stage().running(...)`",
        )
        self.method = method


class StageOverError(PluginError, RuntimeError):
    """A stage that was torn down was to load or to run something."""

    def __init__(self) -> None:
        super().__init__("this stage has ended, and a stage lives once", fix="make a new one: plugin.Stage(...)")


class LoadInterruptedError(PluginError):
    """The shutdown began while plugins were being loaded, so there is no stage to run a block on."""

    def __init__(self) -> None:
        super().__init__("a signal ended the stage while its plugins were being loaded")


class StuckTaskError(BuvarError, TimeoutError):
    """A task ignored its cancellation and was left behind; it is the task's result.

    Attributes:
        plugin: Name of the plugin that gave the task.
        patience: Seconds that it was waited for.
    """

    def __init__(self, plugin: str, patience: float) -> None:
        super().__init__(
            f"a task of the plugin {plugin} did not end within {patience:g} seconds after its cancellation",
            fix="let CancelledError through",
        )
        self.plugin = plugin
        self.patience = patience


class TeardownError(BuvarError, ExceptionGroup):
    """Entries of a teardown failed; all others ran nevertheless.

    Attributes:
        exceptions: What each raised, in the order in which they ran.
    """

    def __new__(cls, errors: Sequence[Exception]) -> Self:
        return super().__new__(cls, _text(errors), errors)

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__(_text(errors))

    def derive(self, excs: Sequence[Exception]) -> ExceptionGroup[Exception]:  # type: ignore[override]  # it holds no BaseException
        """A group of some of the exceptions, as `split` and `except*` make them."""
        return TeardownError(excs)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.exceptions,)


def _text(errors: Sequence[Exception]) -> str:
    title = f"{len(errors)} of the teardown's entries failed" if len(errors) > 1 else "an entry of the teardown failed"
    return "\n".join([title, *(f"  - {type(error).__name__}: {error}" for error in errors)])
