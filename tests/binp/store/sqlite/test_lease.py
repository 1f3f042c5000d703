"""Which process is there, and which is not: what runs is ended when its process is gone, and not before."""

import asyncio
import dataclasses
import os
import signal
import socket
import sqlite3
import time

import pytest

from binp.store import open_store
from binp.store.contract import RunQuery, State
from binp.store.sqlite import _server
from binp.store.sqlite._nodes import Node, this_process
from binp.store.sqlite._sign import Sign

#: seconds of a lease in these tests
LEASE = 1.0


@pytest.fixture
def held(worker):
    """Start a process that holds a run; returns it and the run."""

    def start(path, what, *, group="g", beat=0.2, lease=LEASE):
        process = worker(path, group, beat, lease, what, script="lease_process.py")
        process.read(2)
        return process, int(process.lines[1][1])

    return start


@pytest.fixture
async def owner(path, monkeypatch):
    monkeypatch.setattr(_server, "_LEASE", LEASE)
    monkeypatch.setattr(_server, "_LOOK", LEASE / 5)
    monkeypatch.setattr(_server, "_LATE", LEASE / 4)
    store = open_store(str(path), group="g", synchronous="OFF")
    await store.open()
    yield store
    await store.close()


async def until(store, run, state):
    while (kept := await store.get_run(run)).state is not state:
        await asyncio.sleep(0.01)
    return kept


async def read(process, count):
    await asyncio.to_thread(process.read, count)
    return process.lines[-count:]


async def test_a_stopped_process_is_fenced(path, owner, held, caplog):
    """A process that is stopped loses its runs after the lease; when it wakes up nothing it writes of them is kept.

    What it sets in the name of such a run is refused as well; it is told to cancel, and goes on with other runs.
    """
    process, run = held(path, "write")
    assert (await read(process, 5))[-1] == ["W", "True", "True"]
    os.kill(process.pid, signal.SIGSTOP)

    kept = await until(owner, run, State.INTERRUPTED)
    noticed = time.time_ns() // 1000
    key = await owner.get_key("n", "k")
    assert kept.error == "interrupted: its process did not answer any more"
    assert kept.started < kept.ended <= noticed - LEASE * 900_000
    assert kept.duration == kept.ended - kept.started
    assert f"process {process.pid} has not answered" in caplog.text

    os.kill(process.pid, signal.SIGCONT)
    while process.lines[-1][0] != "N":
        await read(process, 1)
    assert ["C", str(run)] in process.lines
    assert ["W", "False", "False"] in process.lines
    kind, other, ended = process.lines[-1]
    assert (kind, ended) == ("N", "True")
    assert (await owner.get_run(int(other))).state is State.SUCCEEDED
    # what it had written before it was stopped is there, and nothing of what it wrote afterwards
    assert await owner.get_run(run) == kept
    assert await owner.get_key("n", "k") == key
    assert len(await owner.get_records(run, limit=10_000)) == kept.records


@pytest.mark.parametrize("what", ["idle", "sleep", "spin", "hold"])
async def test_a_process_that_lives_is_not_given_up(path, owner, held, what):
    """Signs of life come from a thread: neither a loop that is blocked nor one that computes looks dead."""
    process, run = held(path, what)
    if what == "idle":
        await asyncio.sleep(3 * LEASE)
    await read(process, 1)
    await asyncio.sleep(1.5 * LEASE)
    assert process.lines[-1] == ["D"]
    assert (await owner.get_run(run)).state is State.RUNNING


async def test_an_owner_that_was_stopped_gives_up_nobody(path, held):
    """Whoever did not listen cannot say that somebody was silent."""
    lease = 3 * LEASE
    process, _ = held(path, "idle", lease=lease)
    client = open_store(str(path), group="g", synchronous="OFF")
    await client.open()
    other, run = held(path, "idle", lease=lease)
    # as when a job is suspended at the terminal, or a container: all of them, and they do not wake up at once
    for stopped in (process, other):
        os.kill(stopped.pid, signal.SIGSTOP)
    await asyncio.sleep(1.5 * lease)
    os.kill(process.pid, signal.SIGCONT)
    await asyncio.sleep(lease / 6)
    os.kill(other.pid, signal.SIGCONT)
    await asyncio.sleep(1.5 * lease)
    assert (await client.get_run(run)).state is State.RUNNING
    other.kill()
    await until(client, run, State.INTERRUPTED)
    await client.close()


@pytest.mark.parametrize("group", ["-", "g"])
async def test_how_long_a_run_ran_that_was_cut_off(path, held, group):
    """N-13: a run that said nothing for a while ended when its process did, not when it was heard last."""
    process, run = held(path, "idle", group=group)
    began = time.time_ns()
    # what it does to say that it is there
    lock = os.open(path.with_name("data.db.owner"), os.O_RDONLY)
    while Sign(lock).read() < began // 1000 + 1_000_000:
        await asyncio.sleep(0.01)
    os.close(lock)
    process.kill()
    killed = time.time_ns() // 1000
    await asyncio.sleep(1.0)

    store = open_store(str(path), synchronous="OFF")
    await store.open()
    kept = await store.get_run(run)
    await store.close()
    assert kept.state is State.INTERRUPTED
    assert kept.ended - kept.started == kept.duration
    assert began // 1000 + 1_000_000 <= kept.ended <= killed


async def test_how_long_a_run_of_a_client_ran(path, owner, held):
    """The owner sees when a client dies, and ends its runs then."""
    process, run = held(path, "idle", beat=60, lease=60)
    await asyncio.sleep(0.9 * LEASE)
    process.kill()
    killed = time.time_ns() // 1000
    kept = await until(owner, run, State.INTERRUPTED)
    assert kept.error == "interrupted: its process ended"
    assert kept.ended >= kept.started + 500_000
    assert kept.ended <= killed + 20_000_000


async def test_a_process_of_another_boot_is_gone(path, held):
    """After the computer was started anew, whoever has the number now is somebody else."""
    process, run = held(path, "idle", group="-")
    process.kill()
    connection = sqlite3.connect(path)
    mine = this_process()
    for column, value in (("pid", mine.pid), ("started", mine.started), ("boot", "another boot")):
        connection.execute(f"UPDATE node SET {column} = ?", (value,))
    connection.commit()
    connection.close()

    store = open_store(str(path), synchronous="OFF")
    await store.open()
    page = await store.find_runs(RunQuery(states=frozenset({State.RUNNING, State.QUEUED})))
    assert (await store.get_run(run)).state is State.INTERRUPTED
    assert page.runs == ()
    await store.close()


async def test_a_process_that_left_in_peace_leaves_nothing_running(path, owner, held):
    """A client that closes without ending its runs has them interrupted at once, and is heard no more."""
    process, run = held(path, "leave")
    await until(owner, run, State.INTERRUPTED)
    await read(process, 1)
    assert not owner._engine._server._sessions


def test_a_computer_that_gets_another_name_is_the_same(monkeypatch):
    """The name of a computer may change at any time; who is alive does not depend on it."""
    mine = this_process()
    monkeypatch.setattr(socket, "gethostname", lambda: "renamed")
    assert mine.is_alive()
    assert not dataclasses.replace(mine, boot="another boot").is_alive()
    # where the kernel does not tell, the name has to do
    monkeypatch.setattr("binp.store.sqlite._nodes._boot", lambda: "")
    assert not dataclasses.replace(mine, boot="").is_alive()
    assert dataclasses.replace(mine, boot="", host="renamed").is_alive()


def test_who_is_busy(worker):
    """A process that is stopped is not busy; one that is not there is not either."""
    mine = this_process()
    assert mine.is_busy()
    gone = Node(name="gone", host=mine.host, boot=mine.boot, pid=2**22 + 1, started=1)
    assert not gone.is_busy()
