"""What a forked child may do with a store: nothing, and without harm."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from binp.store import open_store
from binp.store.contract import Once, RunQuery, StoreError

#: newer Pythons warn of any fork of a process with threads, which is what is done here on purpose
WARNINGS = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]

PROGRAM = """
import asyncio, ctypes, os, sys
from binp.store import open_store
from binp.store.contract import Once, StoreError

async def put(key):
    return await store.write(Once(key=key, at=1))

def open_apart(store):
    apart = asyncio.new_event_loop()
    try:
        apart.run_until_complete(store.open())
    finally:
        apart.close()

loop = asyncio.new_event_loop()
store = open_store(sys.argv[1], group="g")
loop.run_until_complete(store.open())
loop.run_until_complete(put("before"))
child = os.fork()
if child == 0:
    said = []
    again = open_store(sys.argv[1], group="g")
    attempts = [
        lambda: store.write(Once(key="child", at=1)),
        store.new_id,
        lambda: open_apart(again),
    ]
    for attempt in attempts:
        try:
            attempt()
        except StoreError as error:
            said.append(error.what)
    store.close_sync()
    print(said, flush=True)
    # the program's own loop is not the store's to save: its end would disturb the one of the parent
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(loop))
    # the whole way out, with everything that is destroyed on it
    sys.exit(0)
_, status = os.waitpid(child, 0)
assert loop.run_until_complete(put("after")) is True
assert os.path.exists(sys.argv[1] + ".owner")
loop.run_until_complete(store.close())
loop.close()
print("parent", status, flush=True)
"""


def test_a_forked_child_is_told_and_harms_nothing(path):
    """In a child every use says what is wrong; the child's end closes nothing of its parent, who goes on."""
    done = subprocess.run(
        [sys.executable, *WARNINGS, "-c", PROGRAM, str(path)], capture_output=True, text=True, timeout=200
    )

    what = "the store was opened before this process was forked from another"
    lines = done.stdout.splitlines()
    assert lines[0].startswith(str([what, what])[:-1] + ", 'process "), done.stderr
    assert "had the database open when this one was forked from it" in lines[0]
    assert lines[-1] == "parent 0", done.stderr
    assert done.stderr == ""


ORPHAN = """
import asyncio, os, signal, sys, time
from binp.store import open_store

async def main():
    await open_store(sys.argv[1], group="g").open()
    child = os.fork()
    if child == 0:
        os.close(1)
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


async def test_the_lock_does_not_live_on_in_a_child(path):
    """A child that outlives its killed parent does not keep the file from others."""
    done = subprocess.run([sys.executable, "-c", ORPHAN, str(path)], stdout=subprocess.PIPE, text=True, timeout=200)
    try:
        store = open_store(str(path), synchronous="OFF")
        await store.open()
        assert await store.write(Once(key="x", at=1)) is True
        await store.close()
    finally:
        os.kill(int(done.stdout), signal.SIGKILL)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_child_opens_a_store_of_its_own(path):
    """After forking, a child can use another store."""
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            asyncio._set_running_loop(None)

            async def use():
                own = open_store(str(path.with_name("own.db")), synchronous="OFF")
                await own.open()
                assert await own.write(Once(key="x", at=1)) is True
                with pytest.raises(StoreError):
                    await store.find_runs(RunQuery())
                await own.close()

            asyncio.new_event_loop().run_until_complete(use())
            status = 0
        finally:
            os._exit(status)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert status == 0
    await store.close()
