"""Keep track of which stored commands are still to be obeyed here."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Generator
from typing import Any

from binp.store.contract import Ack, ServiceRow, StoreError

__all__ = ["Commanded", "Wishes"]


class Commanded:
    """A command for a service. Await it to have it committed, or ignore it.

    Raises:
        StoreError: when awaited: it could not be stored. The process that runs the services obeys it all the same.
    """

    def __init__(self, ack: Ack[Any] | StoreError | None) -> None:
        self._ack = ack

    def __await__(self) -> Generator[Any, None, None]:
        if isinstance(self._ack, StoreError):
            raise self._ack
        if self._ack is not None:
            yield from self._ack.__await__()


class Wishes:
    """Commands for services, identified by a random token each, because clocks are not reliable.

    A command given where the services run is obeyed immediately, and stored for the process that takes over. Once
    committed, it is reported back like those of other processes, but not obeyed again. Finally, the last committed
    command is in effect. Only that one is read; of the earlier ones, the row has the token of the last opposite
    command.
    """

    def __init__(self) -> None:
        #: services that got a command here since :meth:`settled`
        self._given: set[str] = set()
        self._sent: Ack[Any] | None = None
        #: the last of them, even if it was awaited
        self._last: Ack[Any] | None = None
        #: the last obeyed command per service
        self._obeyed: dict[str, str | None] = {}
        #: the last start and the last stop per service that were given here or read
        self._seen: dict[tuple[str, bool], str | None] = {}

    def give(self, name: str, running: bool) -> str:
        """Note a command that is given and obeyed here. Returns the token to store with it."""
        wish = secrets.token_hex(8)
        self._given.add(name)
        self._obeyed[name] = self._seen[name, running] = wish
        # the row tells of nothing before it: what it says of the contrary from then on is news
        self._seen[name, not running] = None
        return wish

    def sent(self, ack: Ack[Any] | StoreError | None) -> Commanded:
        """Note that a command given here is being stored, or cannot be."""
        self._last = None if isinstance(ack, StoreError) else ack
        self._sent = self._last or self._sent
        return Commanded(ack)

    def obeyed(self, name: str) -> str | None:
        """The token of the last command that was obeyed here."""
        return self._obeyed.get(name)

    async def kept(self) -> None:
        """Wait until the last command given here is committed, so that it survives a crash.

        Raises:
            StoreError: it could not be stored.
        """
        if self._last is not None:
            await self._last

    async def settled(self) -> None:
        """Wait until all commands given here are committed, so that a read from here on includes them.

        Raises:
            StoreError: one could not be stored. Raised once.
        """
        while (sent := self._sent) is not None:
            try:
                await sent
            except asyncio.CancelledError:
                # only this caller stops waiting: the write continues
                raise
            except BaseException:
                self._forget(sent)
                # what the row tells of before that is as unknown as at first
                self._seen = {seen: wish for seen, wish in self._seen.items() if seen[0] not in self._given}
                raise
            self._forget(sent)
        self._given.clear()

    def _forget(self, sent: Ack[Any]) -> None:
        if self._sent is sent:
            self._sent = None

    def news(self, row: ServiceRow) -> list[bool]:
        """What to do here because of the committed commands, in order: start (True) and stop (False).

        They count as obeyed from here on. The row must have been read after :meth:`settled`.
        """
        if row.name in self._given:
            # given while the row was being read, and committed after it
            return []
        last, other = (row.name, bool(row.desired)), (row.name, not row.desired)
        # commands from before the first read are not obeyed any more
        is_news_before = self._seen.get(other, row.before) != row.before
        self._seen[last], self._seen[other] = row.wish, row.before
        if self._obeyed.get(row.name) == row.wish:
            return []
        self._obeyed[row.name] = row.wish
        return [not row.desired, bool(row.desired)] if is_news_before else [bool(row.desired)]
