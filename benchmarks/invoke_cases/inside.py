"""In one process: what an invocation costs on top of the store's begin and end.

Reads ``CONTESTANT CALLERS CALLS`` from standard input, a line each, and answers with seconds and seconds of CPU.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable

from binp import BINP
from binp.runs import now
from binp.store.contract import BeginRun, EndRun, State

#: seconds before each round, so that what the one before left to be put into the index does not fall to the next one
REST = 1.5

binp = BINP(db=sys.argv[1])


@binp.action(name="noop")
@binp.journal
async def noop(number: int, name: str = "x") -> int:
    """Nothing, kept in the history."""
    return number


async def store() -> None:
    """The two writes alone, with what an invocation writes in them."""
    kept = binp.home.store
    run = kept.new_id()
    arguments = json.dumps({"number": 1, "name": "x"})
    begin = BeginRun(
        id=run,
        operation="noop",
        journal="noop",
        description="Nothing, kept in the history.",
        trigger="call",
        node=kept.node,
        arguments=arguments,
        at=now(),
    )
    await kept.write(begin)
    await kept.write(EndRun(id=run, state=State.SUCCEEDED, at=now(), duration=1, result="1", journal=True))


async def invoke() -> None:
    """Started as the platform starts it, and waited for."""
    handle = await binp.action.start("noop", number=1)
    await handle.result()


CONTESTANTS: dict[str, Callable[[], Awaitable[None]]] = {"store": store, "invoke": invoke}


async def callers(call: Callable[[], Awaitable[None]], count: int, calls: int) -> tuple[float, float]:
    """*calls* calls by *count* callers at a time: seconds, and seconds of CPU."""

    async def caller() -> None:
        for _ in range(calls // count):
            await call()

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(count)))
    return time.perf_counter() - began, time.process_time() - used


async def main() -> None:
    """Answer until there is nothing more to measure."""
    await binp.home.ensure()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, count, calls = line.split()
        await asyncio.sleep(REST)
        print(json.dumps(await callers(CONTESTANTS[name], int(count), int(calls))), flush=True)
    await binp.home.close()


asyncio.run(main())
