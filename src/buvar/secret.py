"""A value that is never shown: its type, its mask, and how forms and configuration read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, NoReturn, Self, TypeVar, get_args

__all__ = ["MASK", "REDACTED", "Secret"]

T = TypeVar("T")

#: What is shown instead of a secret, everywhere.
MASK: Final = "***"

#: Regular expressions for names whose values are secret, case-insensitive.
REDACTED: Final = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "authorization",
    "cookie",
    "api_?key",
    "private_?key",
)

#: The reason for a rejected value when the real one could reveal it.
_NO_REASON: Final = "not a valid value"


class Secret(Generic[T]):
    """Holds a value that must not end up in a log, a traceback, a form or a database.

    ``str``, ``repr`` and ``format`` return the mask. Two secrets are equal, and have the same hash, when their values
    are. A secret cannot be pickled; copying it returns the object itself.

    As a field of a pydantic model, ``Secret[T]`` accepts a ``T`` or a ``Secret[T]``, never shows a rejected value,
    dumps to JSON as the mask, and has ``format: password`` and ``writeOnly`` in the JSON schema. A dump to Python
    objects keeps the `Secret`.

    Args:
        value: The value to hide.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """The hidden value; the caller must keep it secret from here on."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: pickle would write its value in the clear")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> dict[str, Any]:
        """How pydantic validates and dumps it; as plain dictionaries, so that pydantic need not be imported here."""
        inner = handler.generate_schema(next(iter(get_args(source)), Any))
        return {
            "type": "chain",
            # wrapped first: if the second step fails, pydantic quotes the mask
            "steps": [
                {"type": "function-plain", "function": {"type": "no-info", "function": _hide}},
                {"type": "function-wrap", "function": {"type": "no-info", "function": _validate}, "schema": inner},
            ],
            "serialization": {"type": "function-plain", "function": _dump, "info_arg": True},
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: dict[str, Any], handler: Any) -> dict[str, Any]:
        """The JSON schema of the value, marked as write-only and as a password."""
        return {**handler(schema["steps"][1]["schema"]), "format": "password", "writeOnly": True}


def _hide(value: Any) -> Secret[Any]:
    return value if isinstance(value, Secret) else Secret(value)


def _dump(value: Any, info: Any) -> Any:
    return value if info.mode == "python" else MASK


def _validate(secret: Secret[Any], handler: Callable[[Any], Any]) -> Secret[Any]:
    try:
        return Secret(handler(secret.reveal()))
    except ValueError as error:  # pydantic's ValidationError is a ValueError, and quotes the rejected value
        problems = error.errors(include_input=False) if hasattr(error, "errors") else []
    raise ValueError("; ".join(_reason(problem) for problem in problems) or _NO_REASON)


def _reason(problem: dict[str, Any]) -> str:
    """Pydantic's own message; the message of a custom validator could quote the value, so it is not used."""
    is_own = "url" in problem and problem["type"] not in {"value_error", "assertion_error"}
    return str(problem["msg"]) if is_own else _NO_REASON
