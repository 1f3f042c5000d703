"""Replace the provider of a type by a fixed value for the duration of a block."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class Overrides:
    """All active overrides of one registry.

    Args:
        lock: Held while they change.
        on_change: Called after each change.
    """

    def __init__(self, lock: threading.RLock, on_change: Callable[[], None]) -> None:
        self._lock = lock
        self._on_change = on_change
        self._all: dict[object, tuple[Any, Any]] = {}
        #: Type to (value, override); the newest override per type. The dict is replaced, never changed.
        self.current: dict[Any, tuple[Any, object]] = {}

    def put(self, override: object, type_: Any, value: Any) -> None:
        """Activate an override."""
        with self._lock:
            self._all[override] = (type_, value)
            self._count()

    def drop(self, override: object) -> None:
        """Deactivate an override."""
        with self._lock:
            del self._all[override]
            self._count()

    def _count(self) -> None:
        self.current = {type_: (value, override) for override, (type_, value) in self._all.items()}
        self._on_change()


class Override:
    """Overrides a type inside a ``with`` or ``async with`` block; see `Adapters.override`."""

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
