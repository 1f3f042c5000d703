"""What the cases of the peers share: they are asked over standard input, and answer with seconds."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable


async def answer(call: Callable[[], Awaitable[object]]) -> None:
    """Say that it is ready; then make calls for each line ``CALLERS CALLS``, until there is nothing more to measure."""
    loop = asyncio.get_running_loop()
    # what the peer itself prints is not the answer
    out, sys.stdout = sys.stdout, sys.stderr

    async def caller(calls: int) -> None:
        for _ in range(calls):
            await call()

    await call()
    print(json.dumps("ready"), file=out, flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        callers, calls = map(int, line.split())
        began = time.perf_counter()
        await asyncio.gather(*(caller(calls // callers) for _ in range(callers)))
        print(json.dumps(time.perf_counter() - began), file=out, flush=True)
