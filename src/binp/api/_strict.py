"""Request models that reject unknown members, and suggest what was meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from buvar.names import did_you_mean

__all__ = ["Strict", "not_known"]


class Strict(BaseModel):
    """Base of request models: an unknown member is rejected, with a suggestion."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(value)
        except ValidationError as error:
            raise ValidationError.from_exception_data(error.title, [cls._told(one) for one in error.errors()]) from None

    @classmethod
    def _told(cls, problem: Any) -> InitErrorDetails:
        text = problem["msg"]
        if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
            text = not_known(str(problem["loc"][0]), cls.model_fields)
        elif problem["type"] == "missing":
            text = "is required"
        # passed as a value, because braces in the text must not be formatted
        kind = PydanticCustomError(problem["type"], "{text}", {"text": text})
        return InitErrorDetails(type=kind, loc=problem["loc"], input=problem["input"])


def not_known(name: str, known: Iterable[str]) -> str:
    """The message for an unknown *name* where *known* ones are accepted."""
    near = did_you_mean(name, known)
    if near is not None:
        return f"is not known; did you mean {near!r}?"
    return f"is not known; known: {', '.join(known) or 'none'}"
