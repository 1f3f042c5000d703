"""Write as fast as it goes and say what was acknowledged: ``worker_process.py PATH GROUP [lying|mute|idle]``.

Lines, each after the acknowledgement: ``R role``, ``B run`` begun, ``E run records`` ended, ``K key value`` set.
"""

import asyncio
import os
import sys
import time

from binp.store import open_store
from binp.store.contract import AddRecord, BeginRun, EndRun, SetKeys, State
from binp.store.sqlite import _server, _writer


def say(line):
    os.write(1, line.encode() + b"\n")


def now():
    return time.time_ns() // 1000


def lie():
    """The planted bug: acknowledge first, commit afterwards."""
    honest = _writer.Writer._commit

    def commit(self, batch):
        futures = []
        for receipt in batch:
            futures += receipt.settle(True)
        self._post(futures, [])
        time.sleep(0.005)
        honest(self, batch)

    _writer.Writer._commit = commit


async def work(store, number):
    key = f"{os.getpid()}-{number}"
    value = 0
    while True:
        value += 1
        run = store.new_id()
        await store.write(BeginRun(id=run, operation=key, trigger="call", node=store.node, at=now()))
        say(f"B {run}")
        for seq in (1, 2, 3):
            store.write(AddRecord(run=run, seq=seq, at=now(), message=str(seq)))
        await store.write(SetKeys(namespace="n", items=((key, str(value)),), at=now()))
        say(f"K {key} {value}")
        await store.write(EndRun(id=run, state=State.SUCCEEDED, at=now(), duration=1))
        say(f"E {run} 3")


async def main():
    path, group = sys.argv[1:3]
    if "lying" in sys.argv:
        lie()
    if "mute" in sys.argv:
        # others are not told what became of their writes
        _server.Server.publish = lambda self, changes: None
    store = open_store(path, group=group if group != "-" else None)
    await store.open()
    say(f"R {store.role.value}")
    store.on_role(lambda role: say(f"R {role.value}"))
    await asyncio.gather(*(work(store, number) for number in range(0 if {"mute", "idle"} & set(sys.argv) else 8)))
    await asyncio.Future()


asyncio.run(main())
