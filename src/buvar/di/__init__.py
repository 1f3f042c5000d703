"""Dependency injection: register adapters, ask for a type, and have it built from the components of the context."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, overload

from buvar.components import Components
from buvar.context import buvar_context

from ._adapters import Adapter, Lifetime
from ._errors import AdapterError, ResolveError
from ._inject import Inject, hide_injected, injected
from ._override import Override
from ._registry import Adapters, buvar_adapters
from ._scope import Application, Scope

__all__ = [
    "Adapter",
    "AdapterError",
    "Adapters",
    "Application",
    "Inject",
    "Lifetime",
    "Override",
    "ResolveError",
    "Scope",
    "application",
    "buvar_adapters",
    "explain",
    "inject",
    "injected",
    "lookup",
    "nject",
    "override",
    "register",
    "scope",
    "validate",
]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def register(*implementations: Any, replace: bool = False, scope: Lifetime = "call") -> None:
    """Register adapters in the current registry; see `Adapters.register`.

    Raises:
        AdapterError: an implementation cannot be used as an adapter.
        ValueError: there is no such *scope*.
    """
    frame = sys._getframe(1)  # noqa: SLF001 - local classes are found in the caller's frame
    buvar_adapters.get().register(*implementations, replace=replace, scope=scope, frame=frame)


@overload
async def nject(target: type[T], /, **dependencies: Any) -> T: ...
@overload
async def nject(*targets: Any, **dependencies: Any) -> Any: ...
async def nject(*targets: Any, **dependencies: Any) -> Any:
    """Build the *targets* with the current registry; see `Adapters.nject`.

    Returns:
        For one target the object, for several a list in their order, for none ``[]``.

    Raises:
        ResolveError: a target cannot be built, or it needs a scope or an application and none is open.
        AdapterError: the annotations of a candidate adapter cannot be evaluated.
        ValueError: a keyword is a class.
    """
    return await buvar_adapters.get()._nject_in(buvar_context.get(), targets, dependencies)  # noqa: SLF001 - saves a call


def lookup(type_: Any) -> list[Adapter]:
    """The adapters of the current registry that can provide *type_*, best first."""
    return buvar_adapters.get().lookup(type_)


def scope(components: Components | None = None) -> Scope:
    """A scope on the current context, or on *components*: ``async with di.scope() as scope:``; see `Scope`."""
    return Scope(buvar_adapters.get(), components)


def application(components: Components | None = None) -> Application:
    """The application scope, for ``scope="app"``: ``async with di.application():``; see `Application`."""
    return buvar_adapters.get().application(components)


def override(type_: Any, value: Any) -> Override:
    """Inside the ``with`` or ``async with`` block, every request for *type_* gets *value*; see `Adapters.override`."""
    return buvar_adapters.get().override(type_, value)


def inject(func: F) -> F:
    """Supply the ``Inject[...]`` parameters of *func*, from a new scope for each call.

    Uses the registry that is current at the time of the call. See `Adapters.inject`.

    Raises:
        AdapterError: an annotation that looks like ``Inject[...]`` cannot be evaluated.
    """
    return hide_injected(func, sys._getframe(1), buvar_adapters.get)  # noqa: SLF001 - local names are found in the caller's frame


def validate(targets: Iterable[Any], provided: Iterable[Any] = ()) -> None:
    """Check that *targets* can be built, without building anything; see `Adapters.validate`.

    Raises:
        ResolveError: at least one target cannot be built.
        AdapterError: an adapter's annotations cannot be evaluated.
    """
    buvar_adapters.get().validate(targets, provided)


def explain(target: Any) -> str:
    """Where *target* and its dependencies would come from in the current context, drawn as a tree.

    Raises:
        ResolveError: it cannot be built.
    """
    return buvar_adapters.get().explain(target)
