"""The owner leaves the database to whoever comes, and goes on to write."""

import asyncio
import contextlib
import threading
import time
from pathlib import Path

import pytest

from binp.store import open_store
from binp.store.contract import Once, Retention, Role, SetKeys, State, StoreClosed, StoreError, StoreOwned
from binp.store.sqlite import _checkpoint
from binp.store.sqlite._commit import Committer, FileTrouble
from binp.store.sqlite._engine import Engine
from binp.store.sqlite._nodes import Leave
from binp.store.sqlite._owner import HeirLock
from binp.store.sqlite._receipt import Receipt
from binp.store.sqlite._tend import Checkpoint
from binp.store.sqlite._writer import Writer


async def more(acks, until):
    """Wait until some more are written."""
    here = len(acks)
    await until(lambda: len(acks) > here + 20)


async def come(worker, path, *arguments):
    """Another process that opens the file; returns when it has done so."""
    other = worker(path, "-", *arguments)
    await asyncio.to_thread(other.read, 1)
    return other


async def test_who_comes_next_is_the_owner(path, worker, store, writes_of, until):
    """A process of another server takes the role within moments; what the first runs goes on, through the second."""
    held = writes_of(store).begin()
    await store.write(held)
    heard = []
    store.listen(heard.extend)

    store.hand_over()
    assert store.role is Role.OWNER
    other = await come(worker, path, "idle")

    assert other.lines[0] == ["R", "owner"]
    await until(lambda: store.role is Role.CLIENT)
    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True
    assert (await store.get_run(held.id)).state is State.RUNNING
    assert await store.write(writes_of(store).end(held.id)) is True
    assert ("run", held.id) in {(change.topic, change.id) for change in heard}
    other.kill()


async def test_the_role_changes_hands_again_and_again(path, worker, store, until):
    """Whoever comes is killed, three times over: each write of the first is done once, whatever it was meanwhile."""
    acks, onces, is_over = [], [], asyncio.Event()
    feeds = {store.feed}
    store.listen(lambda changes: None if changes else feeds.add(store.feed))

    async def write():
        while not is_over.is_set():
            number = len(acks) + 1
            acks.append(store.write(SetKeys(namespace="c", items=(("k", str(number)),), at=1)))
            onces.append(store.write(Once(key=str(number), at=1)))
            await acks[-1]

    writing = asyncio.ensure_future(write())
    store.hand_over()
    for _ in range(3):
        other = await come(worker, path)
        await until(lambda: store.role is Role.CLIENT)
        await more(acks, until)
        other.kill()
        await until(lambda: store.role is Role.OWNER)
        await more(acks, until)
    is_over.set()
    await writing

    assert {await ack for ack in acks} == {True}
    assert {await once for once in onces} == {True}
    kept = await store.get_key("c", "k")
    assert (kept.value, kept.version) == (str(len(acks)), len(acks))
    assert len(feeds) == 7


async def test_siblings_take_the_role_at_once(path, worker, client_of):
    """Of several workers that are told to end one after the other, those that are still there lead."""
    store = client_of("g")
    await store.open()
    sibling = worker(path, "g", "idle")
    await asyncio.to_thread(sibling.read, 1)
    assert sibling.lines[0] == ["R", "client"]

    store.hand_over()

    await asyncio.to_thread(sibling.read, 1)
    assert sibling.lines[1] == ["R", "owner"]
    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True
    assert store.role is Role.CLIENT


@pytest.fixture
async def client_of(path):
    """A store of a group, closed after the test."""
    made = []

    def make(group):
        made.append(open_store(str(path), group=group, synchronous="OFF"))
        return made[-1]

    yield make
    for store in made:
        await store.close()


async def test_a_guest_never_owns_the_database(path, worker):
    """A process that another one has started writes through whoever owns the database, and waits for the next one."""
    owner = await come(worker, path, "idle")
    store = open_store(str(path), is_guest=True)
    waiting = asyncio.ensure_future(store.open())
    await asyncio.sleep(0.2)
    # an owner that shares with nobody lets no guest in
    assert not waiting.done()
    owner.kill()
    owner = worker(path, "g", "idle")
    await waiting
    assert store.role is Role.CLIENT
    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True

    owner.kill()
    written = store.write(SetKeys(namespace="n", items=(("k", "2"),), at=1))
    await asyncio.sleep(0.5)
    assert store.role is Role.CLIENT
    worker(path, "g", "idle")

    assert await written is True
    await store.close()


async def test_guests_are_let_in(path, worker, store):
    """A process that shares its database with nobody lets in those that it starts, when it is asked to."""
    store.admit()
    store.admit()
    with pytest.raises(StoreOwned):
        await asyncio.to_thread(lambda: asyncio.run(open_in_a_loop(path)))


async def open_in_a_loop(path):
    await open_store(str(path), group="other").open()


async def test_who_comes_waits_until_the_owner_lets_go(path, worker, store, until):
    """From the announcement on nobody is refused, and nobody is let in before the services have stopped."""
    store.expect_heir()
    other = worker(path, "-", "idle")
    waiting = asyncio.ensure_future(asyncio.to_thread(other.read, 1))
    await until(HeirLock(path).is_held)
    await asyncio.sleep(0.5)
    assert not waiting.done()
    assert store.role is Role.OWNER

    store.hand_over()

    await waiting
    assert other.lines[0] == ["R", "owner"]
    other.kill()


async def test_without_an_announcement_it_is_refused(path, worker):
    """A process that is not ending keeps its database for itself."""
    await come(worker, path, "idle")
    with pytest.raises(StoreOwned):
        await open_store(str(path)).open()
    assert not HeirLock(path).is_held()


async def test_who_waits_can_be_told_to_end(path, store, client_of, until):
    """A process that waits for the database ends when it is asked to."""
    store.expect_heir()
    other = client_of("other")
    # in one process a file is opened once; the engine is what waits
    opening = asyncio.ensure_future(asyncio.to_thread(other._start, engine_of(other)))
    await until(HeirLock(path).is_held)

    other._engine.give_up()

    with pytest.raises(StoreClosed, match="told to end"):
        await opening
    assert not HeirLock(path).is_held()
    other._engine = None


def engine_of(store):
    from binp.store.sqlite._engine import Engine

    store._engine = Engine(
        store._path,
        store._node,
        store._outbox,
        store._ids,
        group=store._group,
        is_guest=False,
        synchronous=store._synchronous,
        clock=store._clock,
    )
    return store._engine


async def test_a_lock_that_was_left_behind_says_nothing(path, store):
    """Who waited and died is not waited for: the system let go of its lock."""
    place = path.with_name("data.db.heir")
    place.touch()

    assert not HeirLock(path).is_held()
    await store.close()
    assert not place.exists()


async def test_looking_takes_nothing(path, until):
    """Who looks sees no other who looks, and whoever waits for the role holds its lock for as long as it wants to."""
    heir = HeirLock(path)
    path.with_name("data.db.heir").touch()
    is_over = threading.Event()
    #: odd while somebody wants to hold it
    turns = [0]
    wrong = []

    def look():
        while not is_over.is_set():
            before = turns[0]
            seen = HeirLock(path).is_held()
            if seen and before % 2 == 0 and turns[0] == before:
                wrong.append("held by nobody")

    looking = [threading.Thread(target=look) for _ in range(2)]
    for thread in looking:
        thread.start()
    try:
        await asyncio.sleep(0.3)
        for _ in range(10):
            turns[0] += 1
            # one who waits tries again and again
            await until(heir.hold)
            if not all(HeirLock(path).is_held() for _ in range(20)):
                wrong.append("not seen to be held")
            heir.release()
            path.with_name("data.db.heir").touch()
            turns[0] += 1
            await asyncio.sleep(0.01)
    finally:
        is_over.set()
        for thread in looking:
            thread.join()

    assert wrong == []


async def test_a_role_that_cannot_be_handed_over_is_told_once(path, worker, store, monkeypatch, caplog, until):
    """What keeps the role from being handed over is logged once, tried again later each time, and it is handed over."""
    tries = []
    real = Engine._step_down

    def step_down(engine):
        tries.append(time.monotonic())
        if len(tries) < 5:
            raise OSError(28, "No space left on device")
        real(engine)

    monkeypatch.setattr(Engine, "_step_down", step_down)
    store.hand_over()
    other = await come(worker, path, "idle")

    assert other.lines[0] == ["R", "owner"]
    await until(lambda: store.role is Role.CLIENT)
    said = [record.message for record in caplog.records if "handed over" in record.message]
    assert said == ["the role of the owner could not be handed over: [Errno 28] No space left on device"]
    assert tries[4] - tries[3] > 2 * 0.3
    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True
    other.kill()


@pytest.fixture
def nothing_goes(monkeypatch):
    """The files beside the database cannot be removed: their folder may not be written to any more."""
    real = Path.unlink

    def unlink(self, missing_ok=False):
        if self.name in {"data.db.owner", "data.db.sock"}:
            raise PermissionError(13, "Permission denied")
        real(self, missing_ok=missing_ok)

    @contextlib.contextmanager
    def keep():
        with monkeypatch.context() as patched:
            patched.setattr(Path, "unlink", unlink)
            yield

    return keep


async def test_a_store_closes_where_nothing_can_be_taken_away(path, nothing_goes):
    """What it leaves behind keeps nobody from the database."""
    for _ in range(2):
        store = open_store(str(path), group="g", synchronous="OFF")
        await store.open()
        with nothing_goes():
            await store.close()
        assert path.with_name("data.db.sock").exists()


async def test_a_lock_that_cannot_be_taken_away_is_let_go(path, worker, store, nothing_goes):
    """Where its file cannot be removed the role is still free for the next one, and this process goes on."""
    with nothing_goes():
        store.hand_over()
        other = await come(worker, path, "idle")

        assert other.lines[0] == ["R", "owner"]
        assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True
        assert store.role is Role.CLIENT
    other.kill()


async def test_a_checkpoint_is_nothing_for_the_next_owner(path, worker, store, monkeypatch):
    """What is asked of the one who writes for the file itself is never sent to another one."""
    monkeypatch.setattr(_checkpoint, "_PAGES", 0)
    monkeypatch.setattr(_checkpoint, "_MANY", -1)
    monkeypatch.setattr(_checkpoint, "_LOOK", 0.0)
    real = Writer._hand_on

    def hand_on(writer):
        real(writer)
        checkpoints = writer._checkpoints
        checkpoints.expect()
        while checkpoints._thread.is_alive() and not writer._outbox:
            time.sleep(0.001)

    monkeypatch.setattr(Writer, "_hand_on", hand_on)
    store.hand_over()
    other = await come(worker, path, "idle")

    async with asyncio.timeout(200):
        assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True
    assert store.role is Role.CLIENT
    other.kill()


async def test_what_could_not_be_done_for_the_file_is_not_handed_on(path, worker, store, monkeypatch, until):
    """Where the file takes nothing any more the next owner gets what was written here, and nothing else."""
    real, commit = Writer._hand_on, Committer.commit
    acks = []

    def hand_on(writer):
        for write in (Leave(at=1), Checkpoint()):
            writer._outbox.put(Receipt(write))
        acks.append(store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)))
        real(writer)

    def fail(committer, batch, seq):
        if store._engine._writer._is_leaving:
            raise FileTrouble(StoreError("the disk is full"), is_passing=True)
        return commit(committer, batch, seq)

    monkeypatch.setattr(Writer, "_hand_on", hand_on)
    monkeypatch.setattr(Committer, "commit", fail)
    store.hand_over()
    other = await come(worker, path, "idle")

    await until(lambda: acks)
    async with asyncio.timeout(200):
        assert await acks[0] is True
    assert store.role is Role.CLIENT
    other.kill()


async def test_who_has_handed_the_role_on_takes_care_of_nothing(path, worker, store, until):
    """What is to be kept is a matter of the one who owns the database: who did before erases nothing."""
    store.hand_over()
    other = await come(worker, path, "idle")
    await until(lambda: store.role is Role.CLIENT)

    store.retain(Retention())

    assert store._engine._care is None
    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True
    other.kill()


async def test_care_that_begins_as_the_role_is_handed_on(path, worker, store, monkeypatch, until):
    """Who is told to take care at the very moment ends it, and what care asks for is never sent to another process."""
    real = Writer.leave
    cares = []

    def leave(writer):
        real(writer)
        store.retain(Retention())
        cares.append(store._engine._care)
        # by now it waits for something that only an owner does
        while not store._outbox:
            time.sleep(0.001)

    monkeypatch.setattr(Writer, "leave", leave)
    store.hand_over()
    other = await come(worker, path, "idle")

    await until(lambda: cares and store._engine._care is None and not cares[0]._thread.is_alive())
    async with asyncio.timeout(200):
        assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True
    assert store.role is Role.CLIENT
    other.kill()
