"""Look at single runs as the index of all would, in a small one in memory; it also says what words a text has."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ._statements import statements
from ._text import clean

__all__ = ["Scratch"]

#: what marks tokens and separates texts, and is in no text
_MARKS = {0xE000: " ", 0xE001: " "}


class Scratch:
    """An index in memory that is empty between two questions. It knows which words stand next to each other."""

    def __init__(self) -> None:
        self._sql = statements()
        self.connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for name in ("scratch_make", "scratch_make_words"):
            self.connection.execute(self._sql[name])

    def close(self) -> None:
        """Let go of the memory."""
        self.connection.close()

    def words(self, text: str) -> list[str]:
        """The words of *text*, as they are in the index."""
        self.connection.execute(self._sql["scratch_insert"], (1, clean(text).translate(_MARKS)))
        try:
            found = self.connection.execute(self._sql["scratch_words"]).fetchall()
        finally:
            self.connection.execute(self._sql["scratch_clear"])
        return [word for _, word in sorted(found)]

    def fitting(self, documents: Iterable[tuple[int, bytes]], expression: str) -> set[int]:
        """The ids of those of *documents* that fit *expression*."""
        run = self.connection.execute
        run("BEGIN")
        try:
            self.connection.executemany(self._sql["scratch_insert"], documents)
            return {row[0] for row in run(self._sql["scratch_match"], (expression,))}
        finally:
            run("ROLLBACK")
