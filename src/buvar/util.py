"""Small helpers that the documented surface of the kernel keeps public."""

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
    """A dict whose items are attributes as well."""

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
    """Merge mappings, the later winning; mappings in the same place are merged in turn, everything else is replaced.

    The sources stay as they are and no mapping of theirs is shared with the result.

    Args:
        sources: What to merge, weakest first.
        dest: Merged into in place, below all sources; a new dict when `None`.

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
    """Call *func* once for each set of (hashable) arguments and remember what it returned."""
    return cast("Callable[P, R]", functools.cache(func))


def methdispatch(func: M) -> M:
    """Like `functools.singledispatch`, for methods: dispatches on the first argument after ``self``.

    Implementations are added with ``name.register(cls)`` inside the class body.
    """
    dispatcher = functools.singledispatch(func)

    @functools.wraps(func)
    def call(self: Any, arg: Any, /, *args: Any, **kwargs: Any) -> Any:
        return dispatcher.dispatch(type(arg))(self, arg, *args, **kwargs)

    vars(call)["register"] = dispatcher.register
    return cast("M", call)
