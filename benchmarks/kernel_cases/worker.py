"""One contestant in a process of its own: reads how often, answers with nanoseconds of processor time each."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import sys
import time
from typing import Any


async def awaited(operation: Any, count: int) -> int:
    began = time.process_time_ns()
    for _ in range(count):
        await operation()
    return time.process_time_ns() - began


def called(operation: Any, count: int) -> int:
    began = time.process_time_ns()
    for _ in range(count):
        operation()
    return time.process_time_ns() - began


def main() -> None:
    """Serve rounds until standard input ends."""
    module, _, name = sys.argv[1].partition(":")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    operation = getattr(importlib.import_module(module), name)()
    # what is left to do behind a round counts as part of it
    finish = getattr(operation, "finish", None)
    print("ready", flush=True)
    for line in sys.stdin:
        count = int(line)
        gc.collect()
        if inspect.iscoroutinefunction(operation):
            took = loop.run_until_complete(awaited(operation, count))
        else:
            took = called(operation, count)
        if finish is not None:
            began = time.process_time_ns()
            finish()
            took += time.process_time_ns() - began
        print(took / count, flush=True)


if __name__ == "__main__":
    main()
