"""Hold a run and do something beside it: ``lease_process.py PATH GROUP BEAT LEASE idle|write|sleep|spin|hold|leave``.

Lines: ``R role``, ``H run`` begun, ``D`` what was to be done is done, ``W record key`` what a write to the run and a
key written in it were acknowledged with, ``C run`` told to cancel, ``N run end`` another run was begun and ended.
"""

import asyncio
import os
import sys
import time

from binp.store import open_store
from binp.store.contract import AddRecord, BeginRun, EndRun, SetKeys, State
from binp.store.sqlite import _client, _server, _writer


def say(*words):
    os.write(1, " ".join(map(str, words)).encode() + b"\n")


def now():
    return time.time_ns() // 1000


async def begin(store):
    run = store.new_id()
    await store.write(BeginRun(id=run, operation="held", trigger="call", node=store.node, at=now()))
    return run


async def write(store, run):
    seq = 0
    while True:
        seq += 1
        record = store.write(AddRecord(run=run, seq=seq, at=now(), message=str(seq)))
        key = store.write(SetKeys(namespace="n", items=(("k", str(seq)),), run=run, epoch=1, at=now()))
        # gone in the meantime, perhaps
        told = (await record, await key)
        say("W", *told)
        if told == (False, False):
            other = await begin(store)
            say("N", other, await store.write(EndRun(id=other, state=State.SUCCEEDED, at=now(), duration=1)))
            await asyncio.Future()
        await asyncio.sleep(0.01)


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def main():
    path, group, beat, lease, what = sys.argv[1:]
    _client.BEAT = _writer.BEAT = float(beat)
    _server._LEASE = float(lease)
    _server._LOOK, _server._LATE = min(_server._LOOK, float(lease) / 5), min(_server._LATE, float(lease) / 4)
    store = open_store(path, group=group if group != "-" else None)
    await store.open()
    say("R", store.role.value)
    store.listen(lambda changes: [say("C", change.id) for change in changes if change.topic == "cancel"])
    run = await begin(store)
    say("H", run)
    if what == "write":
        await write(store, run)
    elif what == "sleep":
        time.sleep(2)  # noqa: ASYNC251 - a loop that is blocked is the point
    elif what == "spin":
        spin(2)
    elif what == "hold":
        # in one call of C, which does not let go of the interpreter
        began = time.monotonic()
        while time.monotonic() < began + 2:
            sum(range(200_000_000))
    elif what == "leave":
        await store.close()
    say("D")
    await asyncio.Future()


asyncio.run(main())
