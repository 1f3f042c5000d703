"""Read keys and their versions from the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from binp.store.contract import KeyValue, KeyVersion

from ._statements import statements
from ._text import clean

__all__ = ["KeyReads"]

#: maximum number of keys, and of versions, in one answer
_MOST = 1000

#: executes a named statement
Ask = Callable[[str, Any], sqlite3.Cursor]


class KeyReads:
    """The queries about keys. Expired keys do not exist, even if they are still in the file.

    Args:
        ask: Executes a named statement.
        cursor: A cursor of the same connection, for the most frequent query.
        clock: Returns microseconds since the epoch.
    """

    def __init__(self, ask: Ask, cursor: sqlite3.Cursor, clock: Callable[[], int]) -> None:
        self._ask = ask
        self._execute = cursor.execute
        self._get_value = statements()["get_value"]
        self._clock = clock

    def value(self, namespace: str, key: str) -> str | None:
        """The JSON text of one key, or None."""
        # reduced to the minimum: this takes a few microseconds, and is called very often
        names = namespace if namespace.isascii() else clean(namespace), key if key.isascii() else clean(key)
        row = self._execute(self._get_value, names).fetchone()
        if row is None or (row[1] is not None and row[1] <= self._clock()):
            return None
        text: str = row[0]
        return text

    def get(self, namespace: str, key: str) -> KeyValue | None:
        """One key, or None."""
        row = self._ask("get_key", (clean(namespace), clean(key))).fetchone()
        found = None if row is None else _key(row)
        return None if found is None or (found.expires is not None and found.expires <= self._clock()) else found

    def page(self, namespace: str, prefix: str, after: str, limit: int) -> list[KeyValue]:
        """Keys that start with *prefix* and sort after *after*, by name."""
        prefix = clean(prefix)
        parameters = {
            "namespace": clean(namespace),
            # the smallest text greater than `after` is the same with a NUL appended
            "start": max(prefix, clean(after) + "\0") if after else prefix,
            # in SQLite, a blob is greater than every text
            "stop": _behind(prefix) or b"",
            "now": self._clock(),
            "limit": _within(limit),
        }
        return [_key(row) for row in self._ask("list_keys", parameters)]

    def namespaces(self) -> list[str]:
        """Namespaces that have a key, sorted."""
        return [row[0] for row in self._ask("namespaces", {"now": self._clock()})]

    def history(self, namespace: str, key: str, after: int, limit: int) -> list[KeyVersion]:
        """Versions of a key after version *after*, newest first."""
        most = _within(limit)
        names = {"namespace": clean(namespace), "key": clean(key)}
        rows = self._ask("get_history", {**names, "after": after, "limit": most}).fetchall()
        found = [_version(row) for row in rows]
        expires = rows[0][7] if rows else None
        if expires is not None and expires <= self._clock():
            # its removal is not in the file yet, but will look like this
            found.insert(0, _version((rows[0][0] + 1, None, None, expires, None, None, 2)))
        return found[:most]


def _key(row: tuple[Any, ...]) -> KeyValue:
    namespace, key, value, module, version, updated, expires, run, actor = row
    return KeyValue(
        namespace=namespace,
        key=key,
        value=value,
        module=module,
        version=version,
        updated=updated,
        expires=expires,
        run=run,
        actor=actor,
    )


def _version(row: tuple[Any, ...]) -> KeyVersion:
    version, value, module, at, run, actor, removed = row[:7]
    return KeyVersion(
        version=version,
        value=value,
        is_removed=removed > 0,
        is_expired=removed > 1,
        module=module,
        at=at,
        run=run,
        actor=actor,
    )


def _within(limit: int) -> int:
    return max(0, min(limit, _MOST))


def _behind(prefix: str) -> str:
    """The smallest text after all that start with *prefix*; empty if there is none."""
    while prefix:
        code = ord(prefix[-1]) + 1
        prefix = prefix[:-1]
        # skip the surrogates, which no text contains
        code = 0xE000 if code == 0xD800 else code
        if code <= 0x10FFFF:
            return prefix + chr(code)
    return ""
