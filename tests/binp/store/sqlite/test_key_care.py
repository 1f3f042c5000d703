"""Keys that expire, versions that are too many, and removed keys that are forgotten."""

from __future__ import annotations

import asyncio
import random
import sqlite3

import pytest

from binp.store import open_store
from binp.store.contract import PutKey, RemoveKeys, SetKeys, Written
from binp.store.sqlite import _key_care
from binp.store.sqlite._housekeeping import Housekeeping

#: so long that the owner does not look at the clock before it is set
LONG = 50_000_000


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 1_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def hand():
    return Clock()


@pytest.fixture
async def timed(path, hand):
    store = open_store(str(path), synchronous="OFF", clock=hand)
    await store.open()
    yield store
    await store.close()


def count(path, table):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - a name of ours
    finally:
        connection.close()


def put(key="k", value="1", **given):
    return PutKey(**{"namespace": "n", "key": key, "value": value, "at": 1} | given)


async def test_the_moment_of_expiry_is_the_first_without_the_key(timed, hand):
    """A key is there one microsecond before it expires, and not there when it does, in every answer."""
    await timed.write(put(expires=hand.now + LONG))

    # this is the last that the owner hears of the clock before the key has expired
    assert await timed.write(put(expected=0)) == Written(is_done=False, version=1)
    hand.now += LONG - 1
    assert await timed.get_value("n", "k") == "1"
    assert len(await timed.list_keys("n")) == 1
    assert await timed.namespaces() == ["n"]
    assert [kept.is_expired for kept in await timed.get_key_history("n", "k")] == [False]
    hand.now += 1
    assert await timed.get_value("n", "k") is await timed.get_key("n", "k") is None
    assert await timed.list_keys("n") == await timed.namespaces() == []
    assert [kept.is_expired for kept in await timed.get_key_history("n", "k")] == [True, False]
    assert await timed.write(put(expected=0)) == Written(is_done=True, version=3)


async def test_versions_do_not_depend_on_when_an_expired_key_was_removed(timed, hand, path, until):
    """Whether the owner or the next write finds out that a key has expired makes no difference to its versions."""
    for key in ("swept", "found"):
        await timed.write(put(key, expires=hand.now + LONG))
    before = [await timed.get_key_history("n", "swept")]
    hand.now += LONG
    before.append(await timed.get_key_history("n", "swept"))
    await timed.write(put("found"))  # and this wakes up the owner
    await until(lambda: count(path, "kv") == 1)
    await timed.write(put("swept"))

    swept, found = [await timed.get_key_history("n", key) for key in ("swept", "found")]
    assert swept == found
    assert [kept.version for kept in swept] == [3, 2, 1]
    assert swept[1:] == before[1]
    assert swept[2:] == before[0]


async def test_what_expires_at_once_is_removed_bit_by_bit(timed, hand, path, until, monkeypatch):
    """Thousands of keys that expire together are removed in parts, each told, and writes get their turn in between."""
    names = [f"k{number:04}" for number in range(3000)]
    acks = [timed.write(put(name, expires=hand.now + LONG)) for name in names]
    assert all([(await ack).is_done for ack in acks])
    told, parts = [], []
    timed.listen(lambda changes: told.extend(change.id for change in changes))
    expire = Housekeeping._expire

    def expire_some(house, seq):
        wait, changes = expire(house, seq)
        if not parts:
            # it comes while the first of them are removed
            timed.write(put("between"))
        parts.append(len(changes))
        return wait, changes

    monkeypatch.setattr(Housekeeping, "_expire", expire_some)
    hand.now += LONG
    await timed.write(put("other"))
    await until(lambda: count(path, "kv") == 2)
    await until(lambda: len(told) == 3002)

    assert (max(parts), sum(parts)) == (500, 3000)
    assert told.index("n/between") == 501
    assert set(told) == {"n/other", "n/between"} | {f"n/{name}" for name in names}


async def test_a_store_that_is_opened_removes_what_expired_meanwhile(path, hand, until):
    """What expired while nobody had the file open is removed soon after it is opened, without a write."""
    for wait in (False, True):
        store = open_store(str(path), synchronous="OFF", clock=hand)
        await store.open()
        if wait:
            await until(lambda: count(path, "kv") == 1)
        else:
            await store.write(put(expires=hand.now + LONG))
            await store.write(put("stays", expires=hand.now + 10 * LONG))
        await store.close()
        hand.now += 5 * LONG


async def test_an_owner_rests_when_nothing_expires(timed, hand, path, monkeypatch, until):
    """After what has expired is removed it is not looked for again and again."""
    looked = []
    real = _key_care.KeyCare.expired

    def count_looks(self, now, most):
        looked.append(now)
        return real(self, now, most)

    monkeypatch.setattr(_key_care.KeyCare, "expired", count_looks)
    await timed.write(put(expires=hand.now + LONG))
    hand.now += LONG
    await timed.write(put("other"))
    await until(lambda: count(path, "kv") == 1)
    await asyncio.sleep(0.1)

    assert len(looked) == 1


async def test_what_is_not_to_be_kept_is_not_kept(timed, path):
    """A key with a history of one version leaves nothing of the past in the file."""
    for number in range(10):
        acks = [timed.write(put(value=str(number), history=1)) for _ in range(3)]
        assert (await acks[-1]).is_done

    assert count(path, "kv_past") == 0
    assert [kept.version for kept in await timed.get_key_history("n", "k")] == [30]


async def test_a_failing_removal_is_tried_again(timed, hand, path, monkeypatch, caplog, until):
    """Keys that cannot be removed harm nobody; it is said, and tried again."""
    monkeypatch.setattr("binp.store.sqlite._housekeeping._AGAIN", 0.05)
    failures = []
    real = _key_care.KeyCare.expired

    def fail(self, now, most):
        if len(failures) < 3:
            failures.append(now)
            raise sqlite3.OperationalError("mine")
        return real(self, now, most)

    monkeypatch.setattr(_key_care.KeyCare, "expired", fail)
    await timed.write(put(expires=hand.now + LONG))
    hand.now += LONG
    await timed.write(put("other"))

    await until(lambda: count(path, "kv") == 1)
    assert len(failures) == 3
    assert "keys that have expired could not be removed" in caplog.text


async def test_odd_names_expire(timed, hand, path, until):
    """Names with NUL and half surrogates expire, are archived and set again like all others."""
    odd = ["a\0b", "\0", "\udc80", "a", 'a"\\u0000']
    for name in odd:
        await timed.write(put(name, namespace=name, expires=hand.now + LONG))
        await timed.write(put(name, namespace=name, value="2", expires=hand.now + LONG))
    hand.now += LONG
    await timed.write(put("other"))
    await until(lambda: count(path, "kv") == 1)
    await asyncio.gather(*(timed.write(put(name, namespace=name, value="4")) for name in odd))

    for name in odd:
        kept = await timed.get_key_history(name, name)
        assert [each.version for each in kept] == [4, 3, 2, 1], name
        assert [each.value for each in kept] == ["4", None, "2", "1"], name


async def test_the_past_does_not_grow(timed, path):
    """Whatever is written how often: there are at most a few times as many rows of the past as are asked for."""
    for turn in range(60):
        acks = [
            timed.write(SetKeys(namespace="n", items=((f"k{number}", str(turn)),), at=turn, history=5))
            for number in range(100)
        ]
        assert [await ack for ack in acks] == [True] * 100

    assert count(path, "kv_past") <= 3 * 5 * 100 + 512
    kept = await timed.get_key_history("n", "k7")
    assert [each.value for each in kept] == ["59", "58", "57", "56", "55"]


async def test_the_past_does_not_grow_with_many_restarts(path, monkeypatch):
    """A program that is started often and writes little each time does not leave more and more behind."""
    monkeypatch.setattr(_key_care, "_ROUND", 16)
    monkeypatch.setattr(_key_care.random, "randrange", random.Random(7).randrange)
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    for turn in range(3):
        await store.write(SetKeys(namespace="n", items=tuple((f"k{key}", "1") for key in range(200)), at=turn))
    await store.close()
    for turn in range(60):
        await store.open()
        for number in range(20):
            assert (await store.write(put(value=f"{turn}.{number}", history=2))).is_done
        await store.close()

    assert count(path, "kv_past") < 2 * 200 + 600


async def test_removed_keys_are_forgotten_and_no_version_goes_back(timed, path, monkeypatch):
    """Of very many removed keys the oldest are forgotten with their past; one that comes again begins above them."""
    monkeypatch.setattr(_key_care, "_REMEMBERED", 100)
    for number in range(5):
        await timed.write(put("old", value=str(number)))
    await timed.write(RemoveKeys(namespace="n", keys=("old",), at=1))
    for part in range(40):
        names = [f"k{part}.{number}" for number in range(50)]
        await timed.write(SetKeys(namespace="n", items=tuple((name, "1") for name in names), at=part + 2))
        await timed.write(RemoveKeys(namespace="n", keys=tuple(names), at=part + 2))

    assert count(path, "kv_removed") <= 100 + 512 + 50
    assert await timed.get_key_history("n", "old") == []
    again = await timed.write(put("old", expected=0))
    assert again.version > 6
    await timed.close()
    await timed.open()
    assert (await timed.write(put("new"))).version >= again.version
    assert await timed.write(put("k39.49")) == Written(is_done=True, version=(await removed_at(timed, "k39.49")) + 1)


async def removed_at(store, key):
    """The version of a removed key."""
    return next(kept.version for kept in await store.get_key_history("n", key) if kept.is_removed)


async def test_an_id_that_is_given_away_anew_is_no_past(timed, path):
    """What is left of a forgotten version leads nowhere, whatever took its place; history ends there."""
    for value in "123":
        await timed.write(put(value=value))
    await timed.close()
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM kv_past WHERE version = 2")
    connection.commit()
    connection.close()
    await timed.open()
    await timed.write(put("l"))
    await timed.write(put("l"))
    assert count(path, "kv_past") == 2

    assert [kept.version for kept in await timed.get_key_history("n", "k")] == [3]
    assert [kept.version for kept in await timed.get_key_history("n", "l")] == [2, 1]
