"""Which of the commands that are kept in the store are still to be obeyed here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Generator
from typing import Any

from binp.store.contract import Ack, ServiceRow, StoreError

__all__ = ["Commanded", "Wishes"]


class Commanded:
    """A command that was given to a service. Await it to have it committed, or leave it.

    Raises:
        StoreError: where it is awaited: it could not be kept. Where the services run it is obeyed all the same.
    """

    def __init__(self, ack: Ack[Any] | StoreError | None) -> None:
        self._ack = ack

    def __await__(self) -> Generator[Any, None, None]:
        if isinstance(self._ack, StoreError):
            raise self._ack
        if self._ack is not None:
            yield from self._ack.__await__()


class Wishes:
    """Commands for services, told apart by what each of them carries: clocks do not do.

    A command that is given where the services run is obeyed at once, and kept for whoever takes over. When it is
    committed it comes back, among those of other processes, and is not obeyed a second time. Whatever is committed last
    is obeyed in the end. Only that is read; of those before it the row tells the last that said the contrary.
    """

    def __init__(self) -> None:
        #: services of which something was commanded here since :meth:`settled`
        self._given: set[str] = set()
        self._sent: Ack[Any] | None = None
        #: the last of them, whoever waited for it
        self._last: Ack[Any] | None = None
        #: the latest that was obeyed
        self._obeyed: dict[str, str | None] = {}
        #: the latest to start, and the latest to stop, that were given here or seen
        self._seen: dict[tuple[str, bool], str | None] = {}

    def give(self, name: str, running: bool) -> str:
        """A command is given and obeyed here. Returns what it is to be kept with."""
        wish = secrets.token_hex(8)
        self._given.add(name)
        self._obeyed[name] = self._seen[name, running] = wish
        return wish

    def sent(self, ack: Ack[Any] | StoreError | None) -> Commanded:
        """A command that was given here is on its way, unless it cannot be kept."""
        self._last = None if isinstance(ack, StoreError) else ack
        self._sent = self._last or self._sent
        return Commanded(ack)

    def obeyed(self, name: str) -> str | None:
        """What the last command was kept with that was obeyed here."""
        return self._obeyed.get(name)

    async def kept(self) -> None:
        """Wait until the last command that was given here is committed, so that no crash undoes it.

        Raises:
            StoreError: it could not be kept.
        """
        if self._last is not None:
            await self._last

    async def settled(self) -> None:
        """Wait until what was given here is committed, so that what is read from here on is not older.

        Raises:
            StoreError: it could not be kept. Told once.
        """
        while (sent := self._sent) is not None:
            try:
                await sent
            except asyncio.CancelledError:
                # only this one does not wait any more: it is on its way still
                raise
            except BaseException:
                self._forget(sent)
                raise
            self._forget(sent)
        self._given.clear()

    def _forget(self, sent: Ack[Any]) -> None:
        if self._sent is sent:
            self._sent = None

    def news(self, row: ServiceRow) -> list[bool]:
        """What is to be done here because of what is committed, in order: to start (True) and to stop it (False).

        It then counts as obeyed. The row was read after :meth:`settled`.
        """
        if row.name in self._given:
            # given while it was read, and committed after it
            return []
        last, other = (row.name, bool(row.desired)), (row.name, not row.desired)
        # of what was before it was looked at first nothing is to be done any more
        is_news_before = self._seen.get(other, row.before) != row.before
        self._seen[last], self._seen[other] = row.wish, row.before
        if self._obeyed.get(row.name) == row.wish:
            return []
        self._obeyed[row.name] = row.wish
        return [not row.desired, bool(row.desired)] if is_news_before else [bool(row.desired)]
