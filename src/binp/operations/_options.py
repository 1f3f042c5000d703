"""Check the options of decorators, and suggest what was meant."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from binp.errors import BinpError
from buvar.names import did_you_mean

__all__ = ["UnknownOption", "check_numbers", "labels_of", "with_known_options"]

#: options that must be text in all decorators
_TEXTS = frozenset({"name", "operation", "description"})

Call = TypeVar("Call", bound=Callable[..., Any])


class UnknownOption(BinpError, TypeError):
    """A decorator was given an unknown option.

    Attributes:
        decorator: The decorator as it is written: ``@binp.action``.
        option: The name of the option.
    """

    def __init__(self, decorator: str, option: str, known: Sequence[str], where: str) -> None:
        near = did_you_mean(option, known)
        fix = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
        super().__init__(f"{decorator} has no option {option!r}", where=where, fix=fix)
        self.decorator = decorator
        self.option = option


def with_known_options(decorator: str) -> Callable[[Call], Call]:
    """Let a decorator, written as *decorator*, reject unknown keywords with a helpful message.

    The signature is kept, for people and for type checkers.

    Raises:
        UnknownOption: on a call with an unknown option.
        BinpError: on a call with a name or a description that is not text.
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
    """Check that all options are numbers.

    Raises:
        BinpError: one is not.
    """
    for option, value in options.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            is_quoted = isinstance(value, str) and value.replace(".", "", 1).isdecimal()
            fix = f"write {option}={value}" if is_quoted else "write a number"
            raise BinpError(f"{option}={value!r} is not a number", fix=fix)


def labels_of(given: Iterable[str]) -> tuple[str, ...]:
    """The labels in the option ``labels``; a single text is one label.

    Raises:
        BinpError: a label is not text.
    """
    labels = (given,) if isinstance(given, str) else tuple(given)
    for label in labels:
        if not isinstance(label, str):
            raise BinpError(f"the label {label!r} is not text", fix=f"write it in quotes: {str(label)!r}")
    return labels
