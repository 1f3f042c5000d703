"""The keys that a batch touches, held in memory from its beginning to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from binp.store.contract import RemoveKeys, SetKeys, Write

from ._file import File
from ._text import clean, clean_name, clean_text

__all__ = ["Key", "Keys"]


@dataclass(slots=True)
class Key:
    """Where the version of a key is, and what was written to it."""

    namespace: str
    name: str
    version: int = 0
    exists: bool = False
    #: the value and the write it came with; None if it was removed
    value: str | None = None
    write: SetKeys | RemoveKeys | None = None


@dataclass(slots=True)
class Keys:
    """The keys of a batch, and what is written to them."""

    file: File
    _keys: dict[tuple[str, str], Key] = field(default_factory=dict)

    def load(self, writes: Sequence[Write]) -> None:
        """Read the versions of the keys that *writes* are about."""
        for write in writes:
            if isinstance(write, SetKeys):
                names: Sequence[str] = [name for name, _ in write.items]
            elif isinstance(write, RemoveKeys):
                names = write.keys
            else:
                continue
            namespace = clean(write.namespace)
            for name in map(clean, names):
                self._keys.setdefault((namespace, name), Key(namespace, name))
        if not self._keys:
            return
        whole = [key for key in self._keys.values() if not _is_torn(key)]
        for position, version, exists in self.file.ask("find_versions", [(key.namespace, key.name) for key in whole]):
            whole[position].version = version or 0
            whole[position].exists = bool(exists)
        for key in self._keys.values():
            if _is_torn(key):
                row = self.file.one("find_version", {"namespace": key.namespace, "key": key.name})
                key.version, key.exists = (row[0], bool(row[1])) if row else (0, False)

    def find(self, namespace: str, name: str) -> Key:
        """The key, whether it exists or not."""
        return self._keys[clean(namespace), clean(name)]

    def put(self, key: Key, value: str, write: SetKeys) -> None:
        """A new value."""
        key.version += 1
        key.exists = True
        key.value, key.write = clean_text(value), write

    def remove(self, key: Key, write: RemoveKeys) -> None:
        """No value any more."""
        key.version += 1
        key.exists = False
        key.value, key.write = None, write

    def store(self) -> None:
        """Put it all into the file."""
        rows = []
        for key in self._keys.values():
            write = key.write
            if isinstance(write, RemoveKeys):
                self.file.run("drop_key", (key.namespace, key.name))
                self.file.run("bury_key", (key.namespace, key.name, key.version, write.at, *_writer_of(write)))
            elif isinstance(write, SetKeys):
                module = None if write.module is None else clean_name(write.module)
                row = (key.namespace, key.name, key.value, module, key.version, write.at, *_writer_of(write))
                if _is_torn(key):
                    self.file.run("put_key", row)
                else:
                    rows.append(row)
        if rows:
            self.file.bulk("put_keys", rows)


def _is_torn(key: Key) -> bool:
    return "\0" in key.name or "\0" in key.namespace


def _writer_of(write: SetKeys | RemoveKeys) -> tuple[int | None, int | None, str | None]:
    return write.run, write.epoch, None if write.actor is None else clean_name(write.actor)
