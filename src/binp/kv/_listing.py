"""Iterate over many keys page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, Generic, TypeVar

from binp.store.contract import KeyValue

__all__ = ["Listing"]

T = TypeVar("T")

#: keys per page
_PAGE = 200


class Listing(Generic[T]):
    """The keys of a namespace, sorted by name: await it for a list, or iterate over it.

    Iteration reads one page at a time, so memory use does not depend on the number of keys. A key that is created or
    removed during the iteration may or may not be included.

    Args:
        read: Reads a page: takes the name to start after, and the maximum number of keys.
        made: Converts a row to the item that is returned.
        after: Start after this name.
        limit: Maximum number of keys; None for all.
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
