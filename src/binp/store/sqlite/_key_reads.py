"""Read keys and their versions from the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from binp.store.contract import KeyValue, KeyVersion

from ._statements import statements
from ._text import clean

__all__ = ["KeyReads"]

#: keys in one answer, and versions
_MOST = 1000

#: executes a named statement
Ask = Callable[[str, Any], sqlite3.Cursor]


class KeyReads:
    """The questions about keys. What has expired is not there, whether it is still in the file or not.

    Args:
        ask: Executes a named statement.
        cursor: Of the same connection, for what is asked for most often.
        clock: Microseconds since the epoch.
    """

    def __init__(self, ask: Ask, cursor: sqlite3.Cursor, clock: Callable[[], int]) -> None:
        self._ask = ask
        self._execute = cursor.execute
        self._get_value = statements()["get_value"]
        self._clock = clock

    def value(self, namespace: str, key: str) -> str | None:
        """The JSON text of one key, or None."""
        # without all that can be left out: this takes a few microseconds, and is done very often
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
        """Keys that begin with *prefix* and come after *after*, by name."""
        prefix = clean(prefix)
        parameters = {
            "namespace": clean(namespace),
            # nothing lies between a text and the same with a NUL behind it
            "start": max(prefix, clean(after) + "\0") if after else prefix,
            # an empty blob is larger than every text
            "stop": _behind(prefix) or b"",
            "now": self._clock(),
            "limit": _within(limit),
        }
        return [_key(row) for row in self._ask("list_keys", parameters)]

    def namespaces(self) -> list[str]:
        """Namespaces that have a key, sorted."""
        return [row[0] for row in self._ask("namespaces", {"now": self._clock()})]

    def history(self, namespace: str, key: str, after: int, limit: int) -> list[KeyVersion]:
        """Versions of a key behind *after*, the newest first."""
        most = _within(limit)
        names = {"namespace": clean(namespace), "key": clean(key)}
        rows = self._ask("get_history", {**names, "after": after, "limit": most}).fetchall()
        found = [_version(row) for row in rows]
        expires = rows[0][7] if rows else None
        if expires is not None and expires <= self._clock():
            # it is still in the file: this is what it will be when that is found out
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
    """The first text behind all that begin with *prefix*; empty if there is none."""
    while prefix:
        code = ord(prefix[-1]) + 1
        prefix = prefix[:-1]
        # between these two lie the surrogates, which no text has
        code = 0xE000 if code == 0xD800 else code
        if code <= 0x10FFFF:
            return prefix + chr(code)
    return ""
