"""Changes of the schema."""

import shutil
import sqlite3

import pytest

from binp.store import open_store
from binp.store.contract import SchemaTooNew, SetKeys, StoreError
from binp.store.sqlite import _engine
from binp.store.sqlite._migrate import Migration, migrate, shipped

FIRST = Migration(version=1, name="0001_first.sql", text="CREATE TABLE a (x); INSERT INTO a VALUES ('one;two');")
SECOND = Migration(
    version=2,
    name="0002_second.sql",
    text="""
    -- a comment; with a semicolon, and 'half a quote
    CREATE TABLE b (x);
    CREATE TRIGGER t AFTER INSERT ON a BEGIN
        INSERT INTO b VALUES (new.x || ';');
        INSERT INTO b VALUES ('end;');
    END;
    /* another; one */
    INSERT INTO a VALUES ('three')
    """,
)


@pytest.fixture
def connection(path):
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def rows(connection, table):
    return [row[0] for row in connection.execute(f"SELECT * FROM {table}")]


def backups(path):
    return sorted(file.name for file in path.parent.glob("*.bak"))


def test_each_is_applied_once_and_in_order(connection, path):
    """Running again does nothing; triggers, comments and strings with semicolons stay whole."""
    assert migrate(connection, path, [FIRST, SECOND]) == [1, 2]
    assert migrate(connection, path, [FIRST, SECOND]) == []

    assert rows(connection, "a") == ["one;two", "three"]
    assert rows(connection, "b") == ["three;", "end;"]


def test_a_copy_is_made_first_when_there_is_something_to_lose(connection, path):
    """Before a file with data changes it is copied; a new file is not."""
    migrate(connection, path, [FIRST])
    assert backups(path) == []

    migrate(connection, path, [FIRST, SECOND])

    assert backups(path) == ["data.db.before-2.bak"]
    copy = sqlite3.connect(path.with_name("data.db.before-2.bak"))
    assert rows(copy, "a") == ["one;two"]
    copy.close()


def test_one_that_fails_leaves_nothing(connection, path):
    """A statement that fails undoes its whole file, tables too; the mended file is applied afterwards."""
    migrate(connection, path, [FIRST])
    broken = Migration(version=2, name="0002_b.sql", text="CREATE TABLE c (x); INSERT INTO a VALUES (1); SELEKT 1;")

    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            migrate(connection, path, [FIRST, broken])
    assert 'migration 0002_b.sql failed: near "SELEKT": syntax error' in str(caught.value)
    assert rows(connection, "a") == ["one;two"]
    assert not connection.in_transaction

    assert migrate(connection, path, [FIRST, SECOND]) == [2]


def test_an_unfinished_statement_is_an_error(connection, path):
    """What is left over behind the last semicolon is executed, so that a slip does not pass unseen."""
    with pytest.raises(StoreError, match="incomplete input"):
        migrate(
            connection, path, [Migration(version=1, name="0001_a.sql", text="CREATE TABLE a (x); CREATE TABLE b (")]
        )
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'a'").fetchone() == (0,)


def test_one_that_was_changed_is_refused(connection, path):
    """A migration that was applied never changes."""
    migrate(connection, path, [FIRST])
    changed = Migration(version=1, name="0001_first.sql", text=FIRST.text + " ")

    with pytest.raises(StoreError) as caught:
        migrate(connection, path, [changed, SECOND])
    assert "migration 0001_first.sql is not the one that was applied" in str(caught.value)
    assert backups(path) == []


def test_a_newer_schema_is_refused(connection, path):
    """An older version does not touch what a newer one wrote, and says both versions and the way back."""
    migrate(connection, path, [FIRST])
    migrate(connection, path, [FIRST, SECOND])

    with pytest.raises(SchemaTooNew) as caught:
        migrate(connection, path, [FIRST])
    assert caught.value.what == "the database has schema 2, and this version knows schema 1"
    assert caught.value.fix == "install the version that wrote it, or restore the copy data.db.before-2.bak"


def test_a_way_back_that_there_is_not(connection, path):
    """A copy is named if there is one, and of several the newest that this version knows."""
    third = Migration(version=3, name="0003_third.sql", text="CREATE TABLE c (text TEXT) STRICT;")
    migrate(connection, path, [FIRST, SECOND, third])

    def fix(*known):
        with pytest.raises(SchemaTooNew) as caught:
            migrate(connection, path, known)
        return caught.value.fix

    assert fix(FIRST) == fix(FIRST, SECOND) == "install the version that wrote it"
    path.with_name("data.db.before-2.bak").touch()
    assert (
        fix(FIRST)
        == fix(FIRST, SECOND)
        == "install the version that wrote it, or restore the copy data.db.before-2.bak"
    )
    path.with_name("data.db.before-3.bak").touch()
    assert fix(FIRST) == "install the version that wrote it, or restore the copy data.db.before-2.bak"
    assert fix(FIRST, SECOND) == "install the version that wrote it, or restore the copy data.db.before-3.bak"


def test_a_gap_is_refused(connection, path):
    """A migration that is missing below an applied one is not slipped in."""
    migrate(connection, path, [Migration(version=2, name="0002_x.sql", text="CREATE TABLE x (y);")])

    with pytest.raises(StoreError):
        migrate(connection, path, [FIRST, Migration(version=2, name="0002_x.sql", text="CREATE TABLE x (y);")])


def test_a_copy_that_cannot_be_made_stops_it(connection, path):
    """Without a copy nothing is changed."""
    migrate(connection, path, [FIRST])
    path.with_name("data.db.before-2.bak").mkdir()

    with pytest.raises(StoreError, match="the copy that is made before a change of the schema failed"):
        migrate(connection, path, [FIRST, SECOND])
    assert rows(connection, "a") == ["one;two"]


def test_what_is_shipped_is_numbered_without_gaps():
    """The files count 1, 2, 3..."""
    versions = [migration.version for migration in shipped()]
    assert versions == list(range(1, len(versions) + 1))


async def test_a_store_migrates_when_it_opens(path, monkeypatch):
    """Opening brings the file up to date, and an older version refuses it afterwards."""
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1))
    await store.close()
    newer = [*shipped(), Migration(version=99, name="0099_x.sql", text="CREATE TABLE extra (x);")]
    with monkeypatch.context() as patch:
        patch.setattr(_engine, "shipped", lambda: newer)
        await store.open()
        assert (await store.get_key("n", "k")).value == "1"
        await store.close()
    assert backups(path) == ["data.db.before-99.bak"]

    with pytest.raises(SchemaTooNew):
        await store.open()

    shutil.copy(path.with_name("data.db.before-99.bak"), path)
    await store.open()
    assert (await store.get_key("n", "k")).value == "1"
    await store.close()
