"""Small public helpers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, ParamSpec, TypeVar, cast

from buvar.names import fqdn, resolve_dotted_name

__all__ = ["adict", "cached", "fqdn", "merge_dict", "methdispatch", "resolve_dotted_name"]

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound=Callable[..., Any])


class adict(dict[str, Any]):  # noqa: N801 - named by the contract
    """A dict whose items are also attributes."""

    def __getattr__(self, name: str) -> Any:
        """Raises: AttributeError: there is no such key."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(name) from None


def merge_dict(*sources: Mapping[Any, Any], dest: MutableMapping[Any, Any] | None = None) -> MutableMapping[Any, Any]:
    """Merge mappings deeply: nested mappings are merged, everything else is replaced; later sources take precedence.

    The sources are not changed, and the result shares no mapping with them.

    Args:
        sources: The mappings to merge, in increasing precedence.
        dest: The mapping to merge into, with lowest precedence; None for a new dict.

    Returns:
        *dest*.
    """
    merged: MutableMapping[Any, Any] = {} if dest is None else dest
    for source in sources:
        for key, value in source.items():
            if isinstance(value, Mapping):
                below = merged.get(key)
                merged[key] = merge_dict(value, dest=below if isinstance(below, MutableMapping) else None)
            else:
                merged[key] = value
    return merged


def cached(func: Callable[P, R]) -> Callable[P, R]:
    """Cache the results of *func* for each set of (hashable) arguments."""
    return cast("Callable[P, R]", functools.cache(func))


def methdispatch(func: M) -> M:
    """Like `functools.singledispatch`, for methods: dispatches on the first argument after ``self``.

    Add implementations with ``name.register(cls)`` inside the class body.
    """
    dispatcher = functools.singledispatch(func)

    @functools.wraps(func)
    def call(self: Any, arg: Any, /, *args: Any, **kwargs: Any) -> Any:
        return dispatcher.dispatch(type(arg))(self, arg, *args, **kwargs)

    vars(call)["register"] = dispatcher.register
    return cast("M", call)
