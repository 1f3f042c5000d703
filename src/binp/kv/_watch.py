"""Follow the changes of keys, with their values."""

from __future__ import annotations

import collections
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Self

from binp.home import Home
from binp.store.contract import Change, Store, StoreClosed

from ._entry import Entry, Event

__all__ = ["Watch"]

#: keys that are read at once, and versions of one key
_PAGE, _VERSIONS = 200, 1000


class Watch:
    """The present entries of the watched keys, then each change of them: ``async for entry in kv.watch("x")``.

    Nothing is stored for a reader who is busy: what it missed meanwhile is read from the history of the keys. So each
    change comes, in the order of its key, as long as the history has it. When very much has changed, or another process
    has taken the database over, all watched keys are looked at anew. What became of a key last always comes.

    It ends when the home is closed. It can be left at any time, and needs no closing. One task reads it.

    Args:
        opened: Opens the home, if it is not open.
        namespace: Where the keys are.
        key: The one that is watched, or None.
        prefix: How the names of the watched keys begin, if it is not one.
    """

    def __init__(self, opened: Callable[[], Awaitable[Home]], namespace: str, key: str | None, prefix: str) -> None:
        self._opened = opened
        self._namespace = _plain(namespace)
        self._key = None if key is None else _plain(key)
        self._prefix = _plain(prefix)
        self._home: Home | None = None
        self._feed = ""
        self._cursor = 0
        #: versions of the keys as far as they were told
        self._seen: dict[str, int] = {}
        #: those of them that are not there any more
        self._gone: set[str] = set()
        #: where the survey of the keys is; None when it is done
        self._surveyed: str | None = None
        #: what was there before the survey, and was not found by it yet
        self._missing: set[str] = set()
        self._changes: collections.deque[tuple[str, int]] = collections.deque()
        self._entries: collections.deque[Entry] = collections.deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        # whatever is waited for may be cancelled: what is to be done is taken off its list when it is done
        try:
            while not self._entries:
                if self._home is None:
                    self._home = await self._opened()
                    self._begin(self._home)
                elif self._surveyed is not None:
                    await self._survey(self._home.store, self._surveyed)
                elif self._changes:
                    await self._tell(self._home.store, *self._changes[0])
                    self._changes.popleft()
                elif not await self._wait(self._home):
                    raise StopAsyncIteration
        except StoreClosed:
            raise StopAsyncIteration from None
        return self._entries.popleft()

    def _begin(self, home: Home) -> None:
        """Look at all keys, and follow the changes from here on."""
        self._feed, self._cursor = home.ring.feed, home.ring.last
        self._changes.clear()
        self._missing = set(self._seen)
        self._surveyed = ""

    async def _survey(self, store: Store, after: str) -> None:
        """Look at some of the keys, those behind *after*."""
        if self._key is None:
            rows = await store.list_keys(self._namespace, prefix=self._prefix, after=after, limit=_PAGE)
        else:
            row = await store.get_key(self._namespace, self._key)
            rows = [] if row is None else [row]
        for row in rows:
            self._missing.discard(row.key)
            if row.key in self._seen:
                self._changes.append((row.key, row.version))
            else:
                self._add(Entry.of(row))
        if self._key is None and len(rows) == _PAGE:
            self._surveyed = rows[-1].key
            return
        # it is found out later what became of them
        self._changes.extend((key, self._seen[key] + 1) for key in self._missing)
        self._surveyed = None

    async def _tell(self, store: Store, key: str, version: int) -> None:
        """Add what became of *key* up to now, if *version* was not told yet."""
        told = self._seen.get(key, version - 1)
        if version <= told:
            return
        row = await store.get_key(self._namespace, key)
        if row is not None and row.version <= told:
            return
        entries = [] if row is None else [Entry.of(row)]
        if row is None or row.version > told + 1:
            kept = await store.get_key_history(self._namespace, key, after=told, limit=_VERSIONS)
            # of the present one more is known than its history says
            present = 0 if row is None else row.version
            entries += [Entry.of_version(self._namespace, key, each) for each in kept if each.version != present]
        if not entries and key in self._seen and key not in self._gone:
            # so many keys were removed since then that it is not known any more when this one was
            entries.append(_removed(self._namespace, key, version))
        for entry in sorted(entries, key=lambda each: each.version):
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self._seen[entry.key] = entry.version
        if entry.event is Event.SET:
            self._gone.discard(entry.key)
        else:
            self._gone.add(entry.key)

    async def _wait(self, home: Home) -> bool:
        """Wait until there is something to do. False if nothing will come any more."""
        # their versions were of use as long as changes of them were waiting
        for key in self._gone:
            del self._seen[key]
        self._gone.clear()
        ring = home.ring
        while ring.is_open:
            if ring.feed != self._feed:
                self._begin(home)
                return True
            reading = ring.after(self._cursor)
            if reading.is_gap:
                self._begin(home)
                return True
            self._cursor = reading.cursor
            self._changes.extend(found for change in reading.items if (found := self._wanted(change)))
            if self._changes:
                return True
            if not reading.items:
                with ring.waiter() as waiter:
                    await waiter
        return False

    def _wanted(self, change: Change) -> tuple[str, int] | None:
        """The key that *change* is about, with its version, if it is watched."""
        if change.topic != "kv":
            return None
        place = f"{self._namespace}/"
        name = str(change.id)
        key = name[len(place) :]
        # a slash in a name may make it look like another one, in which nothing new is found then
        is_wanted = name.startswith(place) and (key.startswith(self._prefix) if self._key is None else key == self._key)
        return (key, change.rev) if is_wanted else None


def _removed(namespace: str, key: str, version: int) -> Entry:
    return Entry(
        namespace=namespace,
        key=key,
        value=None,
        version=version,
        event=Event.REMOVED,
        has_value=False,
        updated_at=datetime.now(UTC),
    )


def _plain(name: str) -> str:
    """*name* as it is kept: half of a surrogate pair becomes its escape."""
    return name.encode("utf-8", "backslashreplace").decode()
