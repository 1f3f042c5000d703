"""One process owns the file."""

import asyncio
import dataclasses
import json
import os
import stat
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from binp.errors import UsageError
from binp.store import open_store
from binp.store.contract import Role, SetKeys, StoreError, StoreOwned
from binp.store.sqlite import _engine, _nodes
from binp.store.sqlite._nodes import this_process
from binp.store.sqlite._owner import OwnerLock
from binp.store.sqlite._people import People


async def test_a_second_process_is_refused_by_name(path, worker):
    """The refusal names the owner's pid, command and start, and how to mend it."""
    owner = worker(path, "-")
    owner.read(1)

    with pytest.raises(StoreOwned) as caught:
        await open_store(str(path)).open()

    error = caught.value
    assert isinstance(error, UsageError)
    assert error.path == str(path)
    assert error.owner["pid"] == owner.pid
    assert "worker_process.py" in error.owner["command"]
    assert f"process {owner.pid} (" in error.what
    assert error.owner["since"] in error.what
    assert f"kill {owner.pid}" in error.fix


async def test_the_file_is_free_when_its_owner_was_killed(path, worker):
    """No lock outlives its process."""
    owner = worker(path, "-")
    owner.read(1)
    owner.kill()

    store = open_store(str(path))
    await store.open()
    await store.close()


async def test_a_second_opening_in_one_process_is_refused(path, store):
    """Two stores of one process do not share a file, and do not wait for each other."""
    other = open_store(str(path))

    with pytest.raises(StoreOwned) as caught:
        await other.open()

    assert f"this process (pid {os.getpid()}) has the database open already" in str(caught.value)
    await store.close()
    await other.open()
    await other.close()


async def test_the_owner_is_noted_beside_the_file(path, store):
    """Who owns the file is readable there while it is open, and only by this user; nothing is left afterwards."""
    note_file = path.with_name("data.db.owner")
    note = json.loads(note_file.read_text())

    assert (note["pid"], note["node"], note["group"], note["socket"]) == (os.getpid(), store.node, None, None)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    await store.close()
    assert [file.name for file in path.parent.iterdir()] == ["data.db"]


async def test_since_when_it_is_owned_stays(path, store):
    """What is noted later, as where others reach it, does not change since when it is said to be in use."""
    note_file = path.with_name("data.db.owner")
    since = json.loads(note_file.read_text())["since"]
    # it is told in seconds
    while datetime.now(UTC).isoformat(timespec="seconds") == since:
        await asyncio.sleep(0.05)

    store.admit()

    note = json.loads(note_file.read_text())
    assert (note["socket"] is not None, note["since"]) == (True, since)


async def test_closing_leaves_one_file_each_time(path):
    """The connection that may write is the last one to be closed, whichever thread comes first."""
    for _ in range(20):
        store = open_store(str(path), synchronous="OFF")
        await store.open()
        await store.list_keys("n")
        await store.close()

        assert [file.name for file in path.parent.iterdir()] == ["data.db"]


async def test_a_socket_with_a_long_path_lies_elsewhere(tmp_path):
    """A database deep in the tree can be shared too."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    store = open_store(str(deep / "data.db"), group="g", synchronous="OFF")
    await store.open()
    place = json.loads((deep / "data.db.owner").read_text())["socket"]

    assert len(place) < 100
    assert stat.S_IMODE(os.stat(place).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(place)).st_mode) == 0o700
    await store.close()
    assert not os.path.exists(os.path.dirname(place))


async def test_opening_that_is_cancelled_leaves_nothing_behind(path):
    """A cancelled open() lets go of everything."""
    store = open_store(str(path))
    opening = asyncio.ensure_future(store.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening

    await store.open()
    await store.close()


def in_use(path):
    """What this process has open of a database, and its threads that work for one."""
    places = {place for place in Path("/proc/self/fd").iterdir() if os.path.lexists(place)}
    files = {os.readlink(place) for place in places if os.path.lexists(place)}
    return (
        sorted(file for file in files if file.startswith(str(path))),
        sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("binp-store")),
    )


def blocks_socket(path, monkeypatch):
    path.with_name("data.db.sock").mkdir()
    return lambda: path.with_name("data.db.sock").rmdir()


def breaks_entering(path, monkeypatch):
    def fail(people, *given):
        raise ValueError("other processes cannot be counted")

    monkeypatch.setattr(People, "interrupt_gone", fail)
    return monkeypatch.undo


def starts_no(name):
    def refuses(path, monkeypatch):
        real = threading.Thread.start

        def start(thread):
            if thread.name == name:
                raise RuntimeError("other processes took all threads")
            real(thread)

        monkeypatch.setattr(threading.Thread, "start", start)
        return monkeypatch.undo

    return refuses


THREADS = [starts_no(f"binp-store-{name}") for name in ("serve", "checkpoint", "writer")]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="only Linux says which files are open")
@pytest.mark.parametrize("breaks", [blocks_socket, breaks_entering, *THREADS])
async def test_opening_that_fails_half_way_leaves_nothing_behind(path, monkeypatch, breaks):
    """Wherever opening fails nothing of it stays, neither files nor threads, and the next one may do it."""
    store = open_store(str(path), group="g")
    mend = breaks(path, monkeypatch)
    with pytest.raises(Exception, match="other processes") as caught:
        await store.open()
    assert isinstance(caught.value, StoreError) is (breaks is blocks_socket)
    del caught
    assert in_use(path) == ([], [])

    mend()
    await store.open()
    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True
    await store.close()
    assert in_use(path) == ([], [])


async def test_a_lock_that_is_let_go_while_its_note_is_read_is_taken(path, monkeypatch):
    """Who looks for long whom the database belongs to, and finds nobody, does not say that it is in use."""
    held = OwnerLock(path)
    assert held.take()

    def read(lock):
        held.release()
        time.sleep(2 * _engine._TAKING)
        return {}

    monkeypatch.setattr(_engine, "_TAKING", 0.3)
    monkeypatch.setattr(OwnerLock, "read", read)
    store = open_store(str(path))
    await store.open()
    assert store.role is Role.OWNER
    await store.close()


def test_a_note_of_another_version_is_that_of_the_holder(worker, path):
    """A note that lacks the boot, or the start of its process, is believed as long as such a process lives here."""
    dead = worker(path, "-")
    dead.read(1)
    node = this_process()
    whole = {name: getattr(node, name) for name in ("host", "boot", "pid", "started")} | {"node": node.name}
    assert OwnerLock.is_of_holder(whole, node.boot)
    for missing in ({"boot"}, {"started"}, {"boot", "started"}, {"node", "boot", "started"}):
        note = {name: value for name, value in whole.items() if name not in missing}
        assert OwnerLock.is_of_holder(note, node.boot), missing
        assert not OwnerLock.is_of_holder({**note, "host": "elsewhere"} | {"boot": None}, node.boot)
        assert not OwnerLock.is_of_holder({**note, "pid": 2**80}, node.boot)
    dead.kill()
    assert not OwnerLock.is_of_holder({"pid": dead.pid, "host": node.host}, node.boot)
    assert not OwnerLock.is_of_holder({"pid": node.pid, "host": node.host, "started": 1}, node.boot)
    assert not OwnerLock.is_of_holder({}, node.boot)


@pytest.mark.parametrize("is_noted", [True, False])
async def test_who_took_over_from_the_dead_is_waited_for(path, worker, is_noted):
    """N-13: of who holds the file, and has not noted that yet, nobody is told that a process uses it that is gone."""
    dead = worker(path, "-")
    dead.read(1)
    holder = dataclasses.replace(this_process(), pid=dead.pid, started=_nodes._started(dead.pid))
    dead.kill()
    held = OwnerLock(path)
    assert held.take()
    if is_noted:
        held.note(holder, None, None)
    else:
        path.with_name("data.db.owner").write_bytes(b"")
    store = open_store(str(path))
    opening = asyncio.ensure_future(store.open())
    await asyncio.sleep(3 * _engine._CHANGE_OF_HANDS)
    assert not opening.done()
    held.note(this_process(), None, None)

    with pytest.raises(StoreOwned) as caught:
        await opening

    assert caught.value.owner["pid"] == os.getpid()
    held.release()
