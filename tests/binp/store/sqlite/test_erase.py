"""Runs that are deleted, with all that belongs to them."""

from binp.store.contract import AddLabels, State
from binp.store.sqlite._erase import KEPT_RECORDS, erase, thin

TABLES = ("run", "record", "label")


def count(file, table):
    return file.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def texts(file, table):
    return {text for (text,) in file.connection.execute(f"SELECT text FROM {table}")}


async def make(store, writes, *, records=3, labels=("a", "b"), **given):
    """A run with records and labels; not awaited one by one."""
    begin = writes.begin(labels=labels, **given)
    store.write(begin)
    for seq in range(1, records + 1):
        store.write(writes.record(begin.id, seq))
    await store.write(AddLabels(run=begin.id, labels=("späť", "a")))
    return begin.id


async def test_all_that_belongs_to_a_run_goes_with_it(store, writes, opened):
    """Records and labels go with their run, those of others stay, and nothing is left that belongs to nothing."""
    gone, stays = [await make(store, writes) for _ in range(2)]
    for run in (gone, stays):
        await store.write(writes.end(run))
    await store.close()

    file = opened()
    file.begin()
    assert erase(file, [gone, 12345, gone]) == [gone]
    file.commit()

    assert [count(file, table) for table in TABLES] == [1, 3, 3]
    for table, column in (("run", "id"), ("record", "run")):
        assert file.connection.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall() == [(stays,)]
    assert erase(file, [gone]) == []
    assert texts(file, "label") == {"a", "b", "späť"}
    assert file.connection.execute("SELECT DISTINCT runs FROM label").fetchall() == [(1,)]


async def test_a_label_goes_with_the_last_run_that_has_it(store, writes, opened):
    """Labels of any number leave nothing behind; one that comes again is a label like any other."""
    runs = [await make(store, writes, labels=("common", f"order-{number}")) for number in range(3)]
    for run in runs:
        await store.write(writes.end(run))
    await store.close()

    file = opened()
    known = dict(file.labels({"common", "order-0", "order-1", "order-2", "späť", "a"}))
    erase(file, runs[:2])
    assert texts(file, "label") == {"common", "order-2", "späť", "a"}
    assert "order-1" not in texts(file, "name")
    assert file.labels({"common", "order-0"})["common"] == known["common"]
    assert texts(file, "label") == {"common", "order-2", "späť", "a", "order-0"}


async def test_what_has_not_ended_stays(store, writes, opened):
    """A run that waits or runs is not deleted, nor is the parent of one; a child goes before its parent."""
    parent = await make(store, writes)
    child = await make(store, writes, parent=parent)
    waiting = await make(store, writes, state=State.QUEUED, parent=child)
    for run in (parent, child):
        await store.write(writes.end(run))
    await store.write(writes.end(done := await make(store, writes, parent=parent)))
    await store.close()

    file = opened()
    file.begin()
    assert erase(file, [parent, child, waiting, done]) == [parent, done]
    file.roll_back()
    assert count(file, "run") == 4


async def test_a_run_with_many_records_becomes_thin_first(store, writes, opened):
    """Records behind the first ones go in parts, the last ones first, until there is nothing more to take."""
    run = await make(store, writes, records=KEPT_RECORDS + 250)
    await store.write(writes.end(run))
    await store.close()

    file = opened()
    assert [thin(file, run, 100) for _ in range(4)] == [100, 100, 50, 0]
    rows = file.connection.execute("SELECT min(seq), max(seq), count(*) FROM record").fetchone()
    assert rows == (1, KEPT_RECORDS, KEPT_RECORDS)
    assert erase(file, [run]) == [run]
    assert [count(file, table) for table in TABLES] == [0, 0, 0]
