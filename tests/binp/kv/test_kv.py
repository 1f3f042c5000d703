"""Key-value state: KV rows."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import math
import types

import pytest
from pydantic import BaseModel

from binp import BINP, KV
from binp.kv import Event, KeyConflict
from binp.store.contract import StoreError


class Author(BaseModel):
    name: str
    repo: str
    year: int


async def test_set_and_get_many_values(binp):
    """KV-01: set saves several values at once, get gives one back, a missing one is None."""
    await binp.kv.set(name="reddec", repo="binp", year=2020, ratio=0.3, flags=[True, None], nested={"a": {"b": "ü"}})

    assert await binp.kv.get("name") == "reddec"
    assert await binp.kv.get("year") == 2020
    assert await binp.kv.get("ratio") == 0.3
    assert await binp.kv.get("flags") == [True, None]
    assert await binp.kv.get("nested") == {"a": {"b": "ü"}}
    assert await binp.kv.get("missing") is None


async def test_set_overwrites(binp):
    """KV-01: a second set of a key keeps the second value."""
    await binp.kv.set(x=1)
    await binp.kv.set(x=2)

    assert await binp.kv.get("x") == 2


async def test_remove_many(binp):
    """KV-01: remove takes several names; those that are not there are no error."""
    await binp.kv.set(a=1, b=2, c=3)
    await binp.kv.remove("a", "b", "nothing")

    assert [await binp.kv.get(name) for name in "abc"] == [None, None, 3]


async def test_namespaces_are_apart_and_listed(binp):
    """KV-01: select gives another namespace of the same database; namespaces lists those that have a key."""
    weather = binp.kv.select("weather")
    await weather.set(x=1)
    await binp.kv.set(x=2)
    await binp.kv.select("gone").set(x=3)
    await binp.kv.select("gone").remove("x")

    assert isinstance(weather, KV)
    assert (await weather.get("x"), await binp.kv.get("x")) == (1, 2)
    assert await binp.kv.namespaces() == ["default", "weather"]


async def test_save_and_load_a_model(binp):
    """KV-02: a pydantic model is saved under the qualified name of its class."""
    value = Author(name="reddec", repo="binp", year=2020)
    assert await binp.kv.load(Author) is None

    await binp.kv.save(value)

    assert await binp.kv.load(Author) == value
    assert await binp.kv.get("Author") == {"name": "reddec", "repo": "binp", "year": 2020}


async def test_a_model_is_a_value_too(binp):
    """KV-01: set takes a pydantic model as a value."""
    await binp.kv.set(author=Author(name="a", repo="b", year=1))

    assert await binp.kv.get("author") == {"name": "a", "repo": "b", "year": 1}


async def test_a_value_that_is_no_json_stores_nothing(binp):
    """KV-03: one value that is not JSON raises TypeError, and none of the others is stored."""
    with pytest.raises(TypeError) as caught:
        await binp.kv.set(good=1, bad=object())

    assert str(caught.value).splitlines()[0] == "the value of 'bad' is not JSON: bad is of type object"
    assert await binp.kv.get("good") is None


async def test_odd_keys_and_values(binp):
    """KV-03: any string is a key, also ``self``; NaN and large integers come back as they were."""
    odd = {"self": 1, "": 2, "a b/ü\n": 3, "name": 4}
    await binp.kv.set(**odd)
    await binp.kv.set(nan=math.nan, inf=math.inf, big=2**80, text="a\x00b\ud800")

    assert {key: await binp.kv.get(key) for key in odd} == odd
    assert math.isnan(await binp.kv.get("nan"))
    assert await binp.kv.get("inf") == math.inf
    assert await binp.kv.get("big") == 2**80
    assert await binp.kv.get("text") == "a\x00b\ud800"


async def test_nothing_to_do_is_no_error(binp):
    """KV-03: an empty set and an empty remove do nothing."""
    await binp.kv.set()
    await binp.kv.remove()

    assert await binp.kv.namespaces() == []


async def test_same_name_in_another_module_is_reported(binp, caplog):
    """N-19: loading what a class of the same name in another module saved warns; ``__main__`` is the same file."""
    other = type("Author", (Author,), {"__module__": "other", "__qualname__": "Author"})
    script = type("Author", (Author,), {"__module__": "__main__", "__qualname__": "Author"})
    await binp.kv.save(other(name="a", repo="b", year=1))

    with caplog.at_level(logging.WARNING, "KV"):
        assert (await binp.kv.load(Author)).name == "a"
        assert [record.getMessage() for record in caplog.records] == [
            f"loading Author of module {__name__}, but it was saved by a class of that name in module other"
        ]
        caplog.clear()
        await binp.kv.save(script(name="c", repo="d", year=2))
        await binp.kv.load(Author)
        await binp.kv.load(script)
        assert not caplog.records


async def test_used_alone(tmp_path):
    """KV-04: a KV of its own opens its database at the first await, and only then."""
    path = tmp_path / "alone.db"
    kv = KV("mine", db=f"sqlite:///{path}")
    assert not path.exists()

    await kv.set(x=1)

    assert path.exists()
    assert await KV("mine", db=str(path)).get("x") == 1
    assert await kv.select("other").get("x") is None


async def test_selected_before_it_joined(db):
    """KV-01: a namespace selected before the KV became a part of a BINP uses the database of that BINP as well."""
    kv = KV()
    early = kv.select("early").select("earlier")
    binp = BINP(kv=kv, db=db)

    await early.set(x=1)

    assert await binp.kv.select("earlier").get("x") == 1
    assert await binp.kv.namespaces() == ["earlier"]


async def test_many_at_once(binp):
    """N-10: a thousand concurrent writes and reads all succeed."""
    await asyncio.gather(*(binp.kv.set(**{f"k{n}": n}) for n in range(1000)))
    found = await asyncio.gather(*(binp.kv.get(f"k{n}") for n in range(1000)))

    assert found == list(range(1000))


async def test_written_inside_a_run_carries_it(binp):
    """Every write made inside a run carries the run, and one of a stale epoch is refused."""

    @binp.action
    async def write():
        await binp.kv.set(x=1)

    handle = await binp.action.start(write)
    await handle.result()
    stale = types.SimpleNamespace(id=handle.id, epoch=0, actor=None)
    from binp.runs import current_run

    token = current_run.set(stale)
    try:
        with pytest.raises(StoreError, match="not held by this process any more"):
            await binp.kv.set(x=2)
        current_run.get().epoch, current_run.get().actor = 1, "zoe"
        await binp.kv.set(x=3)
        await binp.kv.put("x", 4, actor="ann")
    finally:
        current_run.reset(token)
    latest = await binp.kv.history("x", limit=2)
    assert [(each.value, each.run, each.actor) for each in latest] == [(4, handle.id, "ann"), (3, handle.id, "zoe")]


def test_a_script_that_never_closes(db):
    """KV-04, decision 13: two event loops after each other see the same committed data, and leave no thread."""
    import threading

    before = set(threading.enumerate())
    binp = BINP(db=db)

    async def count():
        value = (await binp.kv.get("n") or 0) + 1
        await binp.kv.set(n=value)
        return value

    assert [asyncio.run(count()), asyncio.run(count())] == [1, 2]
    assert set(threading.enumerate()) <= before
    assert asyncio.run(BINP(db=db).kv.get("n")) == 2


async def test_get_with_a_default(binp):
    """KV-03: a default tells a missing key from one that holds None."""
    await binp.kv.set(nothing=None)

    assert await binp.kv.get("nothing", 5) is None
    assert await binp.kv.get("missing", 5) == 5


async def test_put_tells_the_version(binp):
    """A value is put whatever was there, and each put is a version; the entry tells all that is known of it."""
    before = dt.datetime.now(dt.UTC)
    assert [await binp.kv.put("x", 1, actor="ann"), await binp.kv.put("x", {"a": 2})] == [1, 2]

    entry = await binp.kv.entry("x")

    assert (entry.namespace, entry.key, entry.value, entry.version) == ("default", "x", {"a": 2}, 2)
    assert (entry.event, entry.has_value, entry.expires_at, entry.run, entry.actor) == (
        Event.SET,
        True,
        None,
        None,
        None,
    )
    assert before <= entry.updated_at <= dt.datetime.now(dt.UTC)
    assert await binp.kv.entry("y") is None


async def test_put_in_an_expected_version(binp):
    """A key is written in the expected version alone; the error has the versions."""
    await binp.kv.put("x", 1)
    assert await binp.kv.put("x", 2, if_version=1) == 2
    with pytest.raises(KeyConflict) as caught:
        await binp.kv.put("x", 3, if_version=1)

    assert (caught.value.namespace, caught.value.key) == ("default", "x")
    assert (caught.value.expected, caught.value.found) == (1, 2)
    with pytest.raises(KeyConflict) as caught:
        await binp.kv.put("y", 3, if_version=1)
    assert (caught.value.expected, caught.value.found) == (1, None)
    assert await binp.kv.get("x") == 2
    assert await binp.kv.get("y") is None


async def test_of_many_who_create_one_succeeds(binp):
    """A key is created once, however many try at the same moment; after its removal it can be created again."""

    async def create(number):
        try:
            await binp.kv.create("leader", number)
        except KeyConflict:
            return None
        return number

    winners = [number for number in await asyncio.gather(*map(create, range(50))) if number is not None]

    assert [await binp.kv.get("leader")] == winners
    with pytest.raises(KeyConflict) as caught:
        await binp.kv.create("leader", 1)
    assert (caught.value.expected, caught.value.found) == (None, 1)
    await binp.kv.remove("leader")
    assert await binp.kv.create("leader", 1) == 3


async def test_remove_in_an_expected_version(binp):
    """A key is removed in the expected version alone; of several keys none can be expected."""
    await binp.kv.put("x", 1)
    with pytest.raises(KeyConflict):
        await binp.kv.remove("x", if_version=2)
    assert await binp.kv.get("x") == 1
    await binp.kv.remove("x", if_version=1)

    assert await binp.kv.get("x") is None
    with pytest.raises(KeyConflict) as caught:
        await binp.kv.remove("x", if_version=1)
    assert caught.value.found is None
    with pytest.raises(TypeError, match="^if_version is of one key$"):
        await binp.kv.remove("x", "y", if_version=1)


async def test_update_loses_nothing(binp):
    """Of many updates of one key at once none is lost; a key that is not there begins with the default."""

    def add(numbers):
        numbers.append(len(numbers))
        return numbers

    await asyncio.gather(*(binp.kv.update("n", lambda n: n + 1, default=0) for _ in range(200)))
    none = []
    await asyncio.gather(*(binp.kv.update("list", add, default=none) for _ in range(20)))

    assert await binp.kv.get("n") == 200
    assert await binp.kv.get("list") == list(range(20))
    assert none == []
    assert await binp.kv.update("n", str) == "200"


async def test_update_leaves_the_rest_as_it_is(binp):
    """An update keeps the time at which the key expires, or sets another one; one that fails changes nothing."""
    await binp.kv.put("x", 1, ttl=3600)
    expires = (await binp.kv.entry("x")).expires_at
    await binp.kv.update("x", lambda x: x + 1)
    assert (await binp.kv.entry("x")).expires_at == expires
    await binp.kv.update("x", lambda x: x + 1, ttl=dt.timedelta(hours=2))
    assert (await binp.kv.entry("x")).expires_at > expires + dt.timedelta(minutes=59)
    with pytest.raises(ZeroDivisionError):
        await binp.kv.update("x", lambda x: x / 0)
    with pytest.raises(TypeError, match="the value of 'x' is not JSON"):
        await binp.kv.update("x", lambda x: {x})

    assert await binp.kv.get("x") == 3


async def test_a_saved_model_can_be_updated(binp, caplog):
    """KV-02: the parts of a saved model can be updated, and it is loaded without a warning."""
    await binp.kv.save(Author(name="a", repo="b", year=1))
    await binp.kv.update("Author", lambda author: author | {"year": 2})

    assert (await binp.kv.load(Author)).year == 2
    assert (await binp.home.store.get_key("default", "Author")).module == __name__


async def test_a_key_is_there_for_a_time(binp):
    """A key with a time to live is not there when it is over; one that is set anew without it stays."""
    await binp.kv.put("short", 1, ttl=0.05)
    await binp.kv.put("kept", 1, ttl=0.05)
    await binp.kv.put("long", 1, ttl=dt.timedelta(days=1))
    await binp.kv.put("ever", 1, ttl=math.inf)
    await binp.kv.set(kept=2)
    while await binp.kv.get("short") is not None:
        await asyncio.sleep(0.01)

    assert await binp.kv.keys() == ["ever", "kept", "long"]
    left = (await binp.kv.entry("long")).expires_at - dt.datetime.now(dt.UTC)
    assert dt.timedelta(hours=23) < left < dt.timedelta(hours=24)
    for wrong in (0, -1, math.nan, dt.timedelta(0)):
        with pytest.raises(ValueError, match="must be above 0 seconds"):
            await binp.kv.put("x", 1, ttl=wrong)


async def test_a_quick_put_is_there(binp):
    """A put that need not be on the disk is there when it returns."""
    await binp.kv.put("x", 1, durable=False)
    await binp.kv.update("x", lambda x: x + 1, durable=False)

    assert await binp.kv.get("x") == 2


async def test_the_history_of_a_key(binp):
    """The history has each version with its value, who made it and in which run, the newest first."""

    @binp.action
    async def write():
        await binp.kv.put("x", 2)

    await binp.kv.put("x", 1, actor="ann")
    handle = await binp.action.start(write)
    await handle.result()
    await binp.kv.remove("x", actor="bob")
    await binp.kv.set(x=4)

    history = await binp.kv.history("x")

    assert [(each.version, each.value, each.event) for each in history] == [
        (4, 4, Event.SET),
        (3, None, Event.REMOVED),
        (2, 2, Event.SET),
        (1, 1, Event.SET),
    ]
    assert [each.actor for each in history] == [None, "bob", None, "ann"]
    assert [each.run for each in history] == [None, None, handle.id, None]
    assert [each.has_value for each in history] == [True, False, True, True]
    assert [each.version for each in await binp.kv.history("x", limit=2)] == [4, 3]
    assert await binp.kv.history("y") == []
    assert (await binp.kv.entry("x")).version == 4


async def test_how_much_history_is_kept(db):
    """As many versions are kept as the settings say, or as the namespace was selected with."""
    made = BINP(db=db)
    made.home.overrides["kv_history"] = 4
    few = made.kv.select("few", history=2)
    for number in range(6):
        await made.kv.set(x=number)
        await few.set(x=number)
        await few.select("fewer").put("x", number)

    assert [each.value for each in await made.kv.history("x")] == [5, 4, 3, 2]
    assert [each.value for each in await few.history("x")] == [5, 4]
    assert [each.value for each in await made.kv.select("fewer").history("x")] == [5, 4]
    for wrong in (0, 1001):
        with pytest.raises(ValueError, match=f"history is {wrong}: it must be from 1 to 1000"):
            KV(history=wrong)
    await made.home.close()


async def test_names_that_are_no_text(binp):
    """A key is text everywhere."""
    for call in (binp.kv.get, binp.kv.entry, binp.kv.history, binp.kv.remove):
        with pytest.raises(TypeError, match="^a key is text, not 5$"):
            await call(5)
    for write in (binp.kv.put, binp.kv.create):
        with pytest.raises(TypeError, match="^a key is text, not 5$"):
            await write(5, 1)
    with pytest.raises(ValueError, match="^if_version is -1: versions begin with 1$"):
        await binp.kv.put("x", 1, if_version=-1)
