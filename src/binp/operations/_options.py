"""Refuse options of decorators that there are none of, or that are of another type, and say what was meant."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from binp.errors import BinpError
from buvar.names import did_you_mean

__all__ = ["UnknownOption", "check_numbers", "labels_of", "with_known_options"]

#: options that are texts in all decorators
_TEXTS = frozenset({"name", "operation", "description"})

Call = TypeVar("Call", bound=Callable[..., Any])


class UnknownOption(BinpError, TypeError):
    """A decorator was given an option that it does not have.

    Attributes:
        decorator: Which one, as it is written: ``@binp.action``.
        option: The name that it was given.
    """

    def __init__(self, decorator: str, option: str, known: Sequence[str], where: str) -> None:
        near = did_you_mean(option, known)
        fix = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
        super().__init__(f"{decorator} has no option {option!r}", where=where, fix=fix)
        self.decorator = decorator
        self.option = option


def with_known_options(decorator: str) -> Callable[[Call], Call]:
    """Have the decorator that is written as *decorator* refuse, in words, what it does not know by keyword.

    The signature stays, for people and for type checkers.

    Raises:
        UnknownOption: when it is called with an option that it does not have.
        BinpError: when a name or a description is not text.
    """

    def decorate(call: Call) -> Call:
        parameters = inspect.signature(call).parameters.values()
        known = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]

        @functools.wraps(call)
        def checked(*args: Any, **options: Any) -> Any:
            for option, value in options.items():
                if option not in known:
                    caller = sys._getframe(1)  # noqa: SLF001 - documented in CPython
                    raise UnknownOption(decorator, option, known, f"{caller.f_code.co_filename}:{caller.f_lineno}")
                if option in _TEXTS and value is not None and not isinstance(value, str):
                    raise BinpError(
                        f"{option}={value!r} is not text", fix=f"write it in quotes: {option}={str(value)!r}"
                    )
            return call(*args, **options)

        return cast("Call", checked)

    return decorate


def check_numbers(**options: object) -> None:
    """Refuse what is to be a number, and is something else.

    Raises:
        BinpError: one is.
    """
    for option, value in options.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            is_quoted = isinstance(value, str) and value.replace(".", "", 1).isdecimal()
            fix = f"write {option}={value}" if is_quoted else "write a number"
            raise BinpError(f"{option}={value!r} is not a number", fix=fix)


def labels_of(given: Iterable[str]) -> tuple[str, ...]:
    """The labels that ``labels=`` says; one alone may be written as it is.

    Raises:
        BinpError: one is not text.
    """
    labels = (given,) if isinstance(given, str) else tuple(given)
    for label in labels:
        if not isinstance(label, str):
            raise BinpError(f"the label {label!r} is not text", fix=f"write it in quotes: {str(label)!r}")
    return labels
