"""Follow the changes of keys, including their values."""

from __future__ import annotations

import collections
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Self

from binp.home import Home
from binp.store.contract import Change, Store, StoreClosed

from ._entry import Entry, Event

__all__ = ["Watch"]

#: maximum number of keys per read, and of versions of one key
_PAGE, _VERSIONS = 200, 1000


class Watch:
    """The existing entries of the watched keys, then each change: ``async for entry in kv.watch("x")``.

    Nothing is buffered for a slow reader: what it missed is read from the history of the keys. So every change is
    yielded, in order per key, as long as it is in the history. After very many changes, or when another process has
    taken over the database, all watched keys are read again. The latest state of a key is always yielded.

    It ends when the home is closed. It can be dropped at any time without closing it. Only one task may iterate it.

    Args:
        opened: Opens the home if necessary, and returns it.
        namespace: The namespace of the keys.
        key: The key to watch, or None to watch a prefix.
        prefix: The prefix of the watched keys, if *key* is None.
    """

    def __init__(self, opened: Callable[[], Awaitable[Home]], namespace: str, key: str | None, prefix: str) -> None:
        self._opened = opened
        self._namespace = _plain(namespace)
        self._key = None if key is None else _plain(key)
        self._prefix = _plain(prefix)
        self._home: Home | None = None
        self._feed = ""
        self._cursor = 0
        #: last yielded version per key
        self._seen: dict[str, int] = {}
        #: those keys in `_seen` that no longer exist
        self._gone: set[str] = set()
        #: the name after which the survey of the keys continues; None when it is complete
        self._surveyed: str | None = None
        #: known keys that the survey has not found so far
        self._missing: set[str] = set()
        self._changes: collections.deque[tuple[str, int]] = collections.deque()
        self._entries: collections.deque[Entry] = collections.deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Entry:
        # each await may be cancelled: an item is removed from its list only after it was handled
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
        """Survey all keys, and follow the changes from here on."""
        self._feed, self._cursor = home.ring.feed, home.ring.last
        self._changes.clear()
        self._missing = set(self._seen)
        self._surveyed = ""

    async def _survey(self, store: Store, after: str) -> None:
        """Read the next page of keys, those after *after*."""
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
        # these keys are gone: find out later what happened to them
        self._changes.extend((key, self._seen[key] + 1) for key in self._missing)
        self._surveyed = None

    async def _tell(self, store: Store, key: str, version: int) -> None:
        """Queue the entries of *key* up to now, if *version* was not yielded yet."""
        told = self._seen.get(key, version - 1)
        if version <= told:
            return
        row = await store.get_key(self._namespace, key)
        if row is not None and row.version <= told:
            return
        entries = [] if row is None else [Entry.of(row)]
        if row is None or row.version > told + 1:
            kept = await store.get_key_history(self._namespace, key, after=told, limit=_VERSIONS)
            # for the current version, the row has more details than the history
            present = 0 if row is None else row.version
            entries += [Entry.of_version(self._namespace, key, each) for each in kept if each.version != present]
        if not entries and key in self._seen and key not in self._gone:
            # the history no longer says when the key was removed
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
        """Wait until there is something to do; False if nothing can come any more."""
        # removed keys were only remembered for the changes that were queued until now
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
        """The key and version of *change*, if the key is watched."""
        if change.topic != "kv":
            return None
        place = f"{self._namespace}/"
        name = str(change.id)
        key = name[len(place) :]
        # a slash in a namespace can make this match the wrong key; that yields nothing, because nothing changed there
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
    """*name* as it is stored: a lone surrogate is replaced by its escape sequence."""
    return name.encode("utf-8", "backslashreplace").decode()
