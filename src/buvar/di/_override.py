"""Stand-ins for types, for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Override:
    """Stands in for a type from entering to leaving, by ``with`` or ``async with``; see `override`."""

    def __init__(
        self, install: Callable[[object, Any, Any], None], remove: Callable[[object], None], type_: Any, value: Any
    ) -> None:
        self._install = install
        self._remove = remove
        self._type = type_
        self._value = value

    def __enter__(self) -> Any:
        self._install(self, self._type, self._value)
        return self._value

    def __exit__(self, *details: object) -> None:
        self._remove(self)

    async def __aenter__(self) -> Any:
        return self.__enter__()

    async def __aexit__(self, *details: object) -> None:
        self._remove(self)
