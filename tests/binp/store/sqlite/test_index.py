"""The index of runs: written in parts when nobody waits, found before that, and gone with what was erased."""

import asyncio
import sqlite3
from dataclasses import replace

import pytest

from binp.store.contract import Condition, Key, RunQuery, State
from binp.store.sqlite import _index, _indexing
from binp.store.sqlite._erase import erase
from binp.store.sqlite._index import SLICE, merge, put_in, tidy
from binp.store.sqlite._indexing import Indexing


@pytest.fixture(autouse=True)
def _by_hand(request):
    """Where a test writes the index itself no store comes before it."""
    if "opened" in request.fixturenames:
        request.getfixturevalue("no_index")


def saying(text, **given):
    return RunQuery(where=(Condition(Key.TEXT, (text,)),), **given)


def look(path, sql):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def indexed(path, runs):
    """Wait until so many *runs* are in the index and none waits for it."""
    async with asyncio.timeout(120):
        while look(path, "SELECT sum(documents), (SELECT count(*) FROM unindexed) FROM search_part") != [(runs, 0)]:
            await asyncio.sleep(0.02)


async def run_of(store, writes, message, state=State.SUCCEEDED, **given):
    """A run that said *message* and ended."""
    begun = writes.begin(**given)
    store.write(begun)
    store.write(writes.record(begun.id, 1, message, fields='{"order": 4711}'))
    if state is not State.RUNNING:
        await store.write(writes.end(begun.id, state))
    return begun.id


async def test_what_ended_is_found_at_once_and_gets_into_the_index(store, writes, path):
    """A run is found as soon as its end is committed, and just so when it is in the index, which happens by itself."""
    run = await run_of(store, writes, "card declined")
    assert [found.id for found in (await store.find_runs(saying("declined"))).runs] == [run]

    await indexed(path, 1)

    assert [found.id for found in (await store.find_runs(saying("declined"))).runs] == [run]
    assert [found.id for found in (await store.find_runs(saying("order 4711"))).runs] == [run]
    assert look(path, "SELECT state, runs FROM tally WHERE hours = 1") == [(2, 1)]


async def test_what_goes_on_is_found_by_what_it_said_so_far(store, writes):
    """A run that goes on is found by its records, and by its state."""
    run = await run_of(store, writes, "still fetching", state=State.RUNNING)
    await store.write(writes.record(run, 2, "committed"))

    running = frozenset({State.RUNNING})
    assert [found.id for found in (await store.find_runs(saying("fetching", states=running))).runs] == [run]
    assert (await store.find_runs(saying("fetching", states=frozenset({State.FAILED})))).runs == ()


async def test_what_was_not_indexed_when_the_process_died_gets_in_later(store, writes, path, monkeypatch):
    """What waits for the index stands in the file with the end of the run: a next opening goes on with it."""
    await store.close()
    with monkeypatch.context() as late:
        late.setattr(_indexing, "_SOON", 3600.0)
        await store.open()
        run = await run_of(store, writes, "hello")
        await store.close()
    assert look(path, "SELECT run FROM unindexed") == [(run,)]

    await store.open()
    await indexed(path, 1)
    assert [found.id for found in (await store.find_runs(saying("hello"))).runs] == [run]


async def test_an_interrupted_run_is_indexed_as_such(store, writes, path):
    """A run whose process died gets into the index with the state that the next one gave it."""
    run = await run_of(store, writes, "hello", state=State.RUNNING)
    await store.write(writes.record(run, 2))
    await store.close()
    await store.open()
    await indexed(path, 1)

    query = RunQuery(states=frozenset({State.INTERRUPTED}))
    assert [found.id for found in (await store.find_runs(query)).runs] == [run]


async def test_a_file_that_is_closed_leaves_no_more_than_is_quickly_looked_through(
    store, writes, path, opened, monkeypatch
):
    """Short programs that never have a quiet moment do not pile up what waits for the index."""
    # as long as it takes, on a busy machine as well
    monkeypatch.setattr(_indexing, "_LEAVING", 200.0)
    await asyncio.gather(*(run_of(store, writes, "hello") for _ in range(2 * SLICE)))
    await store.close()

    [(waiting,)] = look(path, "SELECT count(*) FROM unindexed")
    assert waiting <= 2 * SLICE
    file = opened()
    Indexing(file).leave()
    assert file.one("count_waiting", (9999,))[0] < SLICE


async def test_very_much_that_waits_comes_before_other_writes(store, writes, opened, monkeypatch):
    """While others write, the index is left alone until very many runs wait for it."""
    await run_of(store, writes, "hello")
    await store.close()
    file = opened()
    indexing = Indexing(file)

    indexing.due = 0.0
    indexing.step(is_idle=False)
    assert file.one("count_waiting", (9,))[0] == 1
    assert indexing.due > 0
    monkeypatch.setattr(_indexing, "_MANY", 1)
    indexing.due = 0.0
    indexing.step(is_idle=False)
    assert file.one("count_waiting", (9,))[0] == 0


async def test_a_crowd_has_its_turns_before_the_index_has(store, writes, opened, monkeypatch):
    """Between two batches of many the index is left alone; it is written once the crowd has gone."""
    await run_of(store, writes, "hello")
    await store.close()
    file = opened()
    indexing = Indexing(file)

    indexing.expect(_indexing._CROWD)
    indexing.due = 0.0
    # a slow machine must not take it for gone
    monkeypatch.setattr(_indexing, "_GONE", 1000.0)
    indexing.step(is_idle=True)
    assert file.one("count_waiting", (9,))[0] == 1
    assert indexing.due > 0
    monkeypatch.setattr(_indexing, "_GONE", 0.0)
    indexing.expect(1)
    indexing.due = 0.0
    indexing.step(is_idle=True)
    assert file.one("count_waiting", (9,))[0] == 0


async def test_an_index_that_cannot_be_written_is_tried_again_later(store, writes, opened, caplog):
    """What goes wrong with the index is logged and harms nothing else."""
    await run_of(store, writes, "hello")
    await store.close()
    file = opened()
    indexing = Indexing(file)
    file.connection.execute("ALTER TABLE search_part RENAME TO elsewhere")

    indexing.due = 0.0
    indexing.step(is_idle=True)

    assert "the index of runs could not be written" in caplog.text
    assert not file.connection.in_transaction
    assert indexing.due > 20
    file.connection.execute("ALTER TABLE elsewhere RENAME TO search_part")
    indexing.due = 0.0
    indexing.step(is_idle=True)
    assert file.one("count_waiting", (9,))[0] == 0


def parts(file):
    found = file.connection.execute("SELECT number, documents, erased FROM search_part WHERE first >= 0 ORDER BY first")
    return found.fetchall()


def tables(file):
    found = file.connection.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%USING fts5%' ORDER BY name")
    return [name for (name,) in found]


async def test_parts_go_when_their_runs_are_erased(store, writes, opened, monkeypatch):
    """The oldest part is emptied into the next one and dropped when most of its runs are gone; all others are found."""
    monkeypatch.setattr(_index, "_FULL", 10)
    monkeypatch.setattr(_index, "_STALE", 1)
    monkeypatch.setattr(_index, "SLICE", 5)
    runs = [await run_of(store, writes, f"hello number{number}") for number in range(35)]
    await store.close()
    file = opened()
    file.begin()
    while put_in(file):
        pass
    assert [documents for _, documents, _ in parts(file)] == [10, 10, 10, 5]
    assert tables(file) == ["search_0", "search_1", "search_2", "search_3"]

    assert erase(file, runs[:5]) == runs[:5]
    assert parts(file)[0] == (0, 10, 5)
    assert tidy(file, 4) == 0
    assert erase(file, [runs[5]]) == [runs[5]]
    # what is erased goes quickly: the part is written anew afterwards, once for all that is erased
    assert parts(file)[:2] == [(0, 10, 6), (1, 10, 0)]
    assert tidy(file, 3) == 3
    assert parts(file)[:2] == [(0, 10, 6), (1, 13, 0)]
    assert tidy(file, 3) == 1
    assert parts(file)[:2] == [(0, 10, 6), (1, 14, 0)]
    erase(file, [runs[30]])
    assert tidy(file, 3) == 1
    assert parts(file) == [(1, 14, 0), (2, 10, 0), (3, 5, 1)]
    assert merge(file)
    assert tables(file) == ["search_1", "search_2", "search_3"]
    file.commit()
    file.connection.close()

    await store.open()
    page = await store.find_runs(saying("hello", limit=200))
    left = [run for run in reversed(runs) if run not in {*runs[:6], runs[30]}]
    assert [run.id for run in page.runs] == left
    for number in (6, 9, 10, 34):
        assert [run.id for run in (await store.find_runs(saying(f"number{number}"))).runs] == [runs[number]]
    assert (await store.find_runs(saying("number5"))).runs == ()


async def test_a_part_of_which_nothing_is_left_goes_with_its_last_run(store, writes, opened, monkeypatch):
    """What is erased from the oldest on takes whole parts along, and nothing is moved for it."""
    monkeypatch.setattr(_index, "_FULL", 5)
    monkeypatch.setattr(_index, "_STALE", 1)
    monkeypatch.setattr(_index, "SLICE", 5)
    runs = [await run_of(store, writes, "hello") for _ in range(15)]
    await store.close()
    file = opened()
    file.begin()
    while put_in(file):
        pass
    for number in range(5):
        assert [documents for _, documents, _ in parts(file)] == [5, 5, 5, 0]
        erase(file, [runs[number]])
    assert [documents for _, documents, _ in parts(file)] == [5, 5, 0]
    erase(file, runs[5:11])
    assert tidy(file, 5) == tidy(file, 5) == 1
    assert parts(file) == [(2, 5, 1), (3, 0, 0)]
    while tidy(file, 5):
        pass
    assert tables(file) == ["search_2", "search_3"]
    file.commit()


async def test_a_part_goes_that_begins_with_a_run_that_is_kept(store, writes, opened, monkeypatch):
    """A part begins with the number behind the last one, which a run has that came in the same millisecond."""
    monkeypatch.setattr(_index, "_FULL", 5)
    monkeypatch.setattr(_index, "_STALE", 1)
    first = store.new_id() + (1 << 20)
    runs = []
    for number in range(15):
        runs.append(await run_of(store, writes, f"hello number{number}", id=first + number))
    await store.close()
    file = opened()
    file.begin()
    monkeypatch.setattr(_index, "SLICE", 5)
    while put_in(file):
        pass
    assert file.connection.execute("SELECT first FROM search_part WHERE number = 1").fetchone() == (runs[5],)

    erase(file, runs[6:10])
    assert tidy(file, 5) == 1
    file.commit()
    assert parts(file) == [(0, 5, 0), (2, 6, 0), (3, 0, 0)]
    file.connection.close()

    await store.open()
    page = await store.find_runs(saying("hello", limit=200))
    assert [run.id for run in page.runs] == [*runs[:9:-1], *runs[5::-1]]


async def test_the_only_part_goes_as_well(store, writes, opened, monkeypatch):
    """A file with one part gets a second one, so that the first can go; numbers of parts are never used twice."""
    monkeypatch.setattr(_index, "_STALE", 1)
    runs = [await run_of(store, writes, "hello") for number in range(9)]
    await store.close()
    file = opened()
    file.begin()
    put_in(file)
    for run in runs[:7]:
        erase(file, [run])
    assert parts(file) == [(0, 9, 7)]
    while tidy(file, 1):
        pass
    file.commit()

    assert tables(file) == ["search_1"]
    assert parts(file) == [(1, 2, 0)]
    assert file.connection.execute("SELECT sum(runs) FROM tally WHERE hours = 24").fetchone() == (2,)


async def test_a_part_goes_a_few_pages_at_a_time(store, writes, opened, monkeypatch):
    """However large a part is, others wait for a few pages of it only; the file is whole and searched meanwhile."""
    monkeypatch.setattr(_index, "_STALE", 1)
    monkeypatch.setattr(_index, "_CLEARED", 2)
    monkeypatch.setattr(_index, "_MERGED", 0)
    runs = [await run_of(store, writes, f"hello number{number}") for number in range(9)]
    await store.close()
    file = opened()

    def change(step, *given):
        file.begin()
        step(file, *given)
        file.commit()

    def pages():
        return file.connection.execute("SELECT count(*) FROM search_0_data WHERE id > 10").fetchone()[0]

    monkeypatch.setattr(_index, "SLICE", 1)
    while file.one("count_waiting", (1,))[0]:
        change(put_in)
    monkeypatch.setattr(_index, "SLICE", 9)
    for run in runs[:6]:
        change(erase, [run])
    change(tidy, 9)
    change(tidy, 9)
    assert [number for number, _, _ in parts(file)] == [1]
    before = pages()
    assert before > 4
    change(merge)
    assert pages() == before - 2
    assert file.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    file.connection.execute("INSERT INTO search_0(search_0) VALUES ('integrity-check')")
    change(erase, [runs[6]])
    change(tidy, 9)
    assert pages() == before - 4
    assert tables(file) == ["search_0", "search_1"]
    while "search_0" in tables(file):
        change(merge)
    assert file.connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    file.connection.close()

    await store.open()
    page = await store.find_runs(saying("hello", limit=200))
    assert [run.id for run in page.runs] == runs[:6:-1]


async def test_runs_with_many_records_get_in_and_are_moved_few_at_a_time(store, writes, opened, monkeypatch):
    """What a step reads is bounded by the records, not only by the runs; a run that has more gets in by itself."""
    monkeypatch.setattr(_index, "_STALE", 1)
    runs = []
    for records in (3, 3, 3, 1, 9, 1, 1, 1):
        begun = writes.begin()
        store.write(begun)
        for number in range(records):
            store.write(writes.record(begun.id, number + 1, "hello"))
        await store.write(writes.end(begun.id, State.SUCCEEDED))
        runs.append(begun.id)
    await store.close()
    file = opened()
    monkeypatch.setattr(_index, "_HEAVY", 6)
    file.begin()
    slices = []
    while count := put_in(file):
        slices.append(count)
    assert slices == [2, 2, 1, 3]
    erase(file, runs[5:])
    file.commit()
    file.begin()
    erase(file, runs[3:5])
    assert tidy(file, 9) == 2
    file.commit()
    assert parts(file)[0] == (0, 8, 5)
    assert parts(file)[1] == (1, 2, 0)


async def test_parts_are_merged_until_there_is_nothing_to_do(store, writes, opened, monkeypatch):
    """In quiet moments each part but the last becomes one list for each word."""
    monkeypatch.setattr(_index, "_FULL", 20)
    monkeypatch.setattr(_index, "SLICE", 4)
    for number in range(50):
        await run_of(store, writes, f"hello number{number}")
    await store.close()
    file = opened()
    file.begin()
    while put_in(file):
        file.commit()
        file.begin()
    while merge(file):
        file.commit()
        file.begin()
    for number in (0, 1):
        segments = file.connection.execute(f"SELECT count(DISTINCT segid) FROM search_{number}_idx").fetchone()
        assert segments == (1,)
        file.connection.execute(f"INSERT INTO search_{number}(search_{number}) VALUES ('integrity-check')")
    file.commit()


async def test_odd_texts_do_not_keep_the_index_from_being_written(store, writes, path):
    """Whatever a run says, is called or fails with, the index takes it; what marks a property in it cannot be said."""
    odd = "\0 \ud800 \ue000s3 \ue001 " + "x" * 70_000 + " behind"
    begun = writes.begin("o\ue000s3", labels=("l\0x", "\ue000l1"), arguments='{"a": [1, {"b": null}], "c": 1e999}')
    store.write(begun)
    store.write(writes.record(begun.id, 1, odd, fields='{"a": "\\ud800", "b": "\\u0000", "c": {"d": [true, 0.5]}}'))
    store.write(writes.record(begun.id, 2, "no JSON", fields="{"))
    await store.write(writes.end(begun.id, State.CANCELLED, error="e" * 20_000))
    for _ in range(2):
        for text in ("no JSON", "d true", "d", "0.5", "ud800", "x", "\ue000s3"):
            found = await store.find_runs(saying(text))
            assert len(found.runs) == (text != "d true"), text
        for text in ("\ue000s4", "behind"):
            assert (await store.find_runs(saying(text))).runs == (), text
        assert (await store.find_runs(RunQuery(states=frozenset({State.FAILED})))).runs == ()
        assert len((await store.find_runs(replace(saying("no"), labels=("l\0x",)))).runs) == 1
        await indexed(path, 1)
