"""The sqlite3 module alone, as well as it can be used: one connection, prepared statements, a commit for each step.

With the variant ``large`` a hundred calls share a commit, which nobody could be told of before it is done.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from store_cases.sql import GET, PREPARE, key, put, steps

#: journaled calls that share a commit
LARGE = 100


class Raw:
    """Each statement is a transaction."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, cached_statements=128)
        self.connection.executescript(PREPARE)
        self.execute = self.connection.execute

    def call(self) -> None:
        """A journaled call."""
        for statement, row in steps():
            self.execute(statement, row)

    def put(self) -> None:
        """A key gets a new value."""
        self.execute(*put())

    def get(self) -> object:
        """A key is read."""
        row = self.execute(GET, key()).fetchone()
        return None if row is None else json.loads(row[0])

    def close(self) -> None:
        """Close the file."""
        self.connection.close()


class Large(Raw):
    """A hundred calls are a transaction."""

    times = LARGE

    def call(self) -> None:
        """A hundred journaled calls."""
        self.execute("BEGIN IMMEDIATE")
        for _ in range(LARGE):
            for statement, row in steps():
                self.execute(statement, row)
        self.execute("COMMIT")


def open(path: Path, variant: str = "") -> Raw:  # noqa: A001 - what every contestant has
    """The contestant."""
    return Large(path) if variant == "large" else Raw(path)
