"""What is remembered of keys from one batch to the next."""

import contextlib
import sqlite3

import pytest

from binp.store.contract import PutKey, RemoveKeys, SetKeys, StoreError, Written
from binp.store.sqlite import _key_rows


def put(key, value, **given):
    return PutKey(namespace="n", key=key, value=value, at=1, **given)


async def test_another_program_changes_a_key_that_is_remembered(path, store):
    """A version that another program has written counts, and so does its removal."""
    assert await store.write(put("a", "1")) == Written(is_done=True, version=1)
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE kv SET value = '2', version = 7")

    assert await store.write(put("a", "3", expected=1)) == Written(is_done=False, version=7)
    assert await store.write(put("a", "3", expected=7)) == Written(is_done=True, version=8)

    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("DELETE FROM kv")
    assert await store.write(put("a", "4", expected=8)) == Written(is_done=False, version=0)


async def test_a_write_that_is_undone_is_not_remembered(store):
    """What fails leaves the version as it was, also for those that come in the same batch and after it."""
    assert await store.write(put("a", "1")) == Written(is_done=True, version=1)
    # no statement takes this
    failing = store.write(SetKeys(namespace="n", items=(("a", "2"), ("b", 3)), at=1))
    beside = store.write(put("c", "1"))

    with pytest.raises(StoreError):
        await failing
    assert await beside == Written(is_done=True, version=1)
    assert await store.write(put("a", "2", expected=1)) == Written(is_done=True, version=2)


async def test_keys_that_were_removed_or_forgotten_go_on_from_their_version(store, monkeypatch):
    """A removed key goes on where it was, and so does one that is not remembered because there are too many."""
    monkeypatch.setattr(_key_rows, "_REMEMBERED", 2)
    for key in "abcd":
        assert await store.write(put(key, "1")) == Written(is_done=True, version=1)
    await store.write(RemoveKeys(namespace="n", keys=("a",), at=1))

    assert await store.write(put("a", "2", expected=0)) == Written(is_done=True, version=3)
    for key in "bcd":
        assert await store.write(put(key, "2", expected=1)) == Written(is_done=True, version=2)
