"""The operations of one BINP, by kind and name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from binp.errors import BinpError
from buvar.names import did_you_mean

from ._base import base_of, journal_of
from ._operation import Operation

__all__ = ["Operations", "UnknownOperation"]


class UnknownOperation(BinpError, LookupError):
    """No operation is registered under this name.

    Attributes:
        kind: The requested kind.
        name: The requested name.
    """

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        near = did_you_mean(name, known)
        fix = f"did you mean {near!r}?" if near else f"known: {', '.join(map(repr, sorted(known))) or 'none'}"
        super().__init__(f"there is no {kind} named {name!r}", fix=fix)
        self.kind = kind
        self.name = name


class Operations:
    """Operations in the order of their definition; a redefinition replaces the earlier one in its place."""

    def __init__(self) -> None:
        self._by_kind: dict[str, dict[str, Operation]] = {}
        # by identity of the base function, which the operation keeps alive: functions need not be hashable
        self._journals: dict[int, Operation] = {}

    def add(self, operation: Operation, *, logger: logging.Logger) -> None:
        """Register *operation*; a name that was defined elsewhere is replaced, with a warning on *logger*."""
        kind = self._by_kind.setdefault(operation.kind, {})
        old = kind.get(operation.name)
        if old is not None and old.where != operation.where:
            logger.warning(
                "redefining %s %r: %s => %s", _WORDS[operation.kind], operation.name, old.where, operation.where
            )
        kind[operation.name] = operation
        if operation.kind == "journal":
            if old is not None and self._journals.get(id(old.base)) is old:
                del self._journals[id(old.base)]
            self._journals[id(operation.base)] = operation

    def get(self, kind: str, name: str) -> Operation:
        """The operation with that name.

        Raises:
            UnknownOperation: there is none.
        """
        try:
            return self._by_kind[kind][name]
        except KeyError:
            raise UnknownOperation(kind, name, list(self._by_kind.get(kind, ()))) from None

    def started(self, name: str) -> Operation:
        """What was started under *name*: an action, or the function of a schedule, which need not be one.

        Raises:
            UnknownOperation: there is neither.
        """
        schedules = self._by_kind.get("schedule", {})
        if name in schedules and name not in self._by_kind.get("action", {}):
            return schedules[name]
        return self.get("action", name)

    def find(self, kind: str, function: Callable[..., Any]) -> Operation | None:
        """The newest operation of that kind with the same innermost function as *function*."""
        journal = journal_of(function) if kind == "journal" else None
        if isinstance(journal, Operation):
            return journal
        base = base_of(function)
        if kind == "journal":
            return self._journals.get(id(base))
        # a bound method is a new object at each access, so compare with ==
        return next((found for found in reversed(self.all(kind)) if found.base is base or found.base == base), None)

    def all(self, kind: str) -> list[Operation]:
        """All operations of one kind, in the order of their first definition."""
        return list(self._by_kind.get(kind, {}).values())


_WORDS = {"action": "UI action", "journal": "journal", "service": "service", "schedule": "schedule"}
