"""SQLAlchemy with aiosqlite: an engine with its pool, a transaction for each step."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from store_cases.sql import GET, PREPARE, key, put, steps


def named(statement: str) -> Any:
    """The statement with names for its parameters, as SQLAlchemy wants it; built once."""
    parts = statement.split("?")
    return text("".join(f"{part}:p{number}" for number, part in enumerate(parts[:-1])) + parts[-1])


class Contestant:
    """Each statement is a transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.statements: dict[str, Any] = {}

    async def execute(self, statement: str, row: tuple[object, ...]) -> Any:
        """One statement in a transaction; its first row if it has any."""
        prepared = self.statements.get(statement)
        if prepared is None:
            prepared = self.statements[statement] = named(statement)
        async with self.engine.begin() as connection:
            done = await connection.execute(prepared, {f"p{number}": value for number, value in enumerate(row)})
            return done.first() if done.returns_rows else None

    async def call(self) -> None:
        """A journaled call."""
        for statement, row in steps():
            await self.execute(statement, row)

    async def put(self) -> None:
        """A key gets a new value."""
        await self.execute(*put())

    async def get(self) -> object:
        """A key is read."""
        row = await self.execute(GET, key())
        return None if row is None else json.loads(row[0])

    async def close(self) -> None:
        """Close the file."""
        await self.engine.dispose()


async def open(path: Path) -> Contestant:  # noqa: A001 - what every contestant has
    """The contestant."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(PREPARE)
    connection.close()
    # one connection: several that write would only wait for each other's locks
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", pool_size=1, max_overflow=0, pool_timeout=300)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(made: Any, _record: object) -> None:
        made.execute("PRAGMA synchronous = FULL")
        made.execute("PRAGMA cache_size = -65536")

    return Contestant(engine)
