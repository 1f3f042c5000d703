"""Models of requests that refuse what they do not know, and say what was meant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from buvar.names import did_you_mean

__all__ = ["Strict", "not_known"]


class Strict(BaseModel):
    """What is sent to the platform: a member that is misspelt is refused, with the one that is like it."""

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
        # a text with braces is no template
        kind = PydanticCustomError(problem["type"], "{text}", {"text": text})
        return InitErrorDetails(type=kind, loc=problem["loc"], input=problem["input"])


def not_known(name: str, known: Iterable[str]) -> str:
    """What is said of the name of something that is not taken, where *known* ones are."""
    near = did_you_mean(name, known)
    if near is not None:
        return f"is not known; did you mean {near!r}?"
    return f"is not known; known: {', '.join(known) or 'none'}"
