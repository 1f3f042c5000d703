"""Stand-ins for types, for as long as a block lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Overrides:
    """All overrides of one registry that are in force.

    Args:
        lock: Held while they change.
        on_change: Called after each change.
    """

    def __init__(self, lock: threading.RLock, on_change: Callable[[], None]) -> None:
        self._lock = lock
        self._on_change = on_change
        self._all: dict[object, tuple[Any, Any]] = {}
        #: Type to value and the override that it comes from; the newest one of each type. Replaced, never changed.
        self.current: dict[Any, tuple[Any, object]] = {}

    def put(self, override: object, type_: Any, value: Any) -> None:
        """Put an override in force."""
        with self._lock:
            self._all[override] = (type_, value)
            self._count()

    def drop(self, override: object) -> None:
        """End an override."""
        with self._lock:
            del self._all[override]
            self._count()

    def _count(self) -> None:
        self.current = {type_: (value, override) for override, (type_, value) in self._all.items()}
        self._on_change()


class Override:
    """Stands in for a type from entering to leaving, by ``with`` or ``async with``; see `Adapters.override`."""

    def __init__(self, overrides: Overrides, type_: Any, value: Any) -> None:
        self._overrides = overrides
        self._type = type_
        self._value = value

    def __enter__(self) -> Any:
        self._overrides.put(self, self._type, self._value)
        return self._value

    def __exit__(self, *details: object) -> None:
        self._overrides.drop(self)

    async def __aenter__(self) -> Any:
        return self.__enter__()

    async def __aexit__(self, *details: object) -> None:
        self._overrides.drop(self)
