"""The owner leaves the database to whoever comes, and goes on to write."""

import asyncio
import time

import pytest

from binp.store import open_store
from binp.store.contract import Once, Role, SetKeys, State, StoreClosed, StoreOwned
from binp.store.sqlite._owner import HeirLock


async def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.01)


async def more(acks):
    """Wait until some more are written."""
    here = len(acks)
    await until(lambda: len(acks) > here + 20)


async def come(worker, path, *arguments):
    """Another process that opens the file; returns when it has done so."""
    other = worker(path, "-", *arguments)
    await asyncio.to_thread(other.read, 1)
    return other


async def test_who_comes_next_is_the_owner(path, worker, store, writes_of):
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


async def test_the_role_changes_hands_again_and_again(path, worker, store):
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
        await more(acks)
        other.kill()
        await until(lambda: store.role is Role.OWNER)
        await more(acks)
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


async def test_who_comes_waits_until_the_owner_lets_go(path, worker, store):
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


async def test_who_waits_can_be_told_to_end(path, store, client_of):
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
    assert not place.exists()
