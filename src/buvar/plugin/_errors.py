"""The errors of plugins and of the stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from buvar.errors import BuvarError


class PluginError(BuvarError):
    """A plugin cannot be loaded."""


class PluginFunctionError(PluginError, ValueError):
    """A plugin is neither a coroutine function nor an async generator function.

    Attributes:
        plugin: The given object.
    """

    def __init__(self, plugin: Any, what: str, *, fix: str = "write it as `async def prepare(...)`") -> None:
        super().__init__(what, fix=fix)
        self.plugin = plugin


class PluginNotFoundError(PluginError, ModuleNotFoundError):
    """The module of a plugin does not exist.

    Attributes:
        plugin: The given dotted name.
        name: The part of it that is not a module.
    """

    def __init__(self, plugin: str, missing: str, *, fix: str) -> None:
        where = f"the plugin {plugin!r}" if plugin != missing else None
        super().__init__(f"there is no module {missing!r}", where=where, fix=fix)
        self.plugin = plugin
        self.name = missing


class PluginArgumentError(PluginError, TypeError):
    """An argument of a plugin cannot be supplied.

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
        value: The value.
    """

    def __init__(self, plugin: str, value: object) -> None:
        fix = "yield a coroutine, a future or another awaitable, or return nothing"
        if value is None:
            # a typical mistake: the plugin is written like a context manager
            fix += "; to close something at the end, take `teardown: plugin.Teardown` and `await teardown.enter(...)`"
        elif callable(value):
            fix = "call it: what it returns is awaited"
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
    """A stage that was torn down cannot load or run anything."""

    def __init__(self) -> None:
        super().__init__("this stage has ended, and a stage lives once", fix="make a new one: plugin.Stage(...)")


class LoadInterruptedError(PluginError):
    """The shutdown began while plugins were being loaded, so the block cannot run."""

    def __init__(self) -> None:
        super().__init__("a signal ended the stage while its plugins were being loaded")


class StuckTaskError(BuvarError, TimeoutError):
    """A task ignored its cancellation and was abandoned; this error is its result.

    Attributes:
        plugin: Name of the plugin that provided the task.
        patience: Seconds that the stage waited for it.
    """

    def __init__(self, plugin: str, patience: float) -> None:
        super().__init__(
            f"a task of the plugin {plugin} did not end within {patience:g} seconds after its cancellation",
            fix="let CancelledError through",
        )
        self.plugin = plugin
        self.patience = patience


class TeardownError(BuvarError, ExceptionGroup):
    """Entries of a teardown failed; all others still ran.

    Attributes:
        exceptions: The exceptions that they raised, in the order in which they ran.
    """

    def __new__(cls, errors: Sequence[Exception]) -> Self:
        return super().__new__(cls, _text(errors), errors)

    def __init__(self, errors: Sequence[Exception]) -> None:
        super().__init__(_text(errors))

    def derive(self, excs: Sequence[Exception]) -> ExceptionGroup[Exception]:  # type: ignore[override]  # it holds no BaseException
        """A group of some of the exceptions, for `split` and `except*`."""
        return TeardownError(excs)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.exceptions,)


def _text(errors: Sequence[Exception]) -> str:
    title = f"{len(errors)} of the teardown's entries failed" if len(errors) > 1 else "an entry of the teardown failed"
    return "\n".join([title, *(f"  - {type(error).__name__}: {error}" for error in errors)])
