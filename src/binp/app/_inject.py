"""Teach FastAPI about ``Inject[T]`` parameters, which do not come from the request."""

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
    """Let every route, dependency and WebSocket that is defined from now on have ``Inject[...]`` parameters.

    FastAPI has no hook for this: one function of its own analyses each parameter, and that function is wrapped. Other
    parameters are passed on unchanged. It covers everything that FastAPI analyses: routes of the application and of any
    ``APIRouter``, and dependencies at any depth, sync and async, including ``dependency_overrides``. Idempotent.

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
    """One scope per request, shared by everything that is injected into it; closed after the response."""
    async with di.scope() as scope:
        yield scope


def _supplier(name: str, annotation: Any, default: Any) -> Callable[..., Any] | None:
    """A FastAPI dependency that supplies an ``Inject`` parameter; None if the parameter is not one."""

    def wanted() -> None:
        """Carry the parameter in its signature."""

    parameter = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
    setattr(wanted, "__signature__", inspect.Signature([parameter]))  # noqa: B010 - functions declare no such attribute
    if not di.injected(wanted):
        return None

    # as a default, not as an annotation: FastAPI would evaluate the text of an annotation in this module
    async def supply(scope: di.Scope = Depends(_request_scope)) -> Any:  # noqa: B008 - FastAPI's syntax for dependencies
        found = await scope.provide(wanted)
        return found.get(name, default)

    return supply
