"""Which tables and keys nobody reads because they are misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

#: How alike two names are at least when one is taken for the other misspelt: a warning must not be a false alarm.
_ALIKE: Final = 0.8


def misspelt(
    tree: Mapping[str, Any], asked: Collection[tuple[str, ...]], known: Iterable[str] = ()
) -> Iterator[tuple[tuple[Any, ...], str]]:
    """What nobody asked for, and is called nearly like something beside it that was asked for and is not there.

    Args:
        tree: All settings.
        asked: The paths of all settings that were asked for.
        known: Dotted paths of sections that somebody will ask for.

    Yields:
        The path, and how its last part should most likely be spelt.
    """
    owned = {path[:end] for path in asked for end in range(1, len(path) + 1)}
    owned |= {tuple(name.split(".")[:end]) for name in known for end in range(1, name.count(".") + 2)}
    seen = set()
    for path in sorted(asked):
        missing = _missing(tree, path)
        if missing is None:
            continue
        parent, node = missing
        for key in node:
            spelling = str(key).replace("-", "_")
            where = (*parent, key)
            wanted = path[len(parent)]
            if (*parent, spelling) not in owned and where not in seen and _is_alike(spelling, wanted):
                seen.add(where)
                yield where, wanted


def _missing(tree: Mapping[str, Any], path: tuple[str, ...]) -> tuple[tuple[str, ...], Mapping[str, Any]] | None:
    """How far a path leads into the tree, and the table there; None when it leads to its end, or to no table."""
    node: Any = tree
    for end, part in enumerate(path):
        if not isinstance(node, Mapping):
            return None
        spellings = {str(key).replace("-", "_"): key for key in node}
        if part not in spellings:
            return path[:end], node
        node = node[spellings[part]]
    return None


def _is_alike(name: str, wanted: str) -> bool:
    name, wanted = name.casefold(), wanted.casefold()
    return sorted(name) == sorted(wanted) or difflib.SequenceMatcher(None, name, wanted).ratio() >= _ALIKE
