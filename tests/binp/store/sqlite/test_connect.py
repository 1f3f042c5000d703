"""Files that cannot be used, and how that is said."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from binp.store import open_store
from binp.store.contract import SetKeys, StoreDamaged, StoreError


async def refusal(path):
    store = open_store(str(path))
    with pytest.raises(StoreError) as caught:
        await store.open()
    assert str(path.parent) in caught.value.where
    assert caught.value.fix
    assert caught.value.__cause__ is None
    # it was let go of: trying again says the same
    with pytest.raises(StoreError, match="^" + caught.value.what.split("(")[0][:20].replace("(", ".")):
        await store.open()
    return caught.value.what


async def test_a_missing_directory(tmp_path):
    """The directory has to be there."""
    assert await refusal(tmp_path / "no" / "data.db") == "the directory of the database does not exist"


async def test_a_directory_instead_of_a_file(tmp_path):
    """A directory is no database."""
    assert await refusal(tmp_path) == "the database is a directory"


async def test_a_file_that_is_no_database(path):
    """A text is no database, and stays as it is."""
    path.write_text("dear diary\n" * 1000)

    assert "the file is not a database" in await refusal(path)
    assert path.read_text().startswith("dear diary")


async def test_a_database_of_somebody_else(path):
    """Tables of another program are not touched."""
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE kv (mine)")
    connection.close()

    assert await refusal(path) == "the database was made by another program"


#: becomes nobody, who may not even read this Python, when all is imported and the database was made
AS_NOBODY = """
import asyncio, os, sys
from pathlib import Path
from binp.store import open_store
from binp.store.sqlite._export import export
async def open_and_close(path):
    store = open_store(path)
    await store.open()
    await store.close()
asyncio.run(open_and_close(sys.argv[1]))
os.chmod(os.path.dirname(sys.argv[1]), int(sys.argv[2], 8))
os.setuid(65534)
for use in (lambda: asyncio.run(open_and_close(sys.argv[1])), lambda: list(export(Path(sys.argv[1])))):
    try: use()
    except Exception as error: print(type(error).__name__, error.args[0])
"""


@pytest.fixture
def refused():
    """What is said to somebody else of a database in a folder with this mode."""
    if os.geteuid() != 0:
        pytest.skip("needs the right to become another user")
    # not below the folder of pytest, which other test processes close to others
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        place = Path(folder) / "place"
        place.mkdir()

        def told(mode):
            command = [sys.executable, "-c", AS_NOBODY, str(place / "data.db"), mode]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

        yield told


def test_a_file_that_may_not_be_written(refused):
    """A folder that is read-only for this user is refused in words."""
    assert "StoreError the database cannot be claimed: Permission denied" in refused("755")


def test_a_folder_that_may_not_be_looked_into(refused):
    """One that is closed to this user is refused in words, to whoever opens and whoever reads."""
    assert refused("700") == ["StoreError the database cannot be looked at: Permission denied"] * 2


async def test_a_folder_of_ones_own_that_is_read_only(path):
    """A read-only directory is refused, for whoever cannot override that."""
    if os.geteuid() == 0:
        pytest.skip("there is nothing that may not be written for this user")
    path.parent.chmod(0o500)
    try:
        assert "cannot be" in await refusal(path)
    finally:
        path.parent.chmod(0o700)


async def test_a_foreign_lock_is_named(path, store, monkeypatch):
    """Another program that holds a write lock makes writes fail with words, and they go on afterwards."""
    store._engine._writer.connection.execute("PRAGMA busy_timeout = 50")
    foreign = sqlite3.connect(path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")

    with pytest.raises(StoreError) as caught:
        await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1))
    assert "locked by another program" in str(caught.value)

    foreign.execute("ROLLBACK")
    foreign.close()
    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True


async def test_a_full_disk_is_named(path, store):
    """When there is no space, writes fail with words, reads go on, and so do writes as soon as there is space."""
    connection = store._engine._writer.connection
    await store.write(SetKeys(namespace="n", items=(("kept", "1"),), at=1))
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(StoreError) as caught:
        await store.write(SetKeys(namespace="n", items=(("k", '"' + "x" * 100_000 + '"'),), at=1))
    assert "there is no space left for the database" in str(caught.value)
    assert (await store.get_key("n", "kept")).value == "1"
    assert await store.get_key("n", "k") is None

    connection.execute("PRAGMA max_page_count = 1000000")
    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True


async def test_a_file_that_was_removed_takes_no_more_writes(path, store):
    """Nothing is acknowledged into a file that is not there any more."""
    path.rename(path.with_name("moved.db"))

    with pytest.raises(StoreError) as caught:
        await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1))
    assert "removed or replaced" in str(caught.value)
    assert "put the file back" in caught.value.fix


async def test_the_file_is_set_up_to_last(path, store):
    """Write-ahead logging, full synchronisation by default, and a file that can shrink."""

    def pragma(connection, name):
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    writer = store._engine._writer.connection
    assert pragma(writer, "journal_mode") == "wal"
    assert pragma(writer, "auto_vacuum") == 2
    assert pragma(store._point.connection, "query_only") == 1
    await store.close()

    durable = open_store(str(path))
    await durable.open()
    assert pragma(durable._engine._writer.connection, "synchronous") == 2
    await durable.close()


async def test_a_file_of_a_format_that_there_is_not(path, store):
    """The one byte that says in which format the tables are told is damaged: that is said, with a remedy."""
    await store.close()
    content = bytearray(path.read_bytes())
    content[47] = 0x44
    path.write_bytes(content)

    with pytest.raises(StoreDamaged, match="unsupported file format") as caught:
        await open_store(str(path)).open()
    assert "binp restore" in caught.value.fix
