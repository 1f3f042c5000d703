"""The schema of a database that nobody has open, and a rehearsal on a copy."""

import sqlite3

import pytest

from binp.store.contract import SetKeys, StoreError, StoreOwned
from binp.store.sqlite import _upgrade, rehearse, upgrade
from binp.store.sqlite._migrate import Migration, shipped

NEXT = Migration(version=2, name="0002_next.sql", text="CREATE TABLE extra (x); INSERT INTO extra SELECT key FROM kv;")
BROKEN = Migration(version=2, name="0002_next.sql", text="CREATE TABLE extra (x); SELEKT 1;")


@pytest.fixture
def ships(monkeypatch):
    """Let this version ship one more migration."""

    def ship(migration):
        monkeypatch.setattr(_upgrade, "shipped", lambda: [*shipped()[:1], migration])

    return ship


def files(path):
    return sorted(file.name for file in path.parent.iterdir())


def extra(path):
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT x FROM extra").fetchall()
    except sqlite3.OperationalError:
        return None
    finally:
        connection.close()


async def test_a_rehearsal_changes_nothing(store, path, ships):
    """What is missing is applied to a copy, also while the database is in use, and nothing is left of that."""
    await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1))
    ships(NEXT)
    before = files(path)

    assert rehearse(path) == ["0002_next.sql"]

    assert files(path) == before
    assert extra(path) is None


async def test_a_rehearsal_finds_what_would_fail(store, path, ships):
    """A migration that fails on the data that is there is told before it is tried in earnest."""
    ships(BROKEN)
    with pytest.raises(StoreError, match=r"migration 0002_next.sql failed"):
        rehearse(path)


async def test_it_is_done_when_nobody_has_it_open(store, path, ships):
    """Refused while somebody has it open; then it is applied, with a copy of what was before."""
    await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1))
    ships(NEXT)
    with pytest.raises(StoreOwned):
        upgrade(path)
    await store.close()

    assert upgrade(path) == ["0002_next.sql"]

    assert extra(path) == [("k",)]
    assert extra(path.with_name("data.db.before-2.bak")) is None
    assert upgrade(path) == rehearse(path) == []
    assert files(path) == ["data.db", "data.db.before-2.bak"]


async def test_one_that_fails_leaves_the_database_as_it_was(store, path, ships):
    """Nothing of it is kept, and nobody is kept from opening the database."""
    await store.close()
    ships(BROKEN)

    with pytest.raises(StoreError, match=r"migration 0002_next.sql failed"):
        upgrade(path)

    assert extra(path) is None
    await store.open()


def test_without_a_database(path):
    """Where there is none, none is made."""
    for function in (rehearse, upgrade):
        with pytest.raises(StoreError, match="there is no database here"):
            function(path)
    assert files(path) == []
