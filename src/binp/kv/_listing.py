"""Go through many keys a page at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

from binp.store.contract import KeyValue

__all__ = ["Listing"]

T = TypeVar("T")

#: keys that are read at once
_PAGE = 200


class Listing(Generic[T]):
    """What was asked for of the keys of a namespace, by name: await it to have a list, or go through it.

    Going through it reads a page at a time, so that any number of keys takes little memory; a key that comes or goes
    meanwhile is seen or not.

    Args:
        read: Asks for a page: behind this name, so many.
        made: What is wanted of a key.
        after: Begin behind this name.
        limit: At most so many; None for all.
    """

    def __init__(
        self,
        read: Callable[[str, int], Awaitable[list[KeyValue]]],
        made: Callable[[KeyValue], T],
        after: str,
        limit: int | None,
    ) -> None:
        self._read = read
        self._made = made
        self._after = after
        self._limit = limit

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._all().__await__()

    def __aiter__(self) -> AsyncIterator[T]:
        return self._each()

    async def _all(self) -> list[T]:
        return [each async for each in self]

    async def _each(self) -> AsyncIterator[T]:
        after, left = self._after, self._limit
        while left is None or left > 0:
            most = _PAGE if left is None else min(left, _PAGE)
            rows = await self._read(after, most)
            for row in rows:
                yield self._made(row)
            if len(rows) < most:
                return
            after = rows[-1].key
            left = None if left is None else left - len(rows)
