"""A value that is never shown: its type, its mask, and how forms and configuration read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, NoReturn, Self, TypeVar, get_args

__all__ = ["MASK", "REDACTED", "Secret"]

T = TypeVar("T")

#: What is shown in place of a secret, everywhere.
MASK: Final = "***"

#: Words in a name that tell that what is called so is nobody's business: regular expressions, in any case.
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

#: What is said of a rejected value when saying more could show it.
_NO_REASON: Final = "not a valid value"


class Secret(Generic[T]):
    """Holds a value that must not end up in a log, a traceback, a form or a database.

    ``str``, ``repr`` and ``format`` give the mask. Two secrets are equal, and hash alike, when their values do. It
    cannot be pickled; copies are the object itself. As the type of a pydantic field, ``Secret[T]`` takes a ``T`` or a
    ``Secret[T]``,
    never shows a rejected value, dumps to JSON as the mask and marks its JSON schema ``format: password`` and
    ``writeOnly``. A dump to Python objects keeps the `Secret`.

    Args:
        value: What to hide.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """The hidden value; from here on keeping it secret is up to the caller."""
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
        """How pydantic validates and dumps it, in plain dictionaries, so that pydantic is not imported here."""
        inner = handler.generate_schema(next(iter(get_args(source)), Any))
        return {
            "type": "chain",
            # hidden first: what pydantic quotes when the second step fails is then the mask
            "steps": [
                {"type": "function-plain", "function": {"type": "no-info", "function": _hide}},
                {"type": "function-wrap", "function": {"type": "no-info", "function": _validate}, "schema": inner},
            ],
            "serialization": {"type": "function-plain", "function": _dump, "info_arg": True},
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: dict[str, Any], handler: Any) -> dict[str, Any]:
        """The JSON schema of the value, marked as one to be typed in and never read back."""
        return {**handler(schema["steps"][1]["schema"]), "format": "password", "writeOnly": True}


def _hide(value: Any) -> Secret[Any]:
    return value if isinstance(value, Secret) else Secret(value)


def _dump(value: Any, info: Any) -> Any:
    return value if info.mode == "python" else MASK


def _validate(secret: Secret[Any], handler: Callable[[Any], Any]) -> Secret[Any]:
    try:
        return Secret(handler(secret.reveal()))
    except ValueError as error:  # pydantic's ValidationError is one, and quotes the rejected value
        problems = error.errors(include_input=False) if hasattr(error, "errors") else []
    raise ValueError("; ".join(_reason(problem) for problem in problems) or _NO_REASON)


def _reason(problem: dict[str, Any]) -> str:
    """What pydantic says in its own words; those of other people's validators may quote the value."""
    is_own = "url" in problem and problem["type"] not in {"value_error", "assertion_error"}
    return str(problem["msg"]) if is_own else _NO_REASON
