"""Copies of a database: whole, on the disk, and sound, or not at all."""

import asyncio
import os
import sqlite3
import stat

import pytest

from binp.store import open_store
from binp.store.contract import SetKeys, StoreError
from binp.store.sqlite import back_up


async def fill(store, count=2000):
    for start in range(0, count, 100):
        items = tuple((f"k{number}", '"' + "x" * 500 + '"') for number in range(start, start + 100))
        await store.write(SetKeys(namespace="n", items=items, at=1))


def files(path):
    return sorted(file.name for file in path.parent.iterdir() if not file.name.startswith("data.db"))


def keys(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT count(*) FROM kv").fetchone()[0]
    finally:
        connection.close()


async def test_a_copy_of_a_database_in_use(store, path):
    """While others write, what was acknowledged before is in the copy; nobody else may read it; progress is told."""
    await fill(store)
    is_done = asyncio.Event()

    async def write():
        number = 0
        while not is_done.is_set():
            number += 1
            await store.write(SetKeys(namespace="other", items=(("k", str(number)),), at=1))

    writing = asyncio.create_task(write())
    told = []
    target = path.with_name("copy.db")
    size = await asyncio.to_thread(back_up, path, target, progress=lambda done, total: told.append((done, total)))
    is_done.set()
    await writing

    assert keys(target) in {2000, 2001}
    assert size == target.stat().st_size
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert files(path) == ["copy.db"]
    assert told[-1][0] == told[-1][1] > 1_000_000
    assert [done for done, _ in told] == sorted(done for done, _ in told)


async def test_a_copy_of_a_database_at_rest(store, path, tmp_path):
    """A copy can be opened like the database itself, and gives its space back as well."""
    await fill(store, 100)
    await store.close()
    target = tmp_path / "copy of ä.db"

    back_up(path, target)

    copy = open_store(str(target), synchronous="OFF")
    await copy.open()
    assert len(await copy.list_keys("n", limit=1000)) == 100
    assert copy._engine._writer.connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    await copy.close()


async def test_what_a_killed_backup_left_is_taken_away(store, path):
    """Drafts that nobody has written to for a day go with the next backup; younger ones, and other files, stay."""
    await fill(store, 10)
    old, young = path.with_name(".copy[1].db.0123abcd"), path.with_name(".copy[1].db.89abcdef")
    others = [path.with_name(name) for name in (".copy[1].db.kept", ".other.db.0123abcd", "copy[1].db.0123abcd")]
    journal = old.with_name(f"{old.name}-journal")
    for file in (old, journal, young, *others):
        file.write_text("half")
    for file in (old, journal, *others):
        os.utime(file, (0, 0))

    back_up(path, path.with_name("copy[1].db"))
    assert [file.exists() for file in (old, journal)] == [False, False]
    assert all(file.exists() for file in (young, *others))


async def test_what_is_there_is_not_overwritten_by_chance(store, path):
    """A file of that name stays, unless it is to be replaced."""
    await fill(store, 100)
    target = path.with_name("copy.db")
    target.write_text("precious")

    with pytest.raises(StoreError) as caught:
        back_up(path, target)
    assert caught.value.what == "there is a file of that name"
    assert caught.value.fix == "name another one, or use --force"
    assert target.read_text() == "precious"

    back_up(path, target, replace=True)
    assert keys(target) == 100


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("no/copy.db", "the directory of the copy does not exist"),
        (".", "the copy is a directory"),
        ("data.db", "the copy is the database itself"),
        ("pipe", "the copy is not a file but a device or a pipe"),
    ],
)
async def test_places_where_no_copy_can_be(store, path, name, what):
    """What is wrong with the place is said, nothing is replaced, and nothing is left behind."""
    if name == "pipe":
        os.mkfifo(path.with_name(name))
    with pytest.raises(StoreError) as caught:
        back_up(path, path.parent / name, replace=True)
    assert caught.value.what == what
    assert caught.value.fix
    assert files(path) == ([name] if name == "pipe" else [])


def test_what_is_no_database_is_not_copied(path):
    """A missing file, one of another program, and what is none at all are named."""
    target = path.with_name("copy.db")
    with pytest.raises(StoreError, match="there is no database here"):
        back_up(path, target)
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    with pytest.raises(StoreError, match="this is not a database of binp"):
        back_up(path, target)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" * 500)
    with pytest.raises(StoreError, match="the file is not a database"):
        back_up(path, target)
    assert files(path) == []


async def test_a_damaged_database_is_not_copied(store, path):
    """A copy is looked at before it gets its name: what is damaged does not replace an earlier, sound copy."""
    await fill(store)
    await store.close()
    target = path.with_name("copy.db")
    target.write_text("the earlier copy")
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(os.urandom(4096 * 3))

    with pytest.raises(StoreError) as caught:
        back_up(path, target, replace=True)
    assert "damaged" in caught.value.what
    assert caught.value.where == str(path)
    assert target.read_text() == "the earlier copy"
    assert files(path) == ["copy.db"]


async def test_a_copy_that_does_not_fit_leaves_nothing(store, path, limited_disk):
    """Where there is no space for it, that is said of the place of the copy, and nothing is left there."""
    await fill(store)

    with pytest.raises(StoreError) as caught:
        back_up(path, limited_disk / "copy.db")
    assert "there is no space left" in caught.value.what
    assert caught.value.where == str(limited_disk / "copy.db")
    assert list(limited_disk.iterdir()) == []
