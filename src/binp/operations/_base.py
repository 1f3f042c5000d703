"""Find the function below its decorators and partials."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["JOURNALED", "base_of", "journal_of"]

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
