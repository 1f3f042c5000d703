"""Keys a page at a time."""

from __future__ import annotations


async def test_keys_and_entries_are_listed(binp):
    """Names come sorted, from one on, with a prefix, and as many as wanted; entries have their values."""
    await binp.kv.set(b=1, a=2, ab=3, ac=4)
    await binp.kv.select("other").set(a=5)

    assert await binp.kv.keys() == ["a", "ab", "ac", "b"]
    assert await binp.kv.keys(prefix="a") == ["a", "ab", "ac"]
    assert await binp.kv.keys(prefix="a", after="a", limit=1) == ["ab"]
    assert await binp.kv.keys(limit=0) == []
    assert [(each.key, each.value) for each in await binp.kv.entries(after="ab")] == [("ac", 4), ("b", 1)]
    assert [name async for name in binp.kv.keys("ab")] == ["ab"]


async def test_very_many_keys_are_gone_through(binp):
    """Any number of keys is gone through once, in order; it can be left in the middle."""
    names = [f"k{number:04}" for number in range(1003)]
    await binp.kv.set(**dict.fromkeys(names, 1))

    assert [name async for name in binp.kv.keys()] == names
    assert await binp.kv.keys(limit=500) == names[:500]
    assert len(await binp.kv.entries(limit=400)) == 400
    async for entry in binp.kv.entries():
        if entry.key == "k0300":
            break
    assert entry.key == "k0300"


async def test_keys_that_come_and_go_meanwhile(binp):
    """What is there all the time is seen once, whatever comes and goes while it is gone through."""
    stays = [f"k{number:04}" for number in range(0, 1000, 2)]
    await binp.kv.set(**dict.fromkeys(stays, 1))
    seen = []
    async for name in binp.kv.keys():
        seen.append(name)
        number = len(seen)
        await binp.kv.remove(f"k{number - 2:04}x")
        await binp.kv.set(**{f"k{number:04}x": 1})

    assert [name for name in seen if name in set(stays)] == stays
    assert len(seen) == len(set(seen))
