"""All that a database keeps as lines, and the lines taken in elsewhere."""

import asyncio
import contextlib
import json
import sqlite3

import pytest

from binp.store import open_store
from binp.store.contract import (
    AddLabels,
    AddRecord,
    BadLine,
    BeginRun,
    Condition,
    EndRun,
    Import,
    Key,
    MoveSchedule,
    Once,
    PauseSchedule,
    PutKey,
    RemoveKeys,
    RunQuery,
    SetDesired,
    SetKeys,
    SetObserved,
    SetProgress,
    State,
    StoreError,
)
from binp.store.sqlite import export
from binp.store.sqlite._export import TABLES

#: what follows from the rest, or is about processes that are here
NOT_EXPORTED = {"name", "label", "node", "migration", "erased", "kv_past"}
NOT_EXPORTED |= {"search_part", "unindexed", "tally"}


@pytest.fixture
async def other(tmp_path):
    """Another store, where there is nothing yet."""
    store = open_store(str(tmp_path / "other.db"), synchronous="OFF")
    await store.open()
    yield store
    await store.close()


async def fill(store, past):
    """Something of everything."""
    for number, state in enumerate(State):
        if state is not State.QUEUED:
            await past.run(
                days=number, state=state, labels=("a", f"b-{number}"), records=number, operation=f"o{number}"
            )
    run = store.new_id()
    begin = BeginRun(
        id=run,
        operation="späť",
        journal="j",
        description="what it is",
        trigger="schedule",
        actor="me",
        parent=7,
        node=store.node,
        version="1.2",
        arguments='{"x": 1.50, "y": 12345678901234567890}',
        labels=("z",),
        due=5,
        origin=6,
        at=1_700_000_000_000_000,
    )
    for write in (
        begin,
        AddRecord(run=run, seq=1, at=2, level="warning", source="print", message="a\0b", fields='{"n": NaN}'),
        AddRecord(run=run, seq=2, at=3, message="\ud800 and more"),
        AddLabels(run=run, labels=("zz",)),
        SetProgress(run=run, value=0.1, total=1 / 3, message="soon"),
        EndRun(
            id=run, state=State.FAILED, at=9, duration=4, error_type="E", error="no", traceback="T\nU", result="[1]"
        ),
        Once(key="tick", at=1),
        SetDesired(name="svc", running=True, actor="me", at=1),
        SetObserved(name="svc", status="{}", node="n", at=2),
        PauseSchedule(name="s", paused=True, actor="me", at=4),
        MoveSchedule(name="s", spec="* * * * *", until=5, at=6),
        SetKeys(
            namespace="n", items=(("k", "1"), ("nan", "NaN"), ("a/b\0c", '"ü"')), module="m", run=run, epoch=1, at=1
        ),
        SetKeys(namespace="n", items=(("k", "2"),), at=2),
        SetKeys(namespace="n", items=(("k", "3"), ("gone", "1")), at=3),
        RemoveKeys(namespace="n", keys=("gone",), actor="me", at=4),
        PutKey(namespace="soon", key="x", value="1", expires=4_000_000_000_000_000, history=3, at=4),
    ):
        await store.write(write)
    return run


def lines_of(store):
    """The rows of a database, without the lines about the export itself."""
    first, *rows, last = [line.decode() for line in export(store._path)]
    assert json.loads(first)["kind"] == "binp"
    assert json.loads(last) == {"kind": "end", "lines": len(rows)}
    return tuple(rows)


async def test_everything_is_exported(store, path):
    """Each table of the schema is exported, or follows from others, or is of no use elsewhere."""
    await store.close()
    connection = sqlite3.connect(path)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()

    known = {table.name for table in TABLES} | NOT_EXPORTED
    assert {table for table in tables if not table.startswith(("sqlite_", "search_0"))} - known == set()


async def test_all_of_it_is_taken_in(store, past, other):
    """What was taken in is exported again as the same lines: all columns, any texts, key histories."""
    run = await fill(store, past)
    lines = lines_of(store)

    assert await other.write(Import(lines=lines)) > 0

    def ended(lines):
        return [line for line in lines if '"state":"running"' not in line and '"state":"interrupted"' not in line]

    assert ended(lines_of(other)) == ended(lines)
    assert await other.get_run(run) == await store.get_run(run)
    assert await other.get_records(run) == await store.get_records(run)
    assert await other.get_key_history("n", "k") == await store.get_key_history("n", "k")
    assert await other.get_key_history("n", "gone") == await store.get_key_history("n", "gone")
    # and it goes on from there
    await other.write(SetKeys(namespace="n", items=(("k", "4"), ("gone", "2")), at=9))
    assert [(await other.get_key("n", key)).version for key in ("k", "gone")] == [4, 3]
    assert [version.value for version in await other.get_key_history("n", "k")] == ["4", "3", "2", "1"]


async def test_what_ran_is_interrupted_elsewhere(store, past, other):
    """A run that had not ended goes on nowhere else, and says so; it is found by its labels."""
    run = await past.run(days=1, state=State.RUNNING, records=2, labels=("x",))

    await other.write(Import(lines=lines_of(store)))

    found = await other.get_run(run)
    assert (found.state, found.error) == (
        State.INTERRUPTED,
        "interrupted: it had not ended when it was exported",
    )
    assert found.ended == found.started
    assert found.labels == ("x",)
    assert len(await other.get_records(run)) == 2


async def test_taking_in_again_changes_nothing(store, past, other):
    """The same lines are here already, whole or in any parts."""
    await fill(store, past)
    lines = lines_of(store)
    await other.write(Import(lines=lines))
    before = lines_of(other)

    assert await other.write(Import(lines=lines)) == 0
    for start in range(0, len(lines), 7):
        assert await other.write(Import(lines=lines[start : start + 7])) == 0
    assert await store.write(Import(lines=lines)) == 0
    assert lines_of(other) == before


async def test_a_later_state_takes_the_place_of_an_earlier(store, past, other):
    """A run that has ended meanwhile, and a key that was changed, come again; what is newer here stays."""
    run = await past.run(days=1, state=State.RUNNING, labels=("x",))
    await store.write(SetKeys(namespace="n", items=(("theirs", "1"), ("ours", "1"), ("gone", "1")), at=1))
    await other.write(Import(lines=lines_of(store)))
    await other.write(SetKeys(namespace="n", items=(("ours", "2"),), at=2))

    await store.write(AddLabels(run=run, labels=("y",)))
    await store.write(EndRun(id=run, state=State.SUCCEEDED, at=5, duration=1))
    await store.write(SetKeys(namespace="n", items=(("theirs", "2"),), at=3))
    await store.write(RemoveKeys(namespace="n", keys=("gone",), at=3))
    await other.write(Import(lines=lines_of(store)))

    found = await other.get_run(run)
    assert (found.state, found.error, found.labels) == (State.SUCCEEDED, None, ("x", "y"))
    assert (await other.get_key("n", "theirs")).value == "2"
    assert (await other.get_key("n", "ours")).value == "2"
    assert await other.get_key("n", "gone") is None
    # the other way round nothing is lost either
    await store.write(Import(lines=lines_of(other)))
    assert (await store.get_key("n", "ours")).value == "2"


def saying(text, **given):
    return RunQuery(where=(Condition(Key.TEXT, (text,)),), **given)


async def in_the_index(path):
    """Wait until nothing waits for the index any more."""
    connection = sqlite3.connect(path)
    async with asyncio.timeout(120):
        while connection.execute("SELECT count(*) FROM unindexed").fetchone() != (0,):
            await asyncio.sleep(0.02)
    connection.close()


async def test_what_was_taken_in_is_found(store, past, other):
    """Runs that were taken in are found by what they say, also in the index, in whichever order they come."""
    run = await fill(store, past)
    lines = lines_of(store)
    runs = tuple(line for line in lines if '"kind":"record"' not in line)
    records = tuple(line for line in lines if '"kind":"record"' in line)
    await other.write(Import(lines=runs))
    await in_the_index(other._path)
    assert (await other.find_runs(saying("and more"))).runs == ()
    await other.write(Import(lines=records))
    for _ in range(2):
        assert [found.id for found in (await other.find_runs(saying("and more"))).runs] == [run]
        await in_the_index(other._path)


async def test_what_a_run_was_before_does_not_find_it(store, past, other):
    """A run of which a later state is taken in is found by that alone, and counted once."""
    run = await past.run(days=1, state=State.RUNNING, labels=("x",))
    await other.write(Import(lines=lines_of(store)))
    await in_the_index(other._path)
    await store.write(EndRun(id=run, state=State.SUCCEEDED, at=5, duration=1))
    await other.write(Import(lines=lines_of(store)))

    for _ in range(2):
        assert (await other.find_runs(RunQuery(states=frozenset({State.INTERRUPTED})))).runs == ()
        assert (await other.find_runs(saying("exported"))).runs == ()
        found = await other.find_runs(RunQuery(states=frozenset({State.SUCCEEDED}), labels=("x",)))
        assert [one.id for one in found.runs] == [run]
        await in_the_index(other._path)
    connection = sqlite3.connect(other._path)
    assert connection.execute("SELECT state, runs FROM tally WHERE hours = 24").fetchall() == [(2, 1)]
    connection.close()


async def test_what_runs_here_is_left_alone(store, past):
    """A run that goes on here goes on, whatever is taken in; it still ends."""
    run = await past.run(days=1, state=State.RUNNING)
    (line,) = [line for line in lines_of(store) if '"kind":"run"' in line]
    changed = json.dumps(json.loads(line) | {"rev": 99, "state": "failed", "error": "no"})

    assert await store.write(Import(lines=(changed,))) == 0
    assert (await store.get_run(run)).state is State.RUNNING
    assert await store.write(EndRun(id=run, state=State.SUCCEEDED, at=5, duration=1)) is True


async def test_what_was_taken_in_is_told(store, past, other):
    """Those who listen hear of runs and keys that came."""
    run = await fill(store, past)
    told = []
    other.listen(told.extend)

    await other.write(Import(lines=lines_of(store)))

    assert ("run", run) in {(change.topic, change.id) for change in told}
    assert ("kv", "n/k") in {(change.topic, change.id) for change in told}
    assert [change.seq for change in told] == sorted({change.seq for change in told})


ODD = "a line of the kind"
#: what a line of a run and one of a key have besides
REST = (
    '"operation": "o", "description": "", "state": "failed", "trigger": "call", "attempt": 1, "epoch": 1, "node": "n",'
    ' "started": 1, "records": 0, "rev": 1'
)
KEY = '"namespace": "n", "key": "k", "version": 1, "updated": 1'


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "this is not a line of an export: '{'"),
        ("[1]", "this is not a line of an export: '[1]'"),
        ('{"id": 1}', """this is not a line of an export: '{"id": 1}'"""),
        ('{"kind": "label"}', "a line of an export is of the kind 'label', which is not known here"),
        (
            '{"kind": "once", "key": "k", "at": 1, "new": 2}',
            "a line of the kind 'once' has new, which is not known here",
        ),
        ('{"kind": {}}', "a line of an export is of the kind {}, which is not known here"),
        ('{"kind": "kv", "namespace": "n"}', "a line of the kind 'kv' has no key and no value"),
        ('{"kind": "run", "id": 5}', "a line of the kind 'run' has no operation and no description"),
        ('{"kind": "once", "key": "k"}', "a line of the kind 'once' has no at"),
        ('{"kind": "once", "key": 5, "at": 1}', f"{ODD} 'once' makes no sense: its key is no text: 5"),
        ('{"kind": "once", "key": "k", "at": "x"}', f"{ODD} 'once' makes no sense: its at is no number"),
        ('{"kind": "once", "key": "k", "at": true}', f"{ODD} 'once' makes no sense: its at is no number"),
        (f'{{"kind": "once", "key": "k", "at": {2**63}}}', f"{ODD} 'once' makes no sense: its at is no number that"),
        (
            f'{{"kind": "once", "key": "k", "at": {2**62}}}',
            f"{ODD} 'once' makes no sense: its at is no moment: {2**62}",
        ),
        (f'{{"kind": "run", "id": {2**53}, {REST}}}', f"{ODD} 'run' makes no sense: its id is {2**53}"),
        (f'{{"kind": "run", "id": 5, {REST}, "labels": "[5]"}}', f"{ODD} 'run' makes no sense: its labels are no list"),
        (
            f'{{"kind": "run", "id": 5, {REST.replace("failed", "x")}}}',
            f"{ODD} 'run' makes no sense: its state is none",
        ),
        (f'{{"kind": "kv", {KEY}, "value": "{{"}}', f"{ODD} 'kv' makes no sense: its value is not JSON"),
        (f'{{"kind": "kv", {KEY}, "value": "1", "past": "x"}}', f"{ODD} 'kv' makes no sense: its past is no list: 'x'"),
        (f'{{"kind": "kv", {KEY}, "value": "1", "past": [[1]]}}', f"{ODD} 'kv' makes no sense: its past is no list of"),
    ],
)
async def test_lines_that_are_none(store, line, what):
    """What is not a line of an export is refused with all that came with it, and the store goes on."""
    good = '{"kind": "once", "key": "good", "at": 1}'

    with pytest.raises(StoreError) as caught:
        await store.write(Import(lines=(good, line)))
    assert caught.value.what.startswith(what)
    assert isinstance(caught.value, BadLine)
    assert caught.value.line == 2
    assert await store.write(Once(key="good", at=1)) is True


async def test_a_large_database_is_read_in_pages(store, past, path, until):
    """Nothing is held open between two lines, so that the log does not grow; each run comes before its records."""
    for number in range(1200):
        await past.run(days=5 - number / 1000, records=number % 4)
    await store.write(SetKeys(namespace="n", items=tuple((f"k{number}", "1") for number in range(1100)), at=1))

    reading = export(path)
    for _ in range(600):
        next(reading)
    await store.write(SetKeys(namespace="n", items=(("last", "1"),), at=1))
    with contextlib.closing(sqlite3.connect(path, timeout=0.1)) as connection:
        # the store itself may be at it, for a moment
        await until(lambda: not connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])

    kinds = [json.loads(line) for line in reading]
    runs = set()
    for row in kinds:
        if row["kind"] == "run":
            runs.add(row["id"])
        elif row["kind"] == "record":
            assert row["run"] in runs
    assert len(runs) == 1200
    assert sum(row["kind"] == "record" for row in kinds) == 1800
