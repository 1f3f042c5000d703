"""The named statements: each is a walk along an index, however many runs there are."""

import inspect
import itertools
import re
import sqlite3

import pytest

from binp.store.contract import RunQuery, State
from binp.store.sqlite._connect import connect_writer
from binp.store.sqlite._file import File
from binp.store.sqlite._index import put_in
from binp.store.sqlite._migrate import migrate, shipped
from binp.store.sqlite._queries import Reader
from binp.store.sqlite._scratch import Scratch
from binp.store.sqlite._statements import statements

#: tables that are small by their nature, or have to be read whole
SMALL = {
    "service",
    "migration",
    "json_each",
    "json_tree",
    "wanted",
    "new",
    "dead",
    "found",
    "node",
    "schedule",
    "search_part",
}
#: what the full-text index answers: a walk along its lists, if there is an expression
MATCH = re.compile(r"SCAN (search|search_0) VIRTUAL TABLE INDEX \d+:M")
#: read up to a bound that stands in the statement, or whole in memory
BOUNDED = {
    "count_all": {"unindexed"},
    "waiting": {"unindexed"},
    "count_waiting": {"unindexed"},
    "scratch_words": {"search_word"},
}


@pytest.fixture
def connection(path):
    connection = connect_writer(path, "OFF")
    migrate(connection, path, shipped())
    yield connection
    connection.close()


@pytest.fixture
def scratch():
    made = Scratch()
    yield made
    made.close()


def plan(connection, sql):
    names = set(re.findall(r":(\w+)", sql))
    parameters = dict.fromkeys(names) if names else (None,) * sql.count("?")
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]


@pytest.mark.parametrize("name", sorted(statements()))
def test_no_statement_reads_a_table_whole_or_sorts(connection, scratch, name):
    """No full scan and no sorting in any statement, in either direction: ten million runs are as quick as ten."""
    sql = statements()[name]
    if name.startswith("scratch_"):
        connection = scratch.connection
    for text in {sql, sql.replace("DESC", "ASC")}:
        for step in plan(connection, text):
            scanned = re.match(r"SCAN ([^\s-]+)", step)
            allowed = scanned is None or scanned[1] in SMALL | BOUNDED.get(name, set()) | {"(subquery"}
            allowed = allowed or "CONSTANT ROW" in step or MATCH.match(step)
            assert allowed, f"{name}: {step}"
            assert "TEMP B-TREE" not in step, f"{name}: {step}"


def test_the_check_would_find_a_scan(connection):
    """The plans do show scans and sorts."""
    steps = plan(connection, "SELECT id FROM run WHERE error = ? ORDER BY started")
    assert steps == ["SCAN run", "USE TEMP B-TREE FOR ORDER BY"]
    steps = plan(connection, "SELECT rowid FROM search_0")
    assert steps == ["SCAN search_0 VIRTUAL TABLE INDEX 0:"]
    assert not MATCH.match(steps[0])


def test_each_statement_is_used_and_explained():
    """Each statement is named somewhere, and says what it does."""
    from importlib import resources

    package = resources.files("binp.store.sqlite")
    code = "".join(file.read_text() for file in package.iterdir() if file.name.endswith(".py"))
    assert [name for name in statements() if f'"{name}"' not in code] == []
    text = "".join(file.read_text() for file in package.joinpath("statements").iterdir())
    for name, explanation in re.findall(r"^-- (\w+): (.*)$", text, re.MULTILINE):
        assert name in statements()
        assert explanation


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Fifty thousand runs in five parts of the index, of which a few are unlike the others."""
    path = tmp_path_factory.mktemp("many") / "data.db"
    connection = connect_writer(path, "OFF")
    migrate(connection, path, shipped())
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO name VALUES (?, ?)", [(1, "common"), (2, "rare"), (3, "call")])
    connection.execute("INSERT INTO label VALUES (4, 'label', 2)")
    connection.execute(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)"
        " INSERT INTO run (id, operation, journal, description, state, trigger, parent, attempt, epoch, node, started,"
        " records, rev, labels) SELECT i, iif(i % 20000 = 0, 2, 1), iif(i % 15000 = 0, 2, NULL), 1,"
        " iif(i % 12000 = 0, 3, 2), 3, iif(i % 24000 = 0, 7, NULL), 1, 1, 1, i, 0, 1,"
        " iif(i % 18000 = 0, '[\"label\"]', NULL) FROM n"
    )
    file = File(connection, path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("binp.store.sqlite._index._FULL", 10_000)
        while put_in(file):
            pass
    connection.execute("COMMIT")
    reader = Reader(path, lambda: 1)
    yield reader
    reader.close()
    connection.close()


@pytest.mark.parametrize(
    "query",
    [
        RunQuery(),
        RunQuery(before=1000),
        RunQuery(operation="rare"),
        RunQuery(operation="rare", states=frozenset({State.SUCCEEDED})),
        RunQuery(operation="common", states=frozenset({State.FAILED})),
        RunQuery(operation="rare", states=frozenset({State.RUNNING})),
        RunQuery(states=frozenset({State.FAILED, State.CANCELLED, State.INTERRUPTED})),
        RunQuery(states=frozenset({State.RUNNING, State.QUEUED})),
        RunQuery(journaled=True),
        RunQuery(journal="rare"),
        RunQuery(journaled=True, states=frozenset({State.FAILED})),
        RunQuery(parent=7),
        RunQuery(labels=("label",)),
        RunQuery(labels=("label",), states=frozenset({State.FAILED})),
        RunQuery(after=3),
    ],
    # sets print in another order in each process, and every process must find the same names
    ids=itertools.count(),
)
def test_a_page_takes_a_bounded_number_of_steps(many, query):
    """A page of any kind is found in a few thousand steps of SQLite's machine, of fifty thousand runs."""
    steps = 0

    def count():
        nonlocal steps
        steps += 100
        return 0

    many.connection.set_progress_handler(count, 100)
    many.find_runs(query)
    many.connection.set_progress_handler(None, 0)

    assert steps < 5000


def test_readers_cannot_write(many):
    """A reading connection refuses to write."""
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        many.connection.execute("DELETE FROM run")


def test_no_python_holds_sql():
    """SQL lives in its files: Python has transactions and settings alone."""
    import binp.store.sqlite as package
    from binp.store.sqlite import _batch, _file, _key_rows, _queries, _run_rows, _writer

    for module in (package, _batch, _file, _key_rows, _queries, _run_rows, _writer):
        found = re.findall(r"\"[^\"]*\b(SELECT|INSERT|UPDATE|DELETE)\b[^\"]*\"", inspect.getsource(module))
        assert found == [], module
