"""The component registry that the running code sees, in a context variable."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable, Coroutine, Generator, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar, overload

from buvar.components import MISSING, ComponentLookupError, Components

__all__ = [
    "ComponentLookupError",
    "Components",
    "StackingTaskFactory",
    "add",
    "buvar_context",
    "child",
    "current_context",
    "find",
    "get",
    "pop",
    "push",
    "run",
    "set_task_factory",
]

T = TypeVar("T")
D = TypeVar("D")
P = ParamSpec("P")
R = TypeVar("R")

#: The components of the running code. By default one registry for the whole process, shared by all threads.
buvar_context: contextvars.ContextVar[Components] = contextvars.ContextVar(
    "buvar.context",
    default=Components(),  # noqa: B039 - one shared registry is the point: modules fill it when they are imported
)


def current_context() -> Components:
    """The components of the running code."""
    return buvar_context.get()


def add(item: T, namespace: Hashable | None = None, *, name: Hashable | None = None) -> T:
    """Add an item to the newest layer of the current context; see `Components.add`.

    Returns:
        The item.

    Raises:
        ValueError: the item is a class.
    """
    return buvar_context.get().add(item, namespace, name=name)


@overload
def get(namespace: type[T], *, name: Hashable | None = None) -> T: ...
@overload
def get(namespace: type[T], *, name: Hashable | None = None, default: D) -> T | D: ...
@overload
def get(namespace: Hashable, *, name: Hashable | None = None, default: Any = ...) -> Any: ...
def get(namespace: Any, *, name: Hashable | None = None, default: Any = MISSING) -> Any:
    """The newest item under *namespace* and *name* in the current context; see `Components.get`.

    Raises:
        ComponentLookupError: there is no such item, and no *default* was given.
    """
    return buvar_context.get().get(namespace, name=name, default=default)


def find(namespace: Hashable) -> dict[Hashable, Any]:
    """All items under *namespace* in the current context, by name; `None` is the unnamed one."""
    return buvar_context.get().find(namespace)


def push(*stack: Mapping[Hashable, Mapping[Hashable, Any]]) -> Components:
    """A copy of the current context with *stack* on top, or an empty layer if none is given. It is not installed."""
    return buvar_context.get().push(*stack)


def pop() -> Components:
    """A copy of the current context without its newest layer. It is not installed."""
    return buvar_context.get().pop()


@contextmanager
def child(*stack: Mapping[Hashable, Mapping[Hashable, Any]]) -> Iterator[Components]:
    """Inside the block, the current context has the given layers on top; afterwards it is the previous one again."""
    token = buvar_context.set(push(*stack))
    try:
        yield buvar_context.get()
    finally:
        buvar_context.reset(token)


def run(components: Components) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a synchronous function so that each call runs with *components* installed.

    A call runs in a copy of its caller's context variables, so the caller does not see changes to them.
    """

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(func)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            variables = contextvars.copy_context()
            variables.run(buvar_context.set, components)
            return variables.run(func, *args, **kwargs)

        return call

    return decorate


class StackingTaskFactory:
    """A task factory that pushes a layer for every new task, so that the components it adds stay its own.

    A task created with an explicit ``context=`` runs in exactly that context, without a new layer.

    Args:
        parent_factory: Creates the tasks; `None` for plain `asyncio.Task`.
    """

    def __init__(self, parent_factory: Callable[..., asyncio.Future[Any]] | None = None) -> None:
        self.parent_factory = parent_factory
        self._previous: dict[asyncio.AbstractEventLoop, Any] = {}

    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        **options: Any,
    ) -> asyncio.Future[T]:
        """Create a task, as required by `asyncio.loop.set_task_factory`."""
        if options.get("context") is None:
            variables = contextvars.copy_context()
            variables.run(buvar_context.set, push())
            options["context"] = variables
        if self.parent_factory is not None:
            return self.parent_factory(loop, coro, **options)
        return asyncio.Task(coro, loop=loop, **options)

    def set(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Install it in *loop*, or in the running loop."""
        loop = loop or asyncio.get_running_loop()
        self._previous.setdefault(loop, loop.get_task_factory())
        loop.set_task_factory(self)

    def reset(self, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Restore the previous task factory of *loop*, or of the running loop."""
        loop = loop or asyncio.get_running_loop()
        loop.set_task_factory(self._previous.pop(loop, self.parent_factory))


def set_task_factory(loop: asyncio.AbstractEventLoop | None = None) -> StackingTaskFactory:
    """Give every new task of *loop*, or of the running loop, a layer of its own.

    Returns:
        The factory; its `StackingTaskFactory.reset` undoes it.
    """
    loop = loop or asyncio.get_running_loop()
    factory = StackingTaskFactory(loop.get_task_factory())
    factory.set(loop=loop)
    return factory
