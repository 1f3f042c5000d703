"""Own databases on command: ``open PATH``, ``close``, one line each, answered with a line."""

import asyncio
import sys

from binp.store import open_store


async def main() -> None:
    loop = asyncio.get_running_loop()
    store = None
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        command, _, path = line.strip().partition(" ")
        if command == "open":
            store = open_store(path, group="tests", synchronous="OFF")
            await store.open()
        elif store is not None:
            await store.close()
        print("done", flush=True)


asyncio.run(main())
