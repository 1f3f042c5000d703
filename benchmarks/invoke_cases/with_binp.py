"""The no-op as an action that is journaled and durable."""

from __future__ import annotations

import asyncio
import sys

from invoke_cases.asked import answer

from binp import BINP

binp = BINP(db=f"{sys.argv[1]}/data.db")


@binp.action(name="noop")
@binp.journal
async def noop(number: int, name: str = "x") -> int:
    """Nothing, kept in the history."""
    return number


async def call() -> None:
    """Started as the platform starts it, and waited for."""
    handle = await binp.action.start("noop", number=1)
    await handle.result()


async def main() -> None:
    """Serve until the end."""
    await binp.home.ensure()
    await answer(call)
    await binp.home.close()


asyncio.run(main())
