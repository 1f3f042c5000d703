"""The no-op as a durable workflow of DBOS, in a file of SQLite."""

from __future__ import annotations

import asyncio
import sys

from dbos import DBOS
from invoke_cases.asked import answer

DBOS(config={"name": "noop", "system_database_url": f"sqlite:///{sys.argv[1]}/dbos.db", "run_admin_server": False})


@DBOS.workflow()
async def noop(number: int, name: str = "x") -> int:
    """Nothing, kept in the history."""
    return number


async def main() -> None:
    """Serve until the end."""
    DBOS.launch()
    await answer(lambda: noop(1))
    DBOS.destroy()


asyncio.run(main())
