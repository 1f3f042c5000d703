"""Interned texts: a table stores recurring texts once, and other tables refer to them by id."""

from __future__ import annotations

from collections.abc import Iterable

from ._executor import Executor

__all__ = ["REMEMBERED", "Vocabulary"]

#: maximum number of cached ids per kind; there may be any number of labels
REMEMBERED = 50_000


class Vocabulary:
    """The ids of interned texts.

    Args:
        executor: Executes statements on the file with the table.
        find: The statement that looks up ids of texts.
        add: The statement that adds texts.
    """

    def __init__(self, executor: Executor, find: str, add: str) -> None:
        self._executor = executor
        self._statements = (find, add)
        self._known: dict[str, int] = {}

    def ids(self, texts: set[str]) -> dict[str, int]:
        """The ids of at least *texts*; new texts are added."""
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
        """*texts* were deleted from the table."""
        for text in texts:
            self._known.pop(text, None)

    def clear(self) -> None:
        """Clear the cache."""
        self._known.clear()

    def _find(self, texts: list[str]) -> None:
        for id, text in self._executor.ask(self._statements[0], texts):  # noqa: A001 - the name of the column
            self._known[text] = id
