"""Whether a database is sound."""

import os
import sqlite3

import pytest

from binp.store.contract import SetKeys, State, StoreError
from binp.store.sqlite import check


@pytest.fixture
async def filled(no_index, store, past, path):
    """A database with runs of all kinds, none in the index, closed; and how to change it behind everybody's back."""
    for state in State:
        if state is not State.QUEUED:
            run = await past.run(days=2, state=state, labels=("a", "b"), records=2)
    await past.run(days=1, parent=run)
    await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1))
    await store.close()

    def change(*statements):
        connection = sqlite3.connect(path, isolation_level=None)
        for statement in statements:
            connection.execute(statement)
        connection.close()

    return change


def problems(path, **given):
    return {finding.name: finding.problems for finding in check(path, **given) if finding.problems}


def test_a_sound_database(filled, path):
    """Everything is looked at, nothing is found, and the file is as it was."""
    before = path.read_bytes()

    assert problems(path) == problems(path, thorough=True) == {}
    assert [finding.name for finding in check(path)] == ["pages", "schema", "content"]
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["data.db"]


async def test_one_that_is_in_use(store, past, path):
    """It can be looked at while it is open, with a run that goes on."""
    await past.run(days=1, state=State.RUNNING, records=3)

    assert problems(path) == {}


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM run WHERE state = 3", "2 records that belong to no run"),
        ("DELETE FROM run WHERE state = 3", "2 labels that more or fewer runs have than is counted"),
        ("DELETE FROM label WHERE text = 'a'", "6 runs that cannot be found"),
        ("UPDATE run SET labels = NULL WHERE state = 3", "2 labels that more or fewer runs have than is counted"),
        ("DELETE FROM unindexed", "6 runs that have ended and are neither counted nor waiting for it"),
        ("INSERT INTO tally VALUES (24, 24, 1, 2, 1)", "1 days, actions and states of which more or fewer runs"),
        ("INSERT INTO unindexed VALUES (7)", "1 runs that wait to be counted and are not there, or go on"),
        ("INSERT INTO tally VALUES (1, 7, 1, 2, 1)", "1 hours, actions and states of which more or fewer runs"),
        ("DELETE FROM name WHERE text = 'work'", "runs of operations, nodes or triggers whose names are not there"),
        ("DELETE FROM name WHERE text = 'info'", "records whose level or source is not there"),
        ("UPDATE run SET records = 1 WHERE state = 3", "1 runs that have more records than they say"),
        ("UPDATE run SET state = 9 WHERE state = 6", "1 runs in a state that there is not"),
        ("UPDATE run SET ended = NULL WHERE state = 3", "1 runs that have ended, and nobody knows when"),
        ("UPDATE run SET ended = 5 WHERE state = 1", "1 runs that go on, and have an end"),
        ("UPDATE run SET error = '' WHERE state = 3", "1 runs that failed, and do not say why"),
        ("UPDATE kv SET version = 0", "1 keys of a version that there is not"),
        ("DROP TABLE record", "it cannot be said whether there are records that belong to no run: no such table"),
    ],
)
def test_what_must_never_be_is_found(filled, path, statement, problem):
    """Each kind of contradiction is counted and named."""
    filled(statement)

    found = problems(path)["content"]
    assert any(problem in text for text in found), found


def test_a_changed_schema(filled, path):
    """A database of a newer version, and one whose migrations were tampered with."""
    filled("UPDATE migration SET sha256 = 'x'")
    assert "is not the one that was applied" in problems(path)["schema"][0]
    filled("UPDATE migration SET version = 99")
    assert problems(path)["schema"] == ("the database has schema 99, and this version knows schema 1",)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        (b"    attempt INTEGER", b"    atdempt INTEGER", "table run"),
        (b"CREATE INDEX run_origin ON run (origin)", b"CREATE INDEX run_origin ON run (parent)", "index run_origin"),
        (b"AND seq <= 1000 ORDER BY seq", b"AND seq <= 1000 ORDER BY run", "view document"),
    ],
)
def test_what_it_says_of_its_tables_was_overwritten(filled, path, old, new, changed):
    """What the file says of a table, an index or a view makes sense, and is not what it was: nothing else tells."""
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))

    assert f"{changed} is not as it was made" in problems(path)["schema"]


@pytest.mark.parametrize("thorough", [False, True])
def test_damaged_pages(filled, path, thorough):
    """A page that was overwritten is found, whatever else can be read."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(5, size // 4096, 3):
            file.seek(page * 4096)
            file.write(os.urandom(4096))

    assert problems(path, thorough=thorough)["indexes and pages" if thorough else "pages"]


def test_one_that_is_shorter_than_it_says(filled, path):
    """Where so much is missing that it cannot be opened that is what was found, and nothing else is looked at."""
    path.write_bytes(path.read_bytes()[:-8192])

    (problem,) = problems(path)["pages"]
    assert problem.startswith("the database is damaged")


def test_an_index_that_contradicts_its_table(filled, path):
    """What only a thorough look finds: an index without an entry."""
    other = "replace(sql, '(state)', '(node)')"
    filled("PRAGMA writable_schema = 1", f"UPDATE sqlite_schema SET sql = {other} WHERE name = 'run_open'")

    assert "pages" not in problems(path)
    assert problems(path, thorough=True)["indexes and pages"]


def test_what_is_no_database(path):
    """A missing file and one of another kind are refused in words."""
    with pytest.raises(StoreError, match="there is no database here"):
        problems(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" * 500)
    with pytest.raises(StoreError, match="the file is not a database"):
        problems(path)
