"""A backup that is put in the place of a database."""

import os
import sqlite3
import subprocess
import sys

import pytest

from binp.store import open_store
from binp.store.contract import BeginRun, SchemaTooNew, SetKeys, State, StoreError, StoreOwned
from binp.store.sqlite import _migrate, back_up, restore


async def write(path, value):
    """A store that was opened, written to and closed; the last value wins."""
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    await store.write(SetKeys(namespace="n", items=(("k", str(value)),), at=1))
    await store.close()


async def read(path):
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    found = await store.get_key("n", "k")
    await store.close()
    return None if found is None else int(found.value)


async def test_a_backup_comes_back(path):
    """What the backup had is there again; what was there is kept beside it, and is a database as well."""
    await write(path, 1)
    backup = path.with_name("backup")
    back_up(path, backup)
    await write(path, 2)

    kept = restore(path, backup)

    assert await read(path) == 1
    assert kept is not None
    assert kept.name.startswith("data.db.20")
    assert await read(kept) == 2
    assert backup.exists()


async def test_where_there_was_nothing(path, tmp_path):
    """A backup can be put where no database is yet; nothing but it is there then."""
    other = tmp_path / "other.db"
    await write(other, 7)
    (tmp_path / "data.db-wal").write_bytes(b"left behind")

    assert restore(path, other) is None

    assert sorted(file.name for file in tmp_path.iterdir()) == ["data.db", "other.db"]
    assert await read(path) == 7


async def test_not_while_this_process_has_it_open(path, store):
    """A store of this process keeps it from being replaced, until it is closed."""
    backup = path.with_name("backup")
    back_up(path, backup)

    with pytest.raises(StoreOwned, match="this process .* has the database open already"):
        restore(path, backup)
    await store.close()
    assert restore(path, backup) is not None


async def test_not_while_another_process_has_it_open(path, tmp_path):
    """The owner is named, and nothing is changed."""
    await write(path, 1)
    backup = tmp_path / "backup"
    back_up(path, backup)
    await write(path, 2)
    program = (
        "import asyncio, sys\n"
        "from binp.store import open_store\n"
        "async def hold(path):\n"
        "    store = open_store(path)\n"
        "    await store.open()\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.read()\n"
        "    await store.close()\n"
        "asyncio.run(hold(sys.argv[1]))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout.readline() == "open\n"
        with pytest.raises(StoreOwned) as caught:
            restore(path, backup)
        assert caught.value.owner["pid"] == owner.pid
        owner.stdin.close()
        owner.wait()

    assert await read(path) == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["backup", "data.db"]
    restore(path, backup)
    assert await read(path) == 1


async def test_what_ran_when_it_was_made_is_interrupted(path, store):
    """A run that was going on when the backup was made is not going on in it."""
    run = store.new_id()
    await store.write(BeginRun(id=run, operation="work", trigger="call", node=store.node, at=5))
    back_up(path, path.with_name("backup"))
    await store.close()

    restore(path, path.with_name("backup"))

    await store.open()
    assert (await store.get_run(run)).state is State.INTERRUPTED


async def test_a_damaged_database_is_replaced_and_kept(path):
    """A database that cannot be opened any more is put aside with its log, as it is."""
    await write(path, 1)
    backup = path.with_name("backup")
    back_up(path, backup)
    broken = os.urandom(8192)
    path.write_bytes(broken)
    path.with_name("data.db-wal").write_bytes(b"its log")

    kept = restore(path, backup)

    assert kept.read_bytes() == broken
    assert kept.with_name(kept.name + "-wal").read_bytes() == b"its log"
    assert await read(path) == 1


async def test_what_is_no_backup_is_refused(path, tmp_path):
    """A missing file, another program's database, a damaged or newer one: the database stays as it is."""
    await write(path, 1)
    backup = tmp_path / "backup"

    def refused():
        with pytest.raises(StoreError) as caught:
            restore(path, backup)
        assert caught.value.where == str(backup)
        assert caught.value.fix
        assert sorted(file.name for file in tmp_path.iterdir() if not file.name.startswith("backup")) == ["data.db"]
        return caught.value

    assert refused().what == "there is no backup here"
    backup.write_text("dear diary\n" * 1000)
    assert "the file is not a database" in refused().what
    backup.unlink()
    with sqlite3.connect(backup) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    assert refused().what == "this is not a database of binp"
    backup.unlink()
    back_up(path, backup)
    with sqlite3.connect(backup) as connection:
        connection.execute("INSERT INTO migration VALUES (99, '0099_x.sql', 'x', 1)")
    connection.close()
    error = refused()
    assert isinstance(error, SchemaTooNew)
    assert error.what == f"the backup has schema 99, and this version knows schema {_migrate.shipped()[-1].version}"
    backup.unlink()
    await write(backup, 5)
    os.truncate(backup, backup.stat().st_size - 4096 * 2)
    assert "damaged" in refused().what
    with pytest.raises(StoreError, match="the backup is the database itself"):
        restore(path, path)
    assert await read(path) == 1


async def test_without_links_it_is_renamed(path, monkeypatch):
    """On a file system that knows no second names it works as well."""
    await write(path, 1)
    back_up(path, path.with_name("backup"))
    await write(path, 2)

    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    kept = restore(path, path.with_name("backup"))

    assert (await read(path), await read(kept)) == (1, 2)
