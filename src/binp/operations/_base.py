"""Find the function below its decorators and partials."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["JOURNALED", "base_of", "journal_of", "without_journal"]

#: attribute of a function that journals itself; ``functools.wraps`` copies it to other decorators' wrappers
JOURNALED = "__binp_journal__"


def base_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The innermost function, below decorators and partials; it identifies an operation in any order of decorators."""
    while True:
        inner: Callable[..., Any] = inspect.unwrap(function)
        if isinstance(inner, functools.partial):
            inner = inner.func
        if inner is function:
            return function
        function = inner


def journal_of(function: Callable[..., Any]) -> Any:
    """The operation under which *function* journals itself; None if it does not."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, JOURNALED, None)


def without_journal(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function below the journal, if that is the outermost decorator of *function*; otherwise *function* itself.

    For a run that exists already. The journal would not wait for a thread that cannot be stopped.
    """
    journal = journal_of(function)
    inner: Callable[..., Any] | None = getattr(function, "__wrapped__", None)
    return inner if journal is not None and inner is not None and inner is journal.function else function
