"""aiosqlite: one connection that all tasks share, a commit for each step."""

from __future__ import annotations

import json
from pathlib import Path

import aiosqlite
from store_cases.sql import GET, PREPARE, key, put, steps


class Contestant:
    """Each statement is a transaction, so that tasks do not meet in one."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self.connection = connection

    async def call(self) -> None:
        """A journaled call."""
        for statement, row in steps():
            await self.connection.execute(statement, row)

    async def put(self) -> None:
        """A key gets a new value."""
        await self.connection.execute(*put())

    async def get(self) -> object:
        """A key is read."""
        cursor = await self.connection.execute(GET, key())
        row = await cursor.fetchone()
        return None if row is None else json.loads(row[0])

    async def close(self) -> None:
        """Close the file."""
        await self.connection.close()


async def open(path: Path) -> Contestant:  # noqa: A001 - what every contestant has
    """The contestant."""
    connection = await aiosqlite.connect(path, isolation_level=None, cached_statements=128)
    await connection.executescript(PREPARE)
    return Contestant(connection)
