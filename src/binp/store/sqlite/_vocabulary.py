"""Ids of texts that a table keeps once: they come again and again."""

from __future__ import annotations

from collections.abc import Iterable

from ._executor import Executor

__all__ = ["REMEMBERED", "Vocabulary"]

#: texts whose ids are remembered, of each kind; labels may be of any number
REMEMBERED = 50_000


class Vocabulary:
    """Ids of texts that a table keeps once.

    Args:
        executor: Of the file that has the table.
        find: Statement that asks for the ids of texts.
        add: Statement that keeps texts.
    """

    def __init__(self, executor: Executor, find: str, add: str) -> None:
        self._executor = executor
        self._statements = (find, add)
        self._known: dict[str, int] = {}

    def ids(self, texts: set[str]) -> dict[str, int]:
        """At least the ids of *texts*; those that are not in the table yet are put there."""
        known = self._known
        missing = [text for text in texts if text not in known]
        if missing:
            if len(known) > REMEMBERED:
                known.clear()
                missing = list(texts)
            self._find(missing)
            new = [text for text in missing if text not in known]
            if new:
                self._executor.bulk(self._statements[1], new)
                self._find(new)
        return known

    def forget(self, texts: Iterable[str]) -> None:
        """Those are not in the table any more."""
        for text in texts:
            self._known.pop(text, None)

    def clear(self) -> None:
        """What is in the table is not known any more."""
        self._known.clear()

    def _find(self, texts: list[str]) -> None:
        for id, text in self._executor.ask(self._statements[0], texts):  # noqa: A001 - the name of the column
            self._known[text] = id
