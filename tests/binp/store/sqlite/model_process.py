"""A second process on the same file, which does what it is told.

It reads pickled commands from its standard input and answers each, pickled, on its standard output:
``("open", path)`` with its node, ``("write", [writes])`` with what each was acknowledged with, ``("ids", count)`` with
new ids, ``("update", key, count)`` with None, ``("close",)`` with None. After ``("skew", seconds)`` its clock is so
many seconds wrong.
"""

import asyncio
import pickle
import sys
import time

_real = time.time_ns
skew = 0.0
time.time_ns = lambda: _real() + int(skew * 1e9)

from binp.kv import KV  # noqa: E402 - after the clock was set
from binp.store import open_store  # noqa: E402 - the same
from binp.store.contract import StoreError  # noqa: E402 - the same


async def answer(store, what, arguments):
    global skew  # noqa: PLW0603 - the clock of this process
    if what == "open":
        store = open_store(*arguments, group="g", synchronous="OFF")
        await store.open()
        return store, store.node
    if what == "write":
        acks = [store.write(write) for write in arguments[0]]
        return store, [await ack for ack in acks]
    if what == "refused":
        try:
            await store.write(*arguments)
        except StoreError as error:
            return store, error.what
        return store, None
    if what == "ids":
        return store, [store.new_id() for _ in range(arguments[0])]
    if what == "update":
        key, count = arguments
        kv = KV("n", db=store)
        await asyncio.gather(*(kv.update(key, lambda number: number + 1, default=0) for _ in range(count)))
        return store, None
    if what == "skew":
        skew = arguments[0]
        return store, None
    await store.close()
    return None, None


async def main():
    store = None
    while True:
        try:
            what, *arguments = await asyncio.to_thread(pickle.load, sys.stdin.buffer)
        except EOFError:
            break
        store, result = await answer(store, what, arguments)
        sys.stdout.buffer.write(pickle.dumps(result))
        sys.stdout.buffer.flush()
    if store is not None:
        await store.close()


asyncio.run(main())
