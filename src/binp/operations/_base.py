"""Look through decorators and partials to the function that is meant."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

__all__ = ["JOURNALED", "base_of", "journal_of"]

#: attribute of a function that keeps history by itself; it passes through other decorators with ``functools.wraps``
JOURNALED = "__binp_journal__"


def base_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The innermost function, below decorators and partials: what identifies it whatever is around it."""
    while True:
        inner: Callable[..., Any] = inspect.unwrap(function)
        if isinstance(inner, functools.partial):
            inner = inner.func
        if inner is function:
            return function
        function = inner


def journal_of(function: Callable[..., Any]) -> Any:
    """The operation under which *function* keeps history by itself; None if it does not."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, JOURNALED, None)
