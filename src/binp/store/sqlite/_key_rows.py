"""The keys that a batch uses, in memory from its start to its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from binp.store.contract import HISTORY, PutKey, RemoveKeys, SetKeys, Write

from ._file import File
from ._text import clean, clean_name, clean_text

__all__ = ["KEY_KINDS", "Key", "Keys"]

#: kinds of writes about keys
KEY_KINDS = frozenset({SetKeys.kind, RemoveKeys.kind, PutKey.kind})

#: longer values are not kept as past versions, in characters; the same as in the statement archive_keys
_LONGEST_PAST = 65536

#: number of keys to cache between batches
_REMEMBERED = 20_000


class _Version(NamedTuple):
    """A version that a key got in this batch."""

    number: int
    #: JSON text; None if it was removed
    value: str | None
    #: the write; None if it expired
    write: SetKeys | PutKey | RemoveKeys | None
    at: int

    @property
    def module(self) -> str | None:
        """The module of the saved class."""
        module = None if self.write is None or isinstance(self.write, RemoveKeys) else self.write.module
        return None if module is None else clean_name(module)

    @property
    def writer(self) -> tuple[int | None, int | None, str | None]:
        """The run that wrote it, with its epoch, and the actor."""
        write = self.write
        if write is None:
            return None, None, None
        return write.run, write.epoch, None if write.actor is None else clean_name(write.actor)


@dataclass(slots=True)
class Key:
    """The state of a key in the file, and what this batch makes of it."""

    namespace: str
    name: str
    version: int
    exists: bool = False
    #: microseconds since the epoch; None for never
    expires: int | None = None
    #: number of versions to keep, including the current one
    keep: int = HISTORY
    #: the version in the file, of a value or of a removal; 0 if there is neither
    filed: int = 0
    #: whether the file has a value
    is_filed: bool = False
    #: versions of this batch, oldest first
    made: list[_Version] = field(default_factory=list)

    def make(self, value: str | None, write: SetKeys | PutKey | RemoveKeys | None, at: int) -> None:
        """Add the next version."""
        self.version += 1
        self.exists = value is not None
        self.made.append(_Version(self.version, value, write, at))


class Keys:
    """The keys of a batch, and their new values.

    Args:
        file: The file; a transaction is open.
        now: Microseconds since the epoch; keys expired by then do not exist.
    """

    def __init__(self, file: File, now: int) -> None:
        self._file = file
        self._now = now
        self._keys: dict[tuple[str, str], Key] = {}
        #: the same by the names in the writes, which are not normalised
        self._given: dict[tuple[str, str], Key] = {}

    def load(self, writes: Sequence[Write]) -> None:
        """Read the versions of the keys in *writes*."""
        self.load_names(_names(writes))

    def load_names(self, names: Iterable[tuple[str, str]]) -> None:
        """Read the versions of keys, given as pairs of namespace and name."""
        known, wanted = self._given, []
        remembered, floor = self._file.present_keys, self._file.keys.floor
        for given in names:
            if given in known:
                continue
            pair = clean(given[0]), clean(given[1])
            key = self._keys.get(pair)
            if key is None:
                found = remembered.get(pair)
                if found is None:
                    key = Key(*pair, floor)
                    wanted.append(key)
                else:
                    version, keep, expires = found
                    key = Key(*pair, version, True, expires, keep, version, True)
                self._keys[pair] = key
            known[given] = key
        for statement in ("find_versions", "find_removed"):
            values: list[Any] = []
            for place, key in enumerate(wanted):
                values += (place, key.namespace, key.name)
            for place, version, keep, exists, expires in self._file.look_up(statement, values):
                key = wanted[place]
                key.version = key.filed = version
                key.exists = key.is_filed = bool(exists)
                key.keep, key.expires = keep, expires
            wanted = [key for key in wanted if not key.filed]

    def find(self, namespace: str, name: str) -> Key:
        """The key, whether it exists or not."""
        return self._given[namespace, name]

    def expire(self, key: Key) -> bool:
        """Remove the key if it has expired; returns whether it has."""
        if not key.exists or key.expires is None or key.expires > self._now:
            return False
        key.make(None, None, key.expires)
        return True

    def put(self, key: Key, value: str, write: SetKeys | PutKey, expires: int | None = None) -> None:
        """Set a new value."""
        key.make(clean_text(value), write, write.at)
        key.expires = expires
        if write.history is not None:
            key.keep = max(1, write.history)

    def remove(self, key: Key, write: RemoveKeys | PutKey) -> None:
        """Remove the value."""
        key.make(None, write, write.at)

    def store(self) -> None:
        """Write all changes to the file."""
        changed = [key for key in self._keys.values() if key.made]
        if not changed:
            return
        drop: list[Any] = []
        unbury: list[Any] = []
        put: list[Any] = []
        bury: list[Any] = []
        for key, link in zip(changed, self._archive(changed), strict=True):
            if key.exists:
                put += (*_present(key), link)
                if key.filed and not key.is_filed:
                    unbury += (key.namespace, key.name)
            else:
                bury += (*_removed(key), link)
                if key.is_filed:
                    drop += (key.namespace, key.name)
        self._file.put("drop_keys", drop)
        self._file.put("unbury_keys", unbury)
        self._file.put("put_keys", put)
        self._file.put("bury_keys", bury)
        self._file.keys.note([key.expires for key in changed if key.exists], len(changed))
        self._remember(changed)

    def _remember(self, changed: Sequence[Key]) -> None:
        """Cache the present state of existing keys for the next batch."""
        remembered = self._file.present_keys
        if len(remembered) > _REMEMBERED:
            remembered.clear()
        for key in changed:
            pair = key.namespace, key.name
            if key.exists:
                remembered[pair] = key.version, key.keep, key.expires
            else:
                remembered.pop(pair, None)

    def _archive(self, changed: list[Key]) -> list[int | None]:
        """Store the past versions as far as they have to be kept; returns the id of the last one for each key."""
        links: list[int | None] = []
        values: list[Any] = []
        removals: list[Any] = []
        between: list[Any] = []
        newest = self._file.keys.newest
        for key in changed:
            link, oldest = None, key.version - key.keep
            if key.filed > max(oldest, 0):
                link = newest = newest + 1
                (values if key.is_filed else removals).extend((key.namespace, key.name, link))
            for version in key.made[:-1]:
                if version.number > oldest:
                    newest += 1
                    between += (key.namespace, key.name, newest, *_past(version), link)
                    link = newest
            links.append(link)
        self._file.put("archive_keys", values)
        self._file.put("archive_removed", removals)
        self._file.put("add_past", between)
        self._file.keys.grow(newest)
        return links


def _names(writes: Sequence[Write]) -> Iterator[tuple[str, str]]:
    for write in writes:
        if isinstance(write, SetKeys):
            for name, _ in write.items:
                yield write.namespace, name
        elif isinstance(write, RemoveKeys):
            for name in write.keys:
                yield write.namespace, name
        elif isinstance(write, PutKey):
            yield write.namespace, write.key


def _present(key: Key) -> tuple[Any, ...]:
    last = key.made[-1]
    names = key.namespace, key.name
    return *names, last.value, last.module, last.number, last.at, *last.writer, key.expires, key.keep


def _removed(key: Key) -> tuple[Any, ...]:
    last = key.made[-1]
    names = key.namespace, key.name
    return *names, last.number, last.at, int(last.write is None), *last.writer, key.keep


def _past(version: _Version) -> tuple[Any, ...]:
    run, _, actor = version.writer
    value = version.value if version.value is None or len(version.value) <= _LONGEST_PAST else None
    removed = 0 if version.value is not None else 1 if version.write is not None else 2
    return version.number, value, version.module, version.at, run, actor, removed
