"""Follow the changes of keys."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3

import pytest

from binp import BINP, KV
from binp.kv import Event
from binp.store.contract import Change, SetKeys


async def take(watch, count):
    """The next entries of a watch, as key, value and version."""
    found = []
    async with asyncio.timeout(60):
        while len(found) < count:
            entry = await anext(watch)
            found.append((entry.key, entry.value, entry.version))
    return found


async def nothing_more(watch):
    """Nothing comes: what comes next is of a key that is written now."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.1):
            pytest.fail(f"{await anext(watch)} came")


async def test_a_key_is_watched_from_its_present_value_on(binp):
    """First the present value comes, then each change with its value, removals included."""
    await binp.kv.put("x", 1)
    watch = binp.kv.watch("x")

    assert await take(watch, 1) == [("x", 1, 1)]
    await binp.kv.set(x=2, y=5, xx=6)
    await binp.kv.remove("x", actor="ann")
    await binp.kv.select("other").set(x=7)
    await binp.kv.set(x=3)
    assert await take(watch, 1) == [("x", 2, 2)]
    gone = await anext(watch)
    assert (gone.event, gone.value, gone.has_value, gone.version, gone.actor) == (Event.REMOVED, None, False, 3, "ann")
    assert await take(watch, 1) == [("x", 3, 4)]
    await nothing_more(watch)


async def test_a_key_that_is_not_there_is_watched(binp):
    """Of a key that is not there nothing comes before it is set."""
    watch = binp.kv.watch("x")
    waiting = asyncio.ensure_future(take(watch, 1))
    await asyncio.sleep(0.05)
    await binp.kv.set(x=1)

    assert await waiting == [("x", 1, 1)]


async def test_keys_with_a_prefix_are_watched(binp):
    """First all present keys come, sorted, then each change; a namespace and a prefix with slashes are not mixed up."""
    kv = binp.kv.select("a")
    names = [f"b/{number:03}" for number in range(450)]
    await kv.set(**dict.fromkeys(names, 0))
    await kv.set(a=1, c=1)
    await binp.kv.select("a/b").set(**{"000": 5, "c": 6})
    watch = kv.watch(prefix="b/")

    assert await take(watch, 450) == [(name, 0, 1) for name in names]
    for number in range(3):
        await binp.kv.select("a/b").set(**{"000": number, "c": number, "new": number})
        await kv.put("b/new", number)
    await kv.remove("b/007")
    assert await take(watch, 4) == [("b/new", 0, 1), ("b/new", 1, 2), ("b/new", 2, 3), ("b/007", None, 2)]
    await nothing_more(watch)
    assert await take(binp.kv.select("a").watch(), 3) == [("a", 1, 1), ("b/000", 0, 1), ("b/001", 0, 1)]


async def test_no_change_is_lost_to_a_slow_reader(binp):
    """A reader who comes back late gets each version that it missed, from the history, in the order of the key."""
    watch = binp.kv.watch("n")
    await binp.kv.set(n=0)
    assert await take(watch, 1) == [("n", 0, 1)]
    for number in range(1, 60):
        if number % 10 == 0:
            await binp.kv.remove("n")
        else:
            await binp.kv.set(n=number)

    found = await take(watch, 59)

    assert found == [("n", number if number % 10 else None, number + 1) for number in range(1, 60)]
    await nothing_more(watch)


async def test_what_the_history_has_not_is_skipped(binp):
    """Of a key with a short history a late reader gets what there is, and the last value in any case."""
    kv = binp.kv.select("few", history=3)
    watch = kv.watch()
    await kv.set(n=0)
    assert await take(watch, 1) == [("n", 0, 1)]
    for number in range(1, 50):
        await kv.set(n=number)

    assert await take(watch, 3) == [("n", 47, 48), ("n", 48, 49), ("n", 49, 50)]
    await nothing_more(watch)


async def test_writers_and_readers_in_a_crowd(binp):
    """Ten readers each hear every version of keys that twenty tasks count up at once."""
    await binp.kv.set(n0=0, n1=0, n2=0, n3=0)
    watches = [binp.kv.watch(prefix="n") for _ in range(10)]
    for watch in watches:
        assert len(await take(watch, 4)) == 4

    async def read(watch):
        seen = dict.fromkeys(("n0", "n1", "n2", "n3"), 0)
        while sum(seen.values()) < 4 * 50:
            ((key, value, version),) = await take(watch, 1)
            assert (value, version) == (seen[key] + 1, seen[key] + 2)
            seen[key] = value

    async def count(task):
        for _ in range(10):
            await binp.kv.update(f"n{task % 4}", lambda n: n + 1)

    await asyncio.gather(*(count(task) for task in range(20)), *map(read, watches))


async def test_when_too_much_has_changed_the_keys_are_looked_at_anew(binp):
    """A reader who is so far behind that changes are lost gets what is missing, and hears what was removed."""
    await binp.kv.set(stays=1, changes=1, goes=1, wanders=1)
    watch = binp.kv.watch()
    assert len(await take(watch, 4)) == 4
    await binp.kv.set(changes=2)
    await binp.kv.set(changes=3)
    await binp.kv.remove("goes", "wanders")
    await binp.kv.set(comes=1, wanders=2)
    ring = binp.home.ring
    ring.publish([Change(ring.last + number, "run", 1, 1) for number in range(1, 20_000)])

    assert ring.after(1).is_gap
    assert await take(watch, 6) == [
        ("comes", 1, 1),
        ("changes", 2, 2),
        ("changes", 3, 3),
        ("wanders", None, 2),
        ("wanders", 2, 3),
        ("goes", None, 2),
    ]
    await nothing_more(watch)
    await binp.kv.set(goes=5)
    assert await take(watch, 1) == [("goes", 5, 3)]


async def test_another_process_takes_the_database_over(binp):
    """When the changes are counted anew, what was missed in between is looked for, even if nothing else happens."""
    await binp.kv.set(x=1)
    watch = binp.kv.watch("x")
    assert await take(watch, 1) == [("x", 1, 1)]
    waiting = asyncio.ensure_future(take(watch, 1))
    await asyncio.sleep(0.05)
    store, ring = binp.home.store, binp.home.ring
    publish, ring.publish = ring.publish, lambda changes: None
    await store.write(SetKeys(namespace="default", items=(("x", "2"),), at=1))
    ring.publish = publish

    before = ring.last
    ring.open("another")

    assert await waiting == [("x", 2, 2)]
    waiting = asyncio.ensure_future(take(watch, 1))
    await asyncio.sleep(0.05)
    ring.publish = lambda changes: None
    await store.write(SetKeys(namespace="default", items=(("x", "3"),), at=1))
    ring.publish = publish
    ring.publish([Change(number, "run", 1, 1) for number in range(1, before)])
    await asyncio.sleep(0)
    # the same place in another feed
    ring.open("a third")
    ring.publish([Change(number, "run", 1, 1) for number in range(1, before)])
    assert await waiting == [("x", 3, 3)]


async def test_what_is_cancelled_loses_nothing(binp):
    """Waiting with a deadline, again and again, misses no change."""
    await binp.kv.set(n=0)
    watch = binp.kv.watch("n")
    seen, expected, done = [], [0], False

    async def read():
        turn = 0
        while not done:
            turn += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(turn % 20 / 2000):
                    seen.append((await anext(watch)).value)

    reading = asyncio.ensure_future(read())
    for number in range(1, 301):
        await binp.kv.set(n=number)
        if number % 100 == 0:
            # so far behind that it must ask the history
            await asyncio.gather(*(binp.kv.update("n", lambda n: n + 0.001) for _ in range(20)))
    done = True
    await reading
    async with asyncio.timeout(60):
        while not seen or seen[-1] < 300.019:
            seen.append((await anext(watch)).value)

    expected = [
        number + part / 1000 for number in range(301) for part in range(21 if number and number % 100 == 0 else 1)
    ]
    assert seen == pytest.approx(expected)


async def test_expiry_is_heard(binp):
    """That a key has expired is told when it has."""
    await binp.kv.put("x", 1)
    watch = binp.kv.watch("x")
    assert await take(watch, 1) == [("x", 1, 1)]
    await binp.kv.put("x", 2, ttl=0.05)

    assert await take(watch, 1) == [("x", 2, 2)]
    async with asyncio.timeout(60):
        entry = await anext(watch)
    assert (entry.event, entry.version, entry.value) == (Event.EXPIRED, 3, None)


async def test_what_was_asked_for_is_not_lost_when_it_is_cancelled(binp):
    """A reader who is cancelled while the history is read gets all of it the next time."""
    watch = binp.kv.watch("n")
    await binp.kv.set(n=0)
    assert await take(watch, 1) == [("n", 0, 1)]
    await binp.kv.remove("n")
    store = binp.home.store
    real, asked = store.get_key_history, asyncio.Event()

    async def slow(*args, **given):
        asked.set()
        await asyncio.Event().wait()

    store.get_key_history = slow
    waiting = asyncio.ensure_future(anext(watch))
    async with asyncio.timeout(60):
        await asked.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    store.get_key_history = real

    assert await take(watch, 1) == [("n", None, 2)]


async def test_what_comes_and_goes_at_once_is_told_once(binp):
    """A key that was set and removed before anybody looked is told so, each change once."""
    watch = binp.kv.watch()
    await binp.kv.set(first=1)
    assert await take(watch, 1) == [("first", 1, 1)]
    await binp.kv.set(n=1)
    await binp.kv.remove("n")
    await binp.kv.set(last=1)

    assert await take(watch, 3) == [("n", 1, 1), ("n", None, 2), ("last", 1, 1)]


async def test_a_watch_ends_with_the_home(binp):
    """When the home is closed a watch ends, one that waits and one that does not."""
    await binp.kv.set(x=1)
    waiting, other = binp.kv.watch("x"), binp.kv.watch("x")

    async def follow(watch, seen):
        async for entry in watch:
            seen.append(entry.value)

    seen, rest = [], []
    following = asyncio.ensure_future(follow(waiting, seen))
    assert await take(other, 1) == [("x", 1, 1)]
    while not seen:
        await asyncio.sleep(0.01)
    await binp.home.close()

    await following
    await follow(other, rest)
    assert (seen, rest) == ([1], [])


async def test_forgotten_removals_are_told(binp, db):
    """A key is told to be removed even if it is not known any more when and by whom."""
    await binp.kv.set(x=1, y=1)
    watch = binp.kv.watch()
    assert len(await take(watch, 2)) == 2
    await binp.kv.remove("x")
    connection = sqlite3.connect(db.removeprefix("sqlite:///"))
    connection.execute("DELETE FROM kv_removed")
    connection.commit()
    connection.close()

    entry = await anext(watch)
    assert (entry.key, entry.event, entry.version, entry.actor) == ("x", Event.REMOVED, 2, None)


async def test_odd_names_are_watched(binp):
    """Any text is a name that can be watched."""
    odd = binp.kv.select("a\0/\udc80")
    watch, all_of_them = odd.watch("\udc80/\0"), odd.watch(prefix="\udc80")
    await odd.set(**{"\udc80/\0": 1})

    assert await take(watch, 1) == await take(all_of_them, 1) == [("\\udc80/\0", 1, 1)]
    with pytest.raises(TypeError, match="^watch one key, or those with a prefix, not both$"):
        odd.watch("x", prefix="y")


async def test_a_kv_of_its_own_is_watched(db):
    """A KV without a BINP can be watched; what another store of the process writes is heard."""
    kv = KV("n", db=db)
    watch = kv.watch("k")
    waiting = asyncio.ensure_future(take(watch, 1))
    await BINP(db=db).kv.select("n").set(k=1)

    assert await waiting == [("k", 1, 1)]
