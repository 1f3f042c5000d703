"""The order of services that come after others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from binp.errors import BinpError
from buvar.names import did_you_mean

__all__ = ["check_circle", "check_known", "in_order"]


def in_order(after: Mapping[str, Sequence[str]]) -> list[str]:
    """The names in an order in which each follows all that it comes after; otherwise the given order is kept."""
    placed: dict[str, None] = {}
    for name in after:
        _place(name, after, placed, set())
    return list(placed)


def _place(name: str, after: Mapping[str, Sequence[str]], placed: dict[str, None], seen: set[str]) -> None:
    if name in seen or name in placed or name not in after:
        return
    seen.add(name)
    for other in after[name]:
        _place(other, after, placed, seen)
    placed[name] = None


def check_circle(name: str, after: Mapping[str, Sequence[str]]) -> None:
    """Check that *name* does not come after itself.

    Raises:
        BinpError: it does.
    """
    circle = _path(name, name, after, set())
    if circle is not None:
        raise BinpError(
            f"service {name!r} would wait for itself: {' after '.join(circle)}", fix="take one of them out of after="
        )


def _path(start: str, end: str, after: Mapping[str, Sequence[str]], seen: set[str]) -> list[str] | None:
    for other in after.get(start, ()):
        if other == end:
            return [start, end]
        if other not in seen:
            seen.add(other)
            rest = _path(other, end, after, seen)
            if rest is not None:
                return [start, *rest]
    return None


def check_known(names: Iterable[str], after: Mapping[str, Sequence[str]]) -> None:
    """Check that all services exist that *names* come after.

    Raises:
        BinpError: one does not.
    """
    for name in names:
        for other in after[name]:
            if other not in after:
                others = sorted(set(after) - {name})
                near = did_you_mean(other, others)
                known = f"name one of {', '.join(map(repr, others))}" if others else "leave it out: there is no other"
                fix = f"did you mean {near!r}?" if near else known
                raise BinpError(f"service {name!r} comes after {other!r}, which is not a service", fix=fix)
