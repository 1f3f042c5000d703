"""Several processes, one file: who writes, and who is next."""

import asyncio
import contextlib
import errno
import fcntl
import gc
import itertools
import os
import resource
import signal
import socket
import sqlite3
import time

import pytest

from binp.store import open_store
from binp.store.contract import Once, PutKey, Role, RunQuery, SetKeys, State, StoreError, StoreOwned, Written
from binp.store.sqlite import _client, _engine, _flight
from binp.store.sqlite._outbox import Outbox
from binp.store.sqlite._server import Server


@pytest.fixture
async def client(path):
    store = open_store(str(path), group="g")
    yield store
    await store.close()


async def test_another_process_of_the_group_writes_through_the_owner(path, worker, client, until):
    """The second process is a client, hears the changes of the first, and is heard (N-12c)."""
    owner = worker(path, "g")
    owner.read(2)
    heard = []
    client.listen(heard.extend)

    await client.open()
    await client.write(SetKeys(namespace="mine", items=(("k", "1"),), at=1))
    await until(lambda: len({change.topic for change in heard}) == 3)

    assert client.role is Role.CLIENT
    assert [change.seq for change in heard] == list(range(heard[0].seq, heard[0].seq + len(heard)))
    assert ("kv", "mine/k") in {(change.topic, change.id) for change in heard}
    assert (await client.get_key("mine", "k")).value == "1"


async def test_a_process_of_another_group_is_refused(path, worker):
    """Only processes of one group share a file."""
    worker(path, "g").read(2)
    for group in (None, "other"):
        with pytest.raises(StoreOwned):
            await open_store(str(path), group=group).open()


async def test_the_owner_is_killed_and_its_client_goes_on(path, worker, client, writes_of, until):
    """The client becomes the owner; each of its writes is done exactly once, and the runs of the dead end (N-13)."""
    owner = worker(path, "g")
    owner.read(2)
    await client.open()
    roles, heard, resets = [], [], []
    client.on_role(roles.append)
    client.listen(lambda changes: heard.extend(changes) if changes else resets.append(client.feed))
    feed = client.feed
    held = writes_of(client).begin("mine")
    await client.write(held)
    acks, firsts, stop = [], [], time.monotonic() + 1.0

    async def write():
        number = 0
        while time.monotonic() < stop:
            number += 1
            acks.append(client.write(SetKeys(namespace="c", items=(("k", str(number)),), at=1)))
            firsts.append(client.write(Once(key=str(number), at=1)))
            if number % 20 == 0:
                await acks[-1]
        return number

    writing = asyncio.ensure_future(write())
    await asyncio.sleep(0.3)
    owner.kill()
    died = time.monotonic()
    await until(lambda: client.role is Role.OWNER)
    took = time.monotonic() - died
    number = await writing

    assert [await ack for ack in acks] == [True] * number
    assert [await ack for ack in firsts] == [True] * number
    kept = await client.get_key("c", "k")
    assert (kept.value, kept.version) == (str(number), number)
    assert took < 60
    await until(lambda: roles == [Role.OWNER])
    assert resets[0] == client.feed != feed
    assert (await client.get_run(held.id)).state is State.RUNNING
    left = await client.find_runs(RunQuery(states=frozenset({State.RUNNING}), limit=200))
    assert [run.id for run in left.runs] == [held.id]


async def test_a_role_that_cannot_be_taken_yet_is_taken_later(path, worker, client, caplog, until):
    """Where others cannot be let in the role is tried for again and again, and what is written meanwhile waits."""
    owner = worker(path, "g")
    owner.read(2)
    await client.open()
    await client.write(SetKeys(namespace="c", items=(("k", "1"),), at=1))
    socket = path.with_name("data.db.sock")
    socket.unlink()
    socket.mkdir()
    owner.kill()
    ack = client.write(SetKeys(namespace="c", items=(("k", "2"),), at=1))
    await until(lambda: any("cannot be let in" in record.getMessage() for record in caplog.records))
    assert client.role is Role.CLIENT
    socket.rmdir()

    async with asyncio.timeout(200):
        assert await ack is True
    await until(lambda: client.role is Role.OWNER)


def no_locks(file, how):
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        sqlite3.OperationalError("disk I/O error"),
        RuntimeError("can't start new thread"),
        MemoryError("no more"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_whatever_keeps_a_process_from_the_role_it_tries_again(
    path, worker, client, caplog, monkeypatch, error, until
):
    """Errors of the system and of SQLite alike end neither the thread nor those who wait (N-13)."""
    owner = worker(path, "g")
    owner.read(2)
    await client.open()
    honest, failed = _engine.connect_writer, []

    def fail(*given):
        if len(failed) < 2:
            failed.append(given)
            raise error
        return honest(*given)

    monkeypatch.setattr(_engine, "connect_writer", fail)
    owner.kill()

    async with asyncio.timeout(200):
        assert await client.write(SetKeys(namespace="c", items=(("k", "2"),), at=1)) is True
    await until(lambda: client.role is Role.OWNER)
    said = [record for record in caplog.records if "the role of the owner cannot be taken" in record.getMessage()]
    assert [record.exc_info[1] for record in said] == [error]


async def test_a_lock_that_fails_is_no_lock_that_somebody_holds(path, worker, client, caplog, monkeypatch, until):
    """Where the system has no locks left that is said, and tried again; the first to open it is told at once."""
    monkeypatch.setattr(_client, "_LAST_TRY", 0.2)
    owner = worker(path, "g")
    owner.read(2)
    await client.open()
    with monkeypatch.context() as broken:
        broken.setattr(fcntl, "flock", no_locks)
        with pytest.raises(StoreError, match="the database cannot be claimed: No locks available") as caught:
            await open_store(str(path.with_name("other.db"))).open()
        assert not isinstance(caught.value, StoreOwned)
        owner.kill()
        ack = client.write(SetKeys(namespace="c", items=(("k", "2"),), at=1))
        await until(lambda: "No locks available" in caplog.text)
        await until(lambda: client.health.reason)
        assert client.health.reason == (
            "the process that owns the database has gone, and this one cannot take its place: "
            "the database cannot be claimed: No locks available"
        )
        assert client.health.fix == "keep the database on a file system of this computer, which has locks"

    async with asyncio.timeout(200):
        assert await ack is True
    await until(lambda: not client.health.reason)


# of a loop that asyncio could not make for want of descriptors it leaves half behind
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_process_without_descriptors_takes_the_role_when_it_has_some(
    path, worker, client, caplog, monkeypatch, until
):
    """However many files it may open while it tries to be the owner: what it waits for is done in the end."""
    monkeypatch.setattr(_client, "_LONGEST", 0.01)
    owner = worker(path, "g")
    owner.read(2)
    await client.open()
    taken = []
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128 + len(os.listdir("/dev/fd")), limits[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        owner.kill()
        written = asyncio.ensure_future(wait_for(client.write(SetKeys(namespace="c", items=(("k", "2"),), at=1))))
        await until(lambda: "the role of the owner cannot be taken" in caplog.text)
        while taken and not written.done():
            os.close(taken.pop())
            # some attempts with so many
            await asyncio.wait([written], timeout=0.2)
        async with asyncio.timeout(200):
            assert await written is True
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for file in taken:
            os.close(file)
        # here, and not in a test that does not expect its warning
        caplog.clear()
        gc.collect()
    assert client.role is Role.OWNER


async def wait_for(ack):
    return await ack


# as above
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_attempt_without_descriptors_leaves_none_open(path, monkeypatch):
    """What is tried again and again for want of descriptors does not take the last ones."""

    def none_left(*given):
        raise OSError(errno.EMFILE, "Too many open files")

    gc.collect()
    gc.disable()
    try:
        before = len(os.listdir("/dev/fd"))
        with monkeypatch.context() as broken:
            broken.setattr(socket, "socketpair", none_left)
            for _ in range(5):
                with pytest.raises(OSError, match="Too many"):
                    Server(path, Outbox(), "feed")
        assert len(os.listdir("/dev/fd")) == before
    finally:
        gc.enable()
        gc.collect()


async def test_what_was_committed_and_not_told_is_not_done_again(path, worker, client, caplog):
    """The owner dies between its commits and saying so: the next one knows what was committed, and with what result."""
    owner = worker(path, "g", "mute")
    owner.read(1)
    await client.open()
    acks = [client.write(SetKeys(namespace="c", items=(("k", str(number)),), at=1)) for number in range(1, 51)]
    onces = [client.write(Once(key="one", at=1)), client.write(Once(key="one", at=1))]
    puts = [client.write(PutKey(namespace="c", key="p", value="1", expected=version, at=1)) for version in (0, 0, 1)]
    bad = client.write(Once(key="x", at="never"))
    last = client.write(SetKeys(namespace="c", items=(("last", "1"),), at=1))
    while await client.get_key("c", "last") is None:
        await asyncio.sleep(0.01)

    owner.kill()

    assert [await ack for ack in acks] == [True] * 50
    assert [await ack for ack in onces] == [True, False]
    assert [await ack for ack in puts] == [Written(is_done=done, version=v) for done, v in ((1, 1), (0, 1), (1, 2))]
    assert await last is True
    with pytest.raises(StoreError, match="cannot store TEXT value in INTEGER column"):
        await bad
    assert (await client.get_key("c", "k")).version == 50
    assert (await client.get_key("c", "last")).version == 1


async def test_a_client_that_closes_without_its_owner_keeps_everything(path, worker, client):
    """The owner dies while its client is closing: the client writes the rest itself."""
    owner = worker(path, "g", "mute")
    owner.read(1)
    await client.open()
    acks = [client.write(SetKeys(namespace="c", items=(("k", str(number)),), at=1)) for number in range(1, 51)]
    closing = asyncio.ensure_future(client.close())
    await asyncio.sleep(0.05)
    assert not closing.done()

    owner.kill()
    await closing

    assert [await ack for ack in acks] == [True] * 50
    await client.open()
    assert (client.role, (await client.get_key("c", "k")).version) == (Role.OWNER, 50)


async def test_a_client_that_closes_does_not_wait_for_ever(path, worker, client, monkeypatch):
    """An owner that hangs keeps its client from closing for a while only, and the writes are not acknowledged."""
    monkeypatch.setattr(_client, "_LAST_TRY", 0.2)
    owner = worker(path, "g")
    owner.read(1)
    await client.open()
    os.kill(owner.pid, signal.SIGSTOP)
    # its threads go on until one of them has come to see that
    os.waitid(os.P_PID, owner.pid, os.WSTOPPED | os.WNOWAIT)
    ack = client.write(Once(key="x", at=1))

    await client.close()

    with pytest.raises(StoreError, match="the owner of the store does not answer"):
        await ack


@pytest.mark.parametrize("is_large", [True, False])
async def test_a_client_that_closes_does_not_wait_for_an_owner_that_takes_nothing_in(
    path, worker, client, monkeypatch, is_large
):
    """Where the owner is stopped, and more is to be sent than fits on the way, closing ends as well, and says so."""
    monkeypatch.setattr(_client, "_LAST_TRY", 0.5)
    # few writes are on their way at a time
    monkeypatch.setattr(_flight, "_MOST", 2**62 if is_large else 3)
    owner = worker(path, "g", "idle")
    owner.read(1)
    await client.open()
    os.kill(owner.pid, signal.SIGSTOP)
    value = f'"{"x" * 5_000_000 * is_large}"'
    acks = [client.write(SetKeys(namespace="n", items=((f"k{number}", value),), at=1)) for number in range(10)]
    await asyncio.sleep(0.1)

    async with asyncio.timeout(100):
        await client.close()

    for ack in acks:
        with pytest.raises(StoreError, match="the last writes may be lost"):
            await ack
    os.kill(owner.pid, signal.SIGCONT)


async def test_the_owner_closes_and_its_client_goes_on(path, client):
    """When the owner leaves in peace, its client takes the role too."""
    import subprocess
    import sys
    from pathlib import Path

    script = Path(__file__).parents[3] / "contract" / "owner_process.py"
    process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write(f"open {path}\n")
    process.stdin.flush()
    process.stdout.readline()
    client = open_store(str(path), group="tests")
    await client.open()
    assert client.role is Role.CLIENT

    process.stdin.write("close\n")
    process.stdin.flush()
    results = []
    while client.role is Role.CLIENT:
        results.append(await client.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)))
    results.append(await client.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)))
    kept = await client.get_key("n", "k")
    await client.close()
    process.communicate(timeout=200)

    assert set(results) == {True}
    assert kept.version == len(results)


async def test_what_a_killed_client_left_is_interrupted(path, worker, client, until):
    """The owner ends the runs of a client that died (N-13)."""
    await client.open()
    other = worker(path, "g")
    other.read(40)
    assert other.lines[0] == ["R", "client"]
    other.kill()

    begun = {int(line[1]) for line in other.lines if line[0] == "B"}

    async def have_ended():
        return {(await client.get_run(run)).state for run in begun} <= {State.SUCCEEDED, State.INTERRUPTED}

    await until(have_ended)


async def test_owners_are_killed_one_after_the_other(path, worker, told):
    """Four processes, each owner killed in turn: whoever is left goes on, and nothing is lost or doubled."""
    workers = [worker(path, "g") for _ in range(4)]
    for one in workers:
        one.read(3)
    left = list(workers)
    for _ in range(3):
        note = None
        while not any(one.pid == note for one in left):
            note = pid_of_owner(path)
            await asyncio.sleep(0.01)
        dying = next(one for one in left if one.pid == note)
        left.remove(dying)
        told.add(dying.kill())
        for one in left:
            await asyncio.to_thread(one.read, 300)
    told.add(left[0].kill())

    store = open_store(str(path), group="g")
    await store.open()
    lost = await told.lost(store)
    await store.close()
    assert lost == []


def pid_of_owner(path):
    import json

    try:
        return json.loads(path.with_name("data.db.owner").read_text())["pid"]
    except (OSError, ValueError):
        return None


def connect_at_the_end(path, client, turns):
    """Let an owner end so many turns of its loop after *client* has connected."""
    server = Server(path, Outbox(), "feed")
    place = server.start()

    async def come():
        client.connect(place)
        for _ in range(turns):
            await asyncio.sleep(0)
        server._stopping.set()

    asyncio.run_coroutine_threadsafe(come(), server._loop).result(200)
    server.stop()


async def test_an_owner_that_dies_as_its_client_comes(path, worker, client, monkeypatch):
    """Who takes the role before it has finished to become a client is the owner, and knows it."""
    owner = worker(path, "g", "idle")
    await asyncio.to_thread(owner.read, 1)
    real = _client.Client.start

    def start(client, place):
        real(client, place)
        owner.kill()
        # it ends when this process has become the owner
        client.join()

    monkeypatch.setattr(_client.Client, "start", start)
    await client.open()

    assert client.role is Role.OWNER
    assert await client.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True


@pytest.mark.parametrize("turns", range(6))
def test_who_comes_as_the_owner_ends_is_hung_up_on(path, turns):
    """However many turns of its loop ago a process connected, an owner that ends leaves no connection behind."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(200)
        connect_at_the_end(path, client, turns)
        # what is left open is told of here
        gc.collect()
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""


async def test_who_was_cut_off_is_told_that_changes_are_missing(path, worker, client, until):
    """A client that comes back to the same owner goes on without a gap, or says that there is one (N-11)."""
    worker(path, "g").read(2)
    batches = []
    await client.open()
    client.listen(lambda changes: batches.append((client.feed, changes)))

    for _ in range(4):
        count = len(batches)
        await until(lambda: len(batches) > count + 2)  # noqa: B023 - called before the next turn
        connection = client._engine._client._socket
        if connection is not None:
            connection.shutdown(socket.SHUT_RDWR)

    feeds = set()
    for (feed, before), (following, changes) in itertools.pairwise(batches):
        if not changes:
            assert following not in feeds
        elif before:
            assert feed == following
            assert changes[0].seq == before[-1].seq + 1
        feeds.add(feed)
