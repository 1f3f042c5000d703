"""A small in-memory index: matches single runs like the index of all runs, and splits texts into words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ._statements import statements
from ._text import clean

__all__ = ["Scratch"]

#: characters for marking tokens and separating texts, which occur in no text
_MARKS = {0xE000: " ", 0xE001: " "}


class Scratch:
    """An in-memory index that is empty between two queries. It records the order of words."""

    def __init__(self) -> None:
        self._sql = statements()
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for name in ("scratch_make", "scratch_make_words"):
            self.connection.execute(self._sql[name])

    def close(self) -> None:
        """Release the memory."""
        self.connection.close()

    def words(self, text: str) -> list[str]:
        """The words of *text*, as the index stores them."""
        self.connection.execute(self._sql["scratch_insert"], (1, clean(text).translate(_MARKS)))
        try:
            found = self.connection.execute(self._sql["scratch_words"]).fetchall()
        finally:
            self.connection.execute(self._sql["scratch_clear"])
        return [word for _, word in sorted(found)]

    def fitting(self, documents: Iterable[tuple[int, bytes]], expression: str) -> set[int]:
        """The ids of those *documents* that match *expression*."""
        run = self.connection.execute
        run("BEGIN")
        try:
            self.connection.executemany(self._sql["scratch_insert"], documents)
            return {row[0] for row in run(self._sql["scratch_match"], (expression,))}
        finally:
            run("ROLLBACK")
