"""Reject unknown query parameters, and suggest what was meant."""

from __future__ import annotations

from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from ._strict import not_known

__all__ = ["check_query"]


async def check_query(connection: HTTPConnection) -> None:
    """A dependency of each route: a misspelt parameter is an error, instead of being ignored.

    Raises:
        RequestValidationError: the query has an unknown parameter.
    """
    scope = connection.scope
    route = scope.get("route")
    if not scope["query_string"] or not isinstance(route, APIRoute):
        return
    known = _known(route)
    unknown = [name for name in connection.query_params if known is not None and name not in known]
    if unknown:
        raise RequestValidationError([_problem(name, connection.query_params[name], known or ()) for name in unknown])


def _problem(name: str, value: str, known: tuple[str, ...]) -> dict[str, Any]:
    return {"type": "extra_forbidden", "loc": ("query", name), "msg": not_known(name, known), "input": value}


def _known(route: APIRoute) -> tuple[str, ...] | None:
    """The query parameters of *route*; None if a model of its own checks them."""
    fields = [field for each in _all(route.dependant) for field in each.query_params]
    if any(_is_model(field.field_info.annotation) for field in fields):
        return None
    return tuple(field.alias for field in fields)


def _all(dependant: Dependant) -> list[Dependant]:
    return [dependant, *(each for part in dependant.dependencies for each in _all(part))]


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
