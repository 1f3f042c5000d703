"""An operation, and the properties that are derived from its function."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

from binp.errors import BinpError

from ._base import base_of
from ._form import BoundCall, Form
from ._policy import Policy

__all__ = [
    "Operation",
    "check_callable",
    "check_importable",
    "default_description",
    "default_name",
    "is_async",
    "place",
]


def default_name(function: Callable[..., Any]) -> str:
    """The qualified name without the module: the same if the file is run as a script or imported (decision 12)."""
    base = base_of(function)
    return str(getattr(base, "__qualname__", type(base).__qualname__))


def default_description(function: Callable[..., Any]) -> str:
    """The docstring, with stripped lines and without outer blank lines; empty if there is none."""
    lines = [line.strip() for line in (getattr(function, "__doc__", None) or "").splitlines()]
    return "\n".join(lines).strip("\n")


def is_async(function: Callable[..., Any]) -> bool:
    """Whether *function* is async; others run in a thread."""
    if type(function) is FunctionType and function.__code__.co_flags & inspect.CO_COROUTINE:
        # the common case first: this is called for each run
        return True
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004 - the method itself is wanted, not whether there is one


def place(function: Callable[..., Any]) -> str:
    """``file:line`` of the definition, if known."""
    base = base_of(function)
    code = getattr(base, "__code__", None)
    if code is None:
        return str(getattr(base, "__module__", "unknown"))
    return f"{code.co_filename}:{code.co_firstlineno}"


def check_callable(function: Callable[..., Any], decorator: str) -> None:
    """Check that *function* is a single execution with an end, and not an unbound method, except for a journal.

    Raises:
        BinpError: *function* is not callable, is a generator function, is an unbound method, or is a class method that
            is not one of a class yet.
    """
    given: object = function
    if isinstance(given, classmethod):
        if decorator == "@binp.journal":
            raise BinpError(
                f"{decorator} got the class method {default_name(given.__func__)!r}, which cannot be called as it is",
                where=place(given.__func__),
                fix=f"swap the two decorators: write @classmethod above {decorator}",
            )
        raise _loose(decorator, given.__func__)
    if not callable(function):
        raise BinpError(
            f"{decorator} got {function!r}, which is not a function",
            fix=f"write {decorator} above a function, or give its options by keyword: {decorator}(name=...)",
        )
    base = base_of(function)
    if inspect.isgeneratorfunction(base) or inspect.isasyncgenfunction(base):
        raise BinpError(
            f"{decorator} got the generator function {default_name(function)!r}",
            where=place(function),
            fix="return a value, and say what happens on the way with binp.journal.record(...)",
        )
    if decorator != "@binp.journal" and _is_loose(function):
        raise _loose(decorator, function)


def _loose(decorator: str, method: Callable[..., Any]) -> BinpError:
    name = default_name(method)
    return BinpError(
        f"{decorator} got the method {name!r}, and what calls it would not know on which object",
        where=place(method),
        fix=f"give it the method of an object, below the class: {decorator[1:]}(thing.{name.rpartition('.')[2]})",
    )


def _is_loose(function: Callable[..., Any]) -> bool:
    """Whether *function* is an unbound method."""
    base = base_of(function)
    if "." not in str(getattr(base, "__qualname__", "")).rpartition("<locals>.")[2]:
        return False
    try:
        first = next(iter(inspect.signature(function).parameters.values()), None)
    except (TypeError, ValueError):
        # without a signature, its parameters are unknown
        return False
    return first is not None and first.name in ("self", "cls") and first.annotation is first.empty


def check_importable(function: Callable[..., Any]) -> None:
    """Check that another process can find *function* by importing its module.

    Raises:
        BinpError: *function* is defined inside another function.
    """
    if "<locals>" in default_name(function):
        raise BinpError(
            f"process=True needs a function that another process can import, and {default_name(function)!r} is inside "
            "another one",
            where=place(function),
            fix="define it at the top of the module",
        )


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A function that the platform knows by name."""

    #: ``action``, ``journal``, ``service`` or ``schedule``
    kind: str
    name: str
    #: the decorated function, possibly with other decorators below
    function: Callable[..., Any]
    description: str = ""
    policy: Policy = field(default_factory=Policy)

    @functools.cached_property
    def base(self) -> Callable[..., Any]:
        """The innermost function; it identifies the operation in any order of decorators."""
        return base_of(self.function)

    @functools.cached_property
    def where(self) -> str:
        """``file:line`` of its definition."""
        return place(self.function)

    @functools.cached_property
    def file(self) -> str | None:
        """The file of its definition; None if it is not defined in a file."""
        code = getattr(self.base, "__code__", None)
        found = None if code is None else str(code.co_filename)
        return None if found is None or found.startswith("<") else found

    @functools.cached_property
    def form(self) -> Form:
        """The form of its parameters; created at first use.

        Raises:
            FormError: a parameter's type is not supported.
        """
        return Form(self.function, f"{self.kind} {self.name!r}", self.where)

    def slot(self, call: BoundCall) -> str | None:
        """The concurrency slot that *call* needs; None if its runs are not limited."""
        concurrency = self.policy.concurrency
        return None if concurrency is None else concurrency.slot(self.kind, self.name, call.recorded)

    def question(self, call: BoundCall) -> str | None:
        """The confirmation to ask for before *call* is started by hand; None for none.

        Raises:
            BinpError: the function that returns it failed.
        """
        confirm = self.policy.confirm
        if not callable(confirm):
            return confirm
        try:
            return confirm(**call.kwargs)
        except Exception as error:
            raise BinpError(
                f"what to ask before {self.name!r} is started cannot be said: {type(error).__name__}: {error}",
                where=self.where,
                fix="let confirm take the parameters of the action by their names",
            ) from error
