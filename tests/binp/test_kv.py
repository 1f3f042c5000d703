"""Key-value state: KV rows."""

from __future__ import annotations

import asyncio
import logging
import math
import types

import pytest
from pydantic import BaseModel

from binp import BINP, KV
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
    """KV-03: one value that is no JSON raises TypeError, and none of the others is stored."""
    with pytest.raises(TypeError) as caught:
        await binp.kv.set(good=1, bad=object())

    assert str(caught.value) == "the value of 'bad' is no JSON: Object of type object is not JSON serializable"
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
    finally:
        current_run.reset(token)
    assert await binp.kv.get("x") == 1


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
    assert set(threading.enumerate()) == before
    assert asyncio.run(BINP(db=db).kv.get("n")) == 2
