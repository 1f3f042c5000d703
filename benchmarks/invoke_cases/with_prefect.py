"""The no-op as a flow of Prefect, whose server it starts for itself, with a file of SQLite."""

from __future__ import annotations

import asyncio
import os
import sys

os.environ |= {
    "PREFECT_HOME": sys.argv[1],
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "100",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "DO_NOT_TRACK": "1",
}

from invoke_cases.asked import answer
from prefect import flow


@flow
async def noop(number: int, name: str = "x") -> int:
    """Nothing, kept in the history."""
    return number


async def main() -> None:
    """Serve until the end."""
    await answer(lambda: noop(1))


asyncio.run(main())
