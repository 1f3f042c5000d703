"""One contestant in a process of its own: reads what to do for how long, answers with what it took as JSON."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from store_cases.sql import KEYS

#: seconds between two looks at how late the loop is, and for which a callback of a busy loop computes
LOOK, BUSY = 0.001, 0.0002


def quantile(values: list[float], part: float) -> float:
    """The value that *part* of *values* are below."""
    return sorted(values)[int(len(values) * part)] if values else float("inf")


def called(operation: Callable[[], object], seconds: float) -> list[float]:
    """Seconds that each call took, one after the other."""
    took = []
    now = time.perf_counter()
    end = now + seconds
    while now < end:
        operation()
        after = time.perf_counter()
        took.append(after - now)
        now = after
    return took


async def awaited(
    operation: Callable[[], Awaitable[object]], tasks: int, seconds: float, *, is_busy: bool
) -> tuple[list[float], list[float]]:
    """Seconds that each call took in so many tasks, and by which the loop was late meanwhile."""
    took: list[float] = []
    late: list[float] = []
    loop = asyncio.get_running_loop()
    end = time.perf_counter() + seconds

    async def work() -> None:
        now = time.perf_counter()
        while now < end:
            await operation()
            after = time.perf_counter()
            took.append(after - now)
            now = after

    async def look() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(LOOK)
            late.append(time.perf_counter() - before - LOOK)

    def spin() -> None:
        until = time.perf_counter() + BUSY
        while time.perf_counter() < until:
            pass
        if until < end:
            loop.call_soon(spin)

    if is_busy:
        spin()
    looking = asyncio.ensure_future(look()) if tasks > 1 else None
    await asyncio.gather(*(work() for _ in range(tasks)))
    if looking is not None:
        looking.cancel()
    return took, late


def measure(loop: asyncio.AbstractEventLoop, opened: Any, asked: str) -> dict[str, float]:
    """One round."""
    case, tasks, seconds, is_busy = json.loads(asked)
    operation = getattr(opened, case)
    gc.collect()
    late: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    if inspect.iscoroutinefunction(operation):
        took, late = loop.run_until_complete(awaited(operation, tasks, seconds, is_busy=is_busy))
    else:
        took = called(operation, seconds)
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    # one call may stand for many
    count = len(took) * getattr(opened, "times", 1)
    return {
        "rate": count / wall,
        "p50": quantile(took, 0.5),
        "p99": quantile(took, 0.99),
        "cpu": cpu / count,
        "late": quantile(late, 0.99),
    }


def fill(loop: asyncio.AbstractEventLoop, opened: Any) -> None:
    """Give every key a value: what is read is there."""
    for _ in range(KEYS):
        done = opened.put()
        if inspect.isawaitable(done):
            loop.run_until_complete(done)


def main() -> None:
    """Serve rounds until standard input ends."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    module, _, variant = sys.argv[1].partition(":")
    contestant: Any = importlib.import_module(module)
    opened = contestant.open(Path(sys.argv[2]), *filter(None, [variant]))
    if inspect.isawaitable(opened):
        opened = loop.run_until_complete(opened)
    print("ready", flush=True)
    is_filled = False
    for line in sys.stdin:
        try:
            if json.loads(line)[0] == "get" and not is_filled:
                fill(loop, opened)
                is_filled = True
            answer: object = measure(loop, opened, line)
        except Exception as error:  # noqa: BLE001 - the reason is printed beside the name
            print(json.dumps({"failed": f"{type(error).__name__}: {error}"}), flush=True)
            # threads that it has left behind would keep it
            os._exit(1)
        print(json.dumps(answer), flush=True)
    closed = opened.close()
    if inspect.isawaitable(closed):
        loop.run_until_complete(closed)


if __name__ == "__main__":
    main()
