"""Teach FastAPI what ``Inject[T]`` is: a parameter that the request does not carry."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import fastapi.dependencies.utils
from fastapi import Depends

from binp.errors import BinpError
from buvar import di

__all__ = ["install"]

_MARK = "_binp_reads_inject"


def install() -> None:
    """Let every route, dependency and WebSocket that is defined from here on have ``Inject[...]`` parameters.

    FastAPI asks one function of its own what a parameter is, and has no hook there; so that function is wrapped. What
    is no ``Inject`` it sees unchanged. This reaches whatever FastAPI reads: routes of the application and of any
    ``APIRouter``, dependencies at any depth, sync and async, also where they are replaced by ``dependency_overrides``.
    Idempotent.

    Raises:
        BinpError: this version of FastAPI has no such function.
    """
    module = fastapi.dependencies.utils
    original = getattr(module, "analyze_param", None)
    if original is None:
        raise BinpError(
            f"FastAPI {fastapi.__version__} reads parameters in a way that is not known",
            fix="install an older version of FastAPI",
        )
    if hasattr(original, _MARK):
        return

    def analyze_param(*, annotation: Any, value: Any, param_name: str, **options: Any) -> Any:
        supply = _supplier(param_name, annotation, value)
        if supply is not None:
            annotation, value = Annotated[Any, Depends(supply)], inspect.Signature.empty
        return original(annotation=annotation, value=value, param_name=param_name, **options)

    setattr(analyze_param, _MARK, True)
    module.analyze_param = analyze_param


async def _request_scope() -> AsyncIterator[di.Scope]:
    """One scope for a request, shared by all that is injected into it; closed when the response is done."""
    async with di.scope() as scope:
        yield scope


def _supplier(name: str, annotation: Any, default: Any) -> Callable[..., Any] | None:
    """A dependency of FastAPI's that gives the value of an ``Inject`` parameter; None if it is another one."""

    def wanted() -> None:
        """Stands for the parameter alone."""

    parameter = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
    setattr(wanted, "__signature__", inspect.Signature([parameter]))  # noqa: B010 - functions declare no such attribute
    if not di.injected(wanted):
        return None

    # given as a default, not as an annotation, which FastAPI would look up by its text in this module's names
    async def supply(scope: di.Scope = Depends(_request_scope)) -> Any:  # noqa: B008 - FastAPI's way to say it
        found = await scope.provide(wanted)
        return found.get(name, default)

    return supply
