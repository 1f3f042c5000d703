"""Convert dotted names to objects and back, and suggest a name for a misspelt one."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import sys
from collections.abc import Iterable
from typing import Any

__all__ = ["absolute_name", "did_you_mean", "fqdn", "resolve_dotted_name"]


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The known name that is closest to *name*, or `None` when none is close.

    A name that differs only in case is the closest. An exact match is not a suggestion.
    """
    candidates = sorted(set(known) - {name})
    same = [candidate for candidate in candidates if candidate.casefold() == name.casefold()]
    if same:
        return same[0]
    near = difflib.get_close_matches(name, candidates, n=1)
    return near[0] if near else None


def fqdn(obj: object) -> str:
    """The dotted name of a class, function or module; for any other object, that of its class.

    A method has the name under which it was defined. A class of `builtins` has no module prefix.
    """
    if inspect.ismodule(obj):
        return obj.__name__
    named = obj if hasattr(obj, "__qualname__") else type(obj)
    module = getattr(named, "__module__", None)
    qualname = str(named.__qualname__)
    return qualname if module in {None, "builtins"} else f"{module}.{qualname}"


def absolute_name(name: Any, package: str | None) -> Any:
    """Resolve the leading dots of a dotted name relative to *package*; anything else is returned unchanged.

    Raises:
        ImportError: the name is relative, and *package* is empty or not nested deeply enough.
    """
    if not isinstance(name, str) or not name.startswith("."):
        return name
    path, colon, attribute = name.partition(":")
    if not package:
        raise ImportError(f"{path!r} is relative, but its caller is in no package", name=path)
    try:
        return importlib.util.resolve_name(path, package) + colon + attribute
    except ImportError:
        raise ImportError(f"{path!r} points beyond the top of package {package!r}", name=path) from None


def resolve_dotted_name(name: Any, *, caller: int = 0) -> Any:
    """Import the object with a dotted name.

    Args:
        name: ``"package.module"``, ``"package.module:attribute"`` (the attribute may be dotted), or either with leading
            dots, relative to the package of the caller. Anything but a string is returned unchanged.
        caller: Number of frames above the calling one from which to read the package.

    Returns:
        The module or the attribute.

    Raises:
        ModuleNotFoundError: there is no such module.
        ImportError: the module has no such attribute, or the name is relative and the caller is not in a package.
        ValueError: the name is empty, has an empty part, or has more than one colon.
    """
    if not isinstance(name, str):
        return name
    path, colon, attribute = name.partition(":")
    if not path or ":" in attribute or (colon and not attribute):
        raise ValueError(f"{name!r} is not a dotted name: expected 'package.module' or 'package.module:attribute'")
    if path.startswith("."):
        path = absolute_name(path, sys._getframe(caller + 1).f_globals.get("__package__"))  # noqa: SLF001 - documented
    found: Any = importlib.import_module(path)
    for part in attribute.split(".") if attribute else ():
        try:
            found = getattr(found, part)
        except AttributeError:
            near = did_you_mean(part, dir(found))
            hint = f", did you mean {near!r}?" if near else ""
            raise ImportError(f"{name!r}: {fqdn(found)} has no attribute {part!r}{hint}", name=path) from None
    return found
