"""Write step by step and say what was acknowledged: ``power_process.py PATH SYNCHRONOUS STEPS``.

A step is a run with three records, a key that is on the disk when it is acknowledged, and one that need not be. Lines
as of ``crash_process.py``, and ``L value`` for the second key.
"""

import asyncio
import os
import sys
import time

from binp.store import open_store
from binp.store.contract import AddRecord, BeginRun, EndRun, SetKeys, State
from binp.store.sqlite import _checkpoint


def say(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


def now():
    return time.time_ns() // 1000


async def main():
    path, synchronous, steps = sys.argv[1:]
    # often, and while something is written: by its own thread, and the last of it by the one that writes
    _checkpoint._PAGES, _checkpoint._MANY, _checkpoint._LOOK = 20, 200, 0.001
    # however long that takes while each call is traced
    _checkpoint._QUICK = 600.0
    store = open_store(path, synchronous=synchronous)
    await store.open()
    say("I")
    for step in range(1, int(steps) + 1):
        before = os.stat(path).st_mtime_ns
        run = store.new_id()
        await store.write(BeginRun(id=run, operation="kept", trigger="call", node=store.node, at=now()))
        say("B", run)
        for seq in (1, 2, 3):
            # every now and then more than one page
            text = "x" * (200_000 if step % 10 == 0 else 50)
            store.write(AddRecord(run=run, seq=seq, at=now(), message=text))
        await store.write(SetKeys(namespace="n", items=(("loose", str(step)),), at=now(), durable=False))
        say("L", step)
        await store.write(SetKeys(namespace="n", items=(("kept", str(step)),), at=now()))
        say("K", "kept", step)
        await store.write(EndRun(id=run, state=State.SUCCEEDED, at=now(), duration=1))
        say("E", run, 3)
        end = time.monotonic() + 60
        # what is much is brought into the database before it goes on, however late its thread is called
        while step % 10 == 0 and os.stat(path).st_mtime_ns == before and time.monotonic() < end:
            await asyncio.sleep(0.001)
    await store.close()


asyncio.run(main())
