"""What every store promises, held against each of them."""

import asyncio
import json
import math
import random
import threading
import time

import pytest

from binp.store.contract import (
    AddLabels,
    BeginRun,
    EndRun,
    Import,
    MoveSchedule,
    Once,
    OnceRow,
    PauseSchedule,
    PutKey,
    RemoveKeys,
    RequestCancel,
    RunQuery,
    SetDesired,
    SetKeys,
    SetObserved,
    SetProgress,
    State,
    StoreClosed,
    StoreError,
    TakeRun,
    Written,
)


async def begun(store, writes, *args, **given):
    write = writes.begin(*args, **given)
    assert await store.write(write) is True
    return write.id


# --- runs


async def test_a_run_is_begun_once_for_a_key(store, writes):
    """A run with a key that another one was begun with is not begun; which one it was is known."""
    first, second = writes.begin("tick", once="tick noon"), writes.begin("tick", once="tick noon")
    acks = [store.write(first), store.write(second), store.write(first)]

    assert [await ack for ack in acks] == [True, False, True]
    assert await store.write(second) is False
    assert await store.get_run(second.id) is None
    assert await store.get_once("tick noon") == OnceRow(at=first.at, run=first.id)
    assert await store.get_once("tick midnight") is None
    assert await store.write(Once(key="tick noon", at=1)) is False


async def test_a_run_that_a_rule_left_out_says_why(store, writes):
    """A tick that was not started is a run that has ended, and says why: to lists, and in its record."""
    why = "missed: nobody was there"
    run = await begun(store, writes, "tick", state=State.SKIPPED, at=1_000, due=900, reason=why)

    left = await store.get_run(run)
    assert (left.state, left.started, left.ended, left.duration) == (State.SKIPPED, 1_000, 1_000, 0)
    assert (left.due, left.error, left.records) == (900, why, 1)
    (record,) = await store.get_records(run)
    assert (record.seq, record.message) == (1, why)


async def test_a_schedule_is_moved_and_paused(store, until):
    """How far a schedule is and whether it is paused are kept beside each other, and each change is told."""
    told = []
    store.listen(lambda changes: told.extend((change.topic, change.id, change.rev) for change in changes))
    assert await store.get_schedules() == []
    assert await store.write(PauseSchedule(name="night", paused=True, actor="ann", at=5)) is True
    assert await store.write(MoveSchedule(name="night", spec="0 2 * * *", until=7, at=8)) is True
    assert await store.write(MoveSchedule(name="day", spec="0 9 * * *", until=9, at=9)) is True

    day, night = await store.get_schedules()
    assert (day.name, day.paused, day.until, day.paused_at) == ("day", False, 9, None)
    assert (night.name, night.spec, night.until, night.updated) == ("night", "0 2 * * *", 7, 8)
    assert (night.paused, night.paused_by, night.paused_at) == (True, "ann", 5)
    await store.write(PauseSchedule(name="night", paused=False, at=11))
    night = (await store.get_schedules())[1]
    assert (night.paused, night.paused_by, night.paused_at, night.until) == (False, None, 11, 7)
    await until(lambda: len(told) == 4)
    moved = [("night", 1), ("night", 2), ("day", 1), ("night", 3)]
    assert told == [("schedule", name, rev) for name, rev in moved]


async def test_a_queued_run_is_taken_once(store, writes):
    """Who takes a queued run holds it in a newer epoch; what was said in the older one is refused."""
    run = await begun(store, writes, "sweep", state=State.QUEUED, at=1_000)
    takes = [TakeRun(id=run, node=node, at=at) for node, at in (("one", 2_000), ("two", 3_000))]

    assert [await ack for ack in map(store.write, takes)] == [True, False]
    taken = await store.get_run(run)
    assert (taken.state, taken.node, taken.started, taken.epoch) == (State.RUNNING, "one", 2_000, 2)
    assert await store.write(AddLabels(run=run, epoch=1, labels=("late",))) is False
    assert await store.write(EndRun(id=run, epoch=2, state=State.SUCCEEDED, at=4_000, duration=2_000)) is True
    assert await store.write(TakeRun(id=run, node="two", at=5_000)) is False
    assert await store.write(TakeRun(id=run + 1, node="two", at=5_000)) is False


async def test_a_slot_has_as_many_places_as_are_asked_for(store, writes, until):
    """A queued run is taken while its slot has a place; the end of another one frees it, which is told."""
    told = []
    store.listen(lambda changes: told.extend((change.topic, change.id) for change in changes))
    runs = [await begun(store, writes, "sweep", state=State.QUEUED, slot="bath") for _ in range(4)]
    take = [TakeRun(id=run, node="one", places=2, at=5) for run in runs]

    assert [await ack for ack in map(store.write, take)] == [True, True, False, False]
    assert await store.get_slot("bath") == runs
    assert await store.get_slot("hall") == []
    end = EndRun(id=runs[0], epoch=2, state=State.FAILED, error="x", at=6, duration=1, attempt=3)
    acks = [store.write(take[2]), store.write(end), store.write(take[3]), store.write(take[2])]
    assert [await ack for ack in acks] == [False, True, True, False]
    assert await store.get_slot("bath") == runs[1:]
    assert (await store.get_run(runs[0])).attempt == 3
    await until(lambda: ("slot", "bath") in told)
    assert told.count(("slot", "bath")) == 1


async def test_an_orphan_is_taken_only_when_its_process_is_gone(store, writes):
    """What a living process has queued is not taken away from it."""
    mine = await begun(store, writes, "sweep", state=State.QUEUED, node=store.node)
    gone = await begun(store, writes, "sweep", state=State.QUEUED, node="long gone")

    assert await store.write(TakeRun(id=mine, node="two", orphaned=True, at=5)) is False
    assert await store.write(TakeRun(id=gone, node="two", orphaned=True, at=5)) is True


async def test_a_run_is_queued_taken_and_ended_in_one_go(store, writes):
    """What happens to a run in one group of writes happens in its order."""
    write = writes.begin("sweep", state=State.QUEUED, at=1_000)
    steps = [
        write,
        TakeRun(id=write.id, node="one", at=2_000),
        EndRun(id=write.id, epoch=2, state=State.SUCCEEDED, at=3_000, duration=1_000),
    ]

    assert [await ack for ack in list(map(store.write, steps))] == [True, True, True]
    run = await store.get_run(write.id)
    assert (run.state, run.started, run.ended, run.node, run.epoch) == (State.SUCCEEDED, 2_000, 3_000, "one", 2)


async def test_a_run_comes_back_as_it_was_written(store, writes):
    """A run is kept with all that was said of it when it began."""
    write = writes.begin(
        "report",
        journal="report",
        description="Says what is.",
        state=State.QUEUED,
        trigger="api",
        actor="ann",
        parent=17,
        attempt=2,
        epoch=3,
        version="1.2",
        due=1_700_000_000_000_000,
        origin=11,
        arguments='{"day":"monday"}',
        labels=("b", "a", "b"),
    )
    await store.write(write)

    run = await store.get_run(write.id)

    assert (run.operation, run.journal, run.description) == ("report", "report", "Says what is.")
    assert (run.state, run.trigger, run.actor, run.parent) == (State.QUEUED, "api", "ann", 17)
    assert (run.attempt, run.epoch, run.node, run.version) == (2, 3, store.node, "1.2")
    assert (run.arguments, run.labels, run.started) == ('{"day":"monday"}', ("b", "a"), write.at)
    assert (run.ended, run.duration, run.result, run.error, run.records) == (None, None, None, None, 0)
    assert not run.cancel_requested


async def test_times_are_aware_and_exact_to_the_microsecond(store, writes):
    """Times are UTC with an offset, in microseconds (N-15)."""
    run = await begun(store, writes, at=1_700_000_000_123_457)
    await store.write(EndRun(id=run, state=State.SUCCEEDED, at=1_700_000_001_000_001, duration=876_544))

    kept = await store.get_run(run)

    assert kept.started_at.isoformat() == "2023-11-14T22:13:20.123457+00:00"
    assert kept.ended_at.isoformat() == "2023-11-14T22:13:21.000001+00:00"
    assert kept.duration == 876_544


async def test_an_ended_run_has_its_result(store, writes):
    """The end of a run brings its state, result and duration."""
    run = await begun(store, writes)

    assert await store.write(writes.end(run, result='{"rows":3}')) is True

    kept = await store.get_run(run)
    assert (kept.state, kept.result, kept.duration, kept.error) == (State.SUCCEEDED, '{"rows":3}', 7, None)


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.INTERRUPTED])
async def test_a_run_that_did_not_succeed_says_why(store, writes, state):
    """A cancelled run is no success, and a failure has type, message and traceback (N-07)."""
    run = await begun(store, writes)

    await store.write(writes.end(run, state, error_type="ValueError", error="no such day", traceback="Traceback..."))

    kept = await store.get_run(run)
    assert (kept.state, kept.error_type, kept.error) == (state, "ValueError", "no such day")
    assert kept.traceback == "Traceback..."


async def test_a_skipped_run_has_ended_when_it_begins(store, writes):
    """A tick that a rule left out is finished, without error."""
    run = await begun(store, writes, state=State.SKIPPED)

    kept = await store.get_run(run)
    assert (kept.state, kept.ended, kept.duration, kept.error) == (State.SKIPPED, kept.started, 0, None)
    assert await store.write(writes.end(run)) is False


async def test_beginning_twice_changes_nothing(store, writes):
    """A run is begun once, however often that is said."""
    write = writes.begin("first")
    await store.write(write)
    await store.write(writes.end(write.id))

    assert await store.write(writes.begin("second", id=write.id)) is True

    kept = await store.get_run(write.id)
    assert (kept.operation, kept.state) == ("first", State.SUCCEEDED)


async def test_a_run_ends_once(store, writes):
    """The second end is refused and changes nothing."""
    run = await begun(store, writes)
    first, second = store.write(writes.end(run)), store.write(writes.end(run, State.FAILED))

    assert (await first, await second) == (True, False)
    assert (await store.get_run(run)).state is State.SUCCEEDED


async def test_an_unknown_run_takes_nothing(store, writes):
    """Writes to a run that is not there are refused."""
    unknown = store.new_id()
    refused = [
        writes.record(unknown, 1),
        AddLabels(run=unknown, labels=("a",)),
        SetProgress(run=unknown, value=1),
        writes.end(unknown),
        RequestCancel(id=unknown, at=1),
    ]

    assert [await store.write(write) for write in refused] == [False] * 5
    assert await store.get_run(unknown) is None
    assert await store.get_records(unknown) == []


async def test_a_finished_run_takes_nothing(store, writes):
    """What comes after the end is refused."""
    run = await begun(store, writes)
    store.write(writes.end(run))
    late = [
        writes.record(run, 1),
        AddLabels(run=run, labels=("a",)),
        SetProgress(run=run, value=1),
        RequestCancel(id=run, at=1),
    ]

    assert [await store.write(write) for write in late] == [False] * 4
    kept = await store.get_run(run)
    assert (kept.records, kept.labels, kept.progress, kept.cancel_requested) == (0, (), None, False)


async def test_a_stale_epoch_is_refused(store, writes):
    """Who holds a run in an older epoch than the row writes nothing any more, to its keys neither."""
    run = await begun(store, writes, epoch=2)
    stale = [
        writes.record(run, 1, epoch=1),
        AddLabels(run=run, epoch=1, labels=("a",)),
        SetProgress(run=run, epoch=1, value=1),
        writes.end(run, epoch=1),
        SetKeys(namespace="n", items=(("k", "1"),), run=run, epoch=1, at=1),
        RemoveKeys(namespace="n", keys=("k",), run=run, epoch=1, at=1),
    ]

    assert [await store.write(write) for write in stale] == [False] * 6
    assert await store.get_key("n", "k") is None

    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), run=run, epoch=2, at=1)) is True
    assert await store.write(writes.end(run, epoch=2)) is True


async def test_records_keep_their_order_and_fields(store, writes):
    """Records come back by their number, oldest or newest first, in pages."""
    run = await begun(store, writes)
    for seq in range(1, 8):
        store.write(writes.record(run, seq, f"line {seq}", level="warning", source="log", fields=f'{{"n":{seq}}}'))
    await store.write(writes.end(run))

    records = await store.get_records(run)

    assert [record.message for record in records] == [f"line {seq}" for seq in range(1, 8)]
    assert {(record.level, record.source) for record in records} == {("warning", "log")}
    assert records[2].fields == '{"n":3}'
    assert records[0].created_at.tzinfo is not None
    assert [r.seq for r in await store.get_records(run, newest=True, limit=2)] == [7, 6]
    assert [r.seq for r in await store.get_records(run, after=2, before=5)] == [3, 4]
    assert [r.seq for r in await store.get_records(run, newest=True, before=3)] == [2, 1]
    assert (await store.get_run(run)).records == 7


async def test_a_record_that_is_there_already_stays(store, writes):
    """The same number twice keeps the first, and counts once."""
    run = await begun(store, writes)
    await store.write(writes.record(run, 1, "first"))

    assert await store.write(writes.record(run, 1, "again")) is True
    assert await store.write(writes.record(run, 2, "second")) is True

    assert [record.message for record in await store.get_records(run)] == ["first", "second"]
    assert (await store.get_run(run)).records == 2


async def test_labels_are_a_set_in_the_order_they_came(store, writes):
    """A label that is there already stays as it is."""
    run = await begun(store, writes, labels=("x",))

    assert await store.write(AddLabels(run=run, labels=("b", "x", "a"))) is True
    assert await store.write(AddLabels(run=run, labels=("a", "c"))) is True

    assert (await store.get_run(run)).labels == ("x", "b", "a", "c")


async def test_progress_is_the_last_one(store, writes):
    """Progress is replaced; what is not a number is no progress."""
    run = await begun(store, writes)
    store.write(SetProgress(run=run, value=1, total=10, message="one"))
    await store.write(SetProgress(run=run, value=2.5, total=10, message="more"))
    kept = await store.get_run(run)
    assert (kept.progress, kept.progress_total, kept.progress_message) == (2.5, 10.0, "more")

    await store.write(SetProgress(run=run, value=math.nan, total=math.inf))
    kept = await store.get_run(run)
    assert (kept.progress, kept.progress_total, kept.progress_message) == (None, None, None)


async def test_the_revision_counts_changes_of_the_run(store, writes):
    """Each change of a run's row makes its revision one larger."""
    run = await begun(store, writes)
    store.write(AddLabels(run=run, labels=("a",)))
    store.write(SetProgress(run=run, value=1))
    await store.write(writes.end(run))

    assert (await store.get_run(run)).rev == 4


async def test_a_request_to_cancel_reaches_the_holder(store, writes, until):
    """A running run is asked, and its holder is told, as often as somebody asks."""
    changes = []
    store.listen(changes.extend)
    run = await begun(store, writes)

    assert await store.write(RequestCancel(id=run, actor="ann", at=1)) is True
    assert await store.write(RequestCancel(id=run, actor="bob", at=2)) is True

    kept = await store.get_run(run)
    assert (kept.state, kept.cancel_requested) == (State.RUNNING, True)
    await until(lambda: len([c for c in changes if c.topic == "cancel"]) == 2)
    assert await store.write(writes.end(run, State.CANCELLED, error="cancelled")) is True
    assert (await store.get_run(run)).cancel_requested


async def test_a_queued_run_is_cancelled_at_once(store, writes):
    """A run that nobody has begun to execute is cancelled by the request itself."""
    run = await begun(store, writes, state=State.QUEUED, at=100)

    assert await store.write(RequestCancel(id=run, at=150)) is True

    kept = await store.get_run(run)
    assert (kept.state, kept.error, kept.ended, kept.duration) == (State.CANCELLED, "cancelled", 150, 50)
    assert await store.write(RequestCancel(id=run, at=160)) is False


# --- history


@pytest.fixture
async def history(store, writes):
    """A few dozen runs of every kind, as they are kept."""
    generator = random.Random(7)
    ids = []
    for _ in range(60):
        operation = generator.choice(["alpha", "beta", "gamma"])
        journal = {"alpha": "alpha", "beta": "other", "gamma": None}[operation]
        parent = generator.choice(ids) if ids and generator.random() < 0.3 else None
        labels = tuple(generator.sample(["red", "green", "blue"], generator.randrange(3)))
        state = generator.choice(list(State))
        given = {"journal": journal, "parent": parent, "labels": labels}
        if state in {State.QUEUED, State.RUNNING, State.SKIPPED}:
            write = writes.begin(operation, state=state, **given)
            ack = store.write(write)
        else:
            write = writes.begin(operation, **given)
            store.write(write)
            error = None if state is State.SUCCEEDED else "went wrong"
            ack = store.write(writes.end(write.id, state, error=error))
        ids.append(write.id)
    await ack
    return [await store.get_run(run) for run in reversed(ids)]


QUERIES = [
    RunQuery(),
    RunQuery(journaled=True),
    RunQuery(operation="alpha"),
    RunQuery(operation="nobody"),
    RunQuery(journal="other"),
    RunQuery(journal="nobody"),
    RunQuery(operation="alpha", journaled=True),
    RunQuery(operation="beta", journal="other"),
    RunQuery(operation="beta", journal="alpha"),
    RunQuery(operation="gamma", journaled=True),
    RunQuery(states=frozenset({State.QUEUED, State.RUNNING})),
    RunQuery(states=frozenset({State.FAILED, State.CANCELLED, State.INTERRUPTED}), journaled=True),
    RunQuery(states=frozenset()),
    RunQuery(states=frozenset({State.SUCCEEDED}), operation="beta"),
    RunQuery(states=frozenset({State.FAILED}), journal="alpha"),
    RunQuery(labels=("red",)),
    RunQuery(labels=("red", "blue")),
    RunQuery(labels=("nothing",)),
    RunQuery(labels=("nothing", "green")),
    RunQuery(labels=()),
    RunQuery(labels=("red", "green"), states=frozenset({State.SUCCEEDED, State.FAILED})),
    RunQuery(labels=("blue",), operation="gamma"),
    RunQuery(labels=("blue",), journaled=True, journal="other"),
]


def matches(query, run):
    return (
        (not query.journaled or run.journal is not None)
        and (query.operation is None or run.operation == query.operation)
        and (query.journal is None or run.journal == query.journal)
        and (query.states is None or run.state in query.states)
        and (not query.labels or bool(set(query.labels) & set(run.labels)))
        and (query.parent is None or run.parent == query.parent)
    )


def changed(query, **given):
    from dataclasses import replace

    return replace(query, **given)


async def test_search_finds_what_matches_newest_first(store, history):
    """All conditions hold for every run of a page, newest first; no labels are no condition (N-05, decision 11)."""
    parent = next(run.parent for run in history if run.parent is not None)
    for query in [*QUERIES, RunQuery(parent=parent), RunQuery(parent=parent, labels=("red",)), RunQuery(parent=1)]:
        page = await store.find_runs(changed(query, limit=200))

        assert list(page.runs) == [run for run in history if matches(query, run)], query
        assert not page.has_more


async def test_pages_by_offset_and_by_key_hold_each_run_once(store, history):
    """Paging by offset, backwards from a run and forwards from one leads over the same runs (N-05)."""
    for query in QUERIES:
        expected = [run for run in history if matches(query, run)]
        for step in (1, 7):
            by_offset, by_key = [], []
            while True:
                page = await store.find_runs(changed(query, limit=step, offset=len(by_offset)))
                by_offset += page.runs
                assert page.has_more == (len(by_offset) < len(expected))
                if not page.has_more:
                    break
            before = None
            while True:
                page = await store.find_runs(changed(query, limit=step, before=before))
                by_key += page.runs
                if not page.has_more:
                    break
                before = page.runs[-1].id
            assert by_offset == by_key == expected


async def test_pages_forward_hold_the_oldest_of_the_newer_runs(store, history):
    """After a run come the next ones, still newest first, and it is said whether older ones lie behind the page."""
    query = RunQuery(journaled=True, limit=5)
    expected = [run for run in history if run.journal is not None]
    oldest = expected[-1]

    page = await store.find_runs(changed(query, after=oldest.id))

    assert list(page.runs) == expected[-6:-1]
    assert page.has_more
    first = await store.find_runs(changed(query, after=0))
    assert (list(first.runs), first.has_more) == (expected[-5:], False)
    assert (await store.find_runs(changed(query, after=expected[0].id))).runs == ()


async def test_absurd_numbers_find_nothing(store, history):
    """Ids, offsets and limits beyond all bounds are answered, not crashed on."""
    huge = 10**30
    assert (await store.find_runs(RunQuery(before=-huge))).runs == ()
    assert (await store.find_runs(RunQuery(after=huge))).runs == ()
    assert (await store.find_runs(RunQuery(offset=huge))).runs == ()
    assert (await store.find_runs(RunQuery(parent=huge))).runs == ()
    assert len((await store.find_runs(RunQuery(limit=huge, before=huge, after=-huge))).runs) == 60
    assert await store.get_run(huge) is None
    assert await store.get_run(-huge) is None
    assert await store.get_records(huge, after=-huge, before=huge, limit=huge) == []


# --- keys


async def test_a_key_keeps_value_module_and_version(store):
    """A key comes back as it was set, with a version that counts its writes (decision 12)."""
    await store.write(SetKeys(namespace="n", items=(("k", '"one"'),), module="shop", at=5))
    await store.write(SetKeys(namespace="n", items=(("k", '"two"'), ("l", "2")), at=6))

    kept = await store.get_key("n", "k")

    assert (kept.namespace, kept.key, kept.value, kept.module) == ("n", "k", '"two"', None)
    assert (kept.version, kept.updated) == (2, 6)
    assert (await store.get_key("n", "l")).version == 1
    assert await store.get_key("n", "m") is None
    assert await store.get_key("o", "k") is None


async def test_the_version_of_a_key_never_goes_back(store):
    """Removing a key and setting it again goes on counting."""
    versions = []
    for _ in range(3):
        await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1))
        versions.append((await store.get_key("n", "k")).version)
        await store.write(RemoveKeys(namespace="n", keys=("k", "unknown"), at=2))
        assert await store.get_key("n", "k") is None

    assert versions == sorted(set(versions))


async def test_keys_are_listed_by_name_in_pages(store):
    """Keys of a namespace come in order of their names, from one on and with a prefix."""
    names = ["", "a", "a\0", "ab", "b", "ä", "\ud7ff", "\ue000", "\U0010ffff", "\U0010ffffz"]
    await store.write(SetKeys(namespace="n", items=tuple((name, "1") for name in reversed(names)), at=1))
    await store.write(SetKeys(namespace="m", items=(("a", "1"),), at=1))

    async def listed(**given):
        return [kept.key for kept in await store.list_keys("n", **given)]

    assert await listed() == names
    assert await listed(after="ab") == names[4:]
    assert await listed(after="a") == names[2:]
    assert await listed(prefix="a") == ["a", "a\0", "ab"]
    assert await listed(prefix="a", after="a\0", limit=5) == ["ab"]
    assert await listed(prefix="\ud7ff") == ["\ud7ff"]
    assert await listed(prefix="\U0010ffff") == names[-2:]
    assert await listed(limit=3) == names[:3]
    assert await store.namespaces() == ["m", "n"]


async def test_a_namespace_without_keys_is_gone(store):
    """Only namespaces with a key are listed."""
    await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1))
    await store.write(RemoveKeys(namespace="n", keys=("k",), at=1))

    assert await store.namespaces() == []
    assert await store.list_keys("n") == []


async def test_writes_to_the_same_key_keep_their_order(store):
    """The last of many writes to a key wins, whoever waits for which."""
    acks = [store.write(SetKeys(namespace="n", items=(("k", str(i)),), at=i)) for i in range(500)]
    assert [await ack for ack in acks] == [True] * 500

    kept = await store.get_key("n", "k")
    assert (kept.value, kept.version) == ("499", 500)


# --- one key: expected versions, expiry, history


def put(key="k", value="1", **given):
    """A change of one key."""
    return PutKey(**{"namespace": "n", "key": key, "value": value, "at": 1} | given)


async def test_a_key_is_put_in_the_expected_version_alone(store):
    """A key is written if it is in the expected version, created if it is not there, and nothing is done otherwise."""
    assert await store.write(put(value="1", expected=0)) == Written(is_done=True, version=1)
    assert await store.write(put(value="2", expected=0)) == Written(is_done=False, version=1)
    assert await store.write(put(value="3", expected=1)) == Written(is_done=True, version=2)
    assert await store.write(put(value="4", expected=1)) == Written(is_done=False, version=2)
    assert await store.write(put("l", expected=1)) == Written(is_done=False, version=0)
    assert await store.write(put(value="5")) == Written(is_done=True, version=3)

    assert (await store.get_key("n", "k")).value == await store.get_value("n", "k") == "5"
    assert await store.get_key("n", "l") is await store.get_value("n", "l") is None


async def test_a_key_is_removed_in_the_expected_version_alone(store, until):
    """A removal can expect a version too; it counts as a version, and one of nothing does nothing."""
    await store.write(put())
    heard = []
    store.listen(heard.extend)

    assert await store.write(put(value=None, expected=2)) == Written(is_done=False, version=1)
    assert await store.write(put(value=None, expected=1)) == Written(is_done=True, version=2)
    assert await store.write(put(value=None)) == Written(is_done=True, version=0)
    assert await store.write(put(value=None, expected=2)) == Written(is_done=False, version=0)
    assert await store.write(put(expected=0)) == Written(is_done=True, version=3)

    await until(lambda: len(heard) == 2)
    assert [(change.topic, change.id, change.rev) for change in heard] == [("kv", "n/k", 2), ("kv", "n/k", 3)]


async def test_of_many_who_expect_the_same_version_one_writes(store):
    """64 tasks count up one key, each by what it read: no count is lost (N-10)."""
    await store.write(put(value="0"))

    async def count():
        for _ in range(5):
            while True:
                kept = await store.get_key("n", "k")
                done = await store.write(put(value=str(int(kept.value) + 1), expected=kept.version))
                if done.is_done:
                    break

    await asyncio.gather(*(count() for _ in range(64)))

    kept = await store.get_key("n", "k")
    assert (kept.value, kept.version) == ("320", 321)


async def test_a_put_of_a_stale_run_is_refused(store, writes):
    """Who holds a run in an older epoch puts nothing, and is told so."""
    run = await begun(store, writes, epoch=2)

    assert await store.write(put(run=run, epoch=1)) is False
    assert await store.write(put(run=run, epoch=2, actor="ann")) == Written(is_done=True, version=1)
    kept = await store.get_key("n", "k")
    assert (kept.run, kept.actor) == (run, "ann")


async def test_an_expired_key_is_not_there(store):
    """A key that has expired is in no answer at once, and can be created; its removal counts as a version."""
    now = time.time_ns() // 1000
    await store.write(put(expires=now - 1))
    await store.write(put("l", namespace="m", expires=now + 3_600_000_000))

    assert await store.get_key("n", "k") is await store.get_value("n", "k") is None
    assert await store.list_keys("n") == []
    assert await store.namespaces() == ["m"]
    assert (await store.get_key("m", "l")).expires == now + 3_600_000_000
    assert (await store.list_keys("m"))[0].expires == now + 3_600_000_000
    assert await store.write(put(expected=1)) == Written(is_done=False, version=0)
    assert await store.write(put(expected=0)) == Written(is_done=True, version=3)
    assert (await store.get_key("n", "k")).expires is None


async def test_what_expires_is_removed_and_told(store, until):
    """When a key expires a change is told, and its history says that it expired."""
    heard = []
    store.listen(heard.extend)
    expires = time.time_ns() // 1000 + 300_000
    await store.write(put(expires=expires))

    await until(lambda: len(heard) == 2)

    assert time.time_ns() // 1000 >= expires
    assert [(change.topic, change.id, change.rev) for change in heard] == [("kv", "n/k", 1), ("kv", "n/k", 2)]
    gone, set_ = await store.get_key_history("n", "k")
    assert (gone.version, gone.value, gone.is_removed, gone.is_expired, gone.at) == (2, None, True, True, expires)
    assert (set_.version, set_.value, set_.is_removed, set_.is_expired) == (1, "1", False, False)


async def test_a_value_without_expiry_stays(store):
    """Setting a key anew without an expiry lets it stay."""
    await store.write(put(expires=time.time_ns() // 1000 + 100_000))
    await store.write(SetKeys(namespace="n", items=(("k", "2"),), at=1))
    await asyncio.sleep(0.3)

    assert await store.get_value("n", "k") == "2"


async def test_a_key_has_a_history(store, writes):
    """Each version of a key is kept with its value, its module, and when, by whom and in which run it was made."""
    run = await begun(store, writes)
    await store.write(SetKeys(namespace="n", items=(("k", "1"), ("l", "1")), at=5, actor="ann", module="shop"))
    await store.write(RemoveKeys(namespace="n", keys=("k",), at=6, actor="bob", run=run, epoch=1))
    await store.write(put(value="3", at=7))

    third, second, first = await store.get_key_history("n", "k")

    assert (first.version, first.value, first.module, first.at, first.actor) == (1, "1", "shop", 5, "ann")
    assert (second.version, second.value, second.at, second.actor, second.run) == (2, None, 6, "bob", run)
    assert (second.is_removed, second.is_expired, second.module) == (True, False, None)
    assert (third.version, third.value, third.at, third.actor, third.run) == (3, "3", 7, None, None)
    assert [kept.version for kept in await store.get_key_history("n", "l")] == [1]
    assert await store.get_key_history("n", "m") == await store.get_key_history("m", "k") == []


async def test_a_history_is_bounded(store):
    """A hundred versions are kept, or as many as were asked for last; they can be read in parts."""

    async def versions(key="k", **given):
        return [kept.version for kept in await store.get_key_history("n", key, **given)]

    acks = [store.write(put(value=str(number))) for number in range(1, 251)]
    assert (await acks[-1]).version == 250
    assert await versions(limit=1000) == list(range(250, 150, -1))
    assert [kept.value for kept in await store.get_key_history("n", "k", limit=3)] == ["250", "249", "248"]
    assert await versions(after=247) == [250, 249, 248]
    for number in range(1, 6):
        await store.write(put("l", value=str(number), history=3))
    assert await versions("l") == [5, 4, 3]
    await store.write(put("l"))
    assert await versions("l") == [6, 5, 4]
    await store.write(put("l", history=1))
    assert await versions("l") == [7]
    await store.write(put("l", history=5))
    assert await versions("l") == [8, 7]


async def test_a_long_value_is_not_kept_in_the_history(store):
    """A value of more than 64 KiB is kept as long as it is the present one; after that its version is."""
    long = '"' + "x" * 70_000 + '"'
    await store.write(put(value=long))
    assert (await store.get_key_history("n", "k"))[0].value == long
    await store.write(put(value="2"))

    second, first = await store.get_key_history("n", "k")

    assert (second.value, first.value, first.is_removed) == ("2", None, False)


# --- services, once


async def test_what_is_wanted_of_and_seen_of_a_service(store):
    """Desired and observed state are kept beside each other."""
    await store.write(SetObserved(name="poll", status='{"status":"running"}', node="n1", at=1))
    await store.write(SetDesired(name="poll", running=False, actor="ann", at=2, wish="w2"))
    await store.write(SetDesired(name="other", running=True, at=3, wish="w3"))

    other, poll = await store.get_services()

    assert (other.name, other.desired, other.status, other.node) == ("other", True, None, None)
    assert (poll.name, poll.desired, poll.status, poll.node) == ("poll", False, '{"status":"running"}', "n1")
    assert (other.desired_at, poll.desired_at) == (3, 2)
    assert [(row.wish, row.before) for row in (other, poll)] == [("w3", None), ("w2", None)]

    for wish, running in (("w4", True), ("w5", True)):
        await store.write(SetDesired(name="poll", running=running, at=4, wish=wish))

    _, poll = await store.get_services()
    assert (poll.desired, poll.wish, poll.before) == (True, "w5", "w2")

    # what is obeyed already is the beginning: of what was before it nothing is told
    for wish, running, before in (("w6", True, None), ("w7", False, "w6")):
        await store.write(SetDesired(name="poll", running=running, at=5, wish=wish, obeyed=wish == "w6"))
        _, poll = await store.get_services()
        assert (poll.desired, poll.wish, poll.before) == (running, wish, before)


async def test_a_pause_is_said_once(store):
    """Of those who say the same of a schedule the first counts, until somebody says the contrary."""
    for at, paused, actor in ((1, True, "ann"), (2, True, "bob"), (3, False, "ann"), (4, False, "bob")):
        await store.write(PauseSchedule(name="night", paused=paused, actor=actor, at=at))
        (row,) = await store.get_schedules()
        assert (row.paused, row.paused_by, row.paused_at) == (paused, "ann", 1 if paused else 3)


async def test_once_is_once(store):
    """Only the first of all that claim the same thing gets it."""
    acks = [store.write(Once(key=f"tick {i // 4}", at=1)) for i in range(12)]

    assert [await ack for ack in acks] == [True, False, False, False] * 3


# --- acknowledgement and changes


async def test_everything_is_acknowledged_in_a_crowd(store, writes):
    """64 tasks with 20 runs each and their records at once: all succeed, nothing is missing (N-10)."""

    async def work(number):
        for turn in range(20):
            write = writes.begin(f"op {number % 5}", journal="j", labels=(f"l{turn % 3}",))
            assert await store.write(write) is True
            said = [store.write(writes.record(write.id, seq, f"{number} {turn} {seq}")) for seq in (1, 2)]
            assert await store.write(SetKeys(namespace="n", items=((str(number), str(turn)),), at=1)) is True
            assert await store.write(writes.end(write.id)) is True
            assert [await ack for ack in said] == [True, True]

    await asyncio.gather(*(work(number) for number in range(64)))

    page = await store.find_runs(RunQuery(states=frozenset({State.SUCCEEDED}), offset=1279))
    assert len(page.runs) == 1
    assert not page.has_more
    records = await store.get_records(page.runs[0].id)
    assert [record.message for record in records] == ["0 0 1", "0 0 2"]
    assert len(await store.list_keys("n")) == 64


async def test_many_records_of_one_run_at_once(store, writes):
    """A gather over record() in one run keeps them all (N-10)."""
    run = await begun(store, writes)

    results = await asyncio.gather(*(_await(store.write(writes.record(run, seq))) for seq in range(1, 21)))

    assert results == [True] * 20
    assert len(await store.get_records(run)) == 20


async def _await(ack):
    return await ack


async def test_a_record_nobody_awaits_is_kept_soon(store, writes):
    """Records reach the file without anybody waiting, after a moment."""
    run = await begun(store, writes)
    store.write(writes.record(run, 1))

    for _ in range(3000):
        await asyncio.sleep(0.02)
        if await store.get_records(run):
            return
    raise AssertionError("the record was not written")


async def test_threads_write_and_wait(store, writes):
    """Threads write without a loop, in their own order, and can wait for the commit."""
    run = await begun(store, writes)
    results = []

    def work():
        for seq in range(1, 51):
            ack = store.write(writes.record(run, seq, str(seq)))
        results.append(ack.wait(200))

    thread = threading.Thread(target=work)
    thread.start()
    await asyncio.to_thread(thread.join)

    assert results == [True]
    assert [record.message for record in await store.get_records(run)] == [str(seq) for seq in range(1, 51)]


async def test_an_acknowledgement_may_be_awaited_again(store, writes):
    """Awaiting twice, by two tasks, and after a cancelled wait gives the same answer."""
    run = await begun(store, writes)
    ack = store.write(writes.record(run, 1))
    cancelled = asyncio.ensure_future(_await(ack))
    await asyncio.sleep(0)
    cancelled.cancel()

    assert await asyncio.gather(_await(ack), _await(ack)) == [True, True]
    assert await ack is True
    assert ack.wait(0) is True
    assert cancelled.cancelled()


async def test_changes_come_in_order_after_the_commit(store, writes, until):
    """A listener hears each change once, numbered in commit order, and can read what it hears of (N-14)."""
    heard, states = [], []

    def listen(changes):
        heard.extend(changes)

    end = store.listen(listen)
    run = await begun(store, writes, journal="j")
    store.write(AddLabels(run=run, labels=("a",)))
    store.write(writes.record(run, 1))
    await store.write(writes.end(run))
    await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1))
    await store.write(SetDesired(name="s", running=True, at=1))
    await store.write(SetObserved(name="s", status="{}", node="n", at=1))
    await until(lambda: len(heard) == 7)
    end()
    await store.write(SetKeys(namespace="n", items=(("k", "2"),), at=1))

    told = [(change.topic, change.id, change.rev) for change in heard]
    assert told == [
        ("run", run, 1),
        ("run", run, 2),
        ("record", run, 1),
        ("run", run, 3),
        ("kv", "n/k", 1),
        ("desired", "s", 1),
        ("service", "s", 2),
    ]
    assert [change.journal for change in heard] == [True] * 4 + [False] * 3
    numbers = [change.seq for change in heard]
    assert numbers == sorted(set(numbers))
    assert states == []
    assert store.feed


async def test_a_listener_that_fails_harms_nobody(store, caplog, until):
    """A failing listener is logged; the others hear, and the write is acknowledged."""
    heard = []

    def fail(changes):
        raise LookupError("mine")

    store.listen(fail)
    store.listen(heard.extend)

    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True
    await until(lambda: heard)
    assert "a listener of the store failed" in caplog.text


async def test_a_write_that_cannot_be_done_fails_alone(store, writes, caplog):
    """One impossible write among many is the only one that fails."""
    run = await begun(store, writes)
    good = [store.write(writes.record(run, seq)) for seq in range(1, 20)]
    bad = store.write(writes.record(run, 20, 5))
    worse = store.write(SetProgress(run=run, value=10**400))
    worst = store.write(EndRun(id=run, state=State.RUNNING, at=1, duration=1))
    rest = [store.write(writes.record(run, seq)) for seq in range(21, 40)]

    assert [await ack for ack in good + rest] == [True] * 38
    for ack in (bad, worse, worst):
        with pytest.raises(StoreError):
            await ack
    assert len(await store.get_records(run)) == 38
    assert await store.write(writes.end(run)) is True


async def test_odd_texts_are_kept(store, writes):
    """NUL, emoji, half surrogates and line ends in any text harm nothing, and come back as far as they can."""
    odd = 'a\0b "q" \\ \r\n\t é 漢 😀 \x1b \u2028'
    write = writes.begin(odd, journal=odd, description=odd, actor=odd, version=odd, labels=(odd, "\udc80"))
    store.write(write)
    store.write(writes.record(write.id, 1, odd))
    store.write(writes.record(write.id, 2, "half \udc80"))
    store.write(SetProgress(run=write.id, value=1, message=odd))
    await store.write(writes.end(write.id, State.FAILED, error=odd, error_type=odd, traceback=odd))
    await store.write(SetKeys(namespace=odd, items=((odd, '"\udc80"'), ("\udc80", '"a\\u0000b"')), at=1))

    pictured = odd.replace("\0", "␀")
    kept = await store.get_run(write.id)
    assert (kept.operation, kept.journal, kept.description, kept.actor) == (pictured,) * 4
    assert (kept.error, kept.error_type, kept.traceback, kept.progress_message) == (pictured,) * 4
    assert kept.labels == (pictured, "\\udc80")
    assert [record.message for record in await store.get_records(write.id)] == [odd, "half \\udc80"]
    assert [run.id for run in (await store.find_runs(RunQuery(labels=(odd,)))).runs] == [write.id]
    assert [run.id for run in (await store.find_runs(RunQuery(operation=odd))).runs] == [write.id]
    assert (await store.get_key(odd, odd)).value == '"\\udc80"'
    assert (await store.get_key(odd, "\udc80")).value == '"a\\u0000b"'
    assert await store.namespaces() == [odd]
    assert await store.write(RemoveKeys(namespace=odd, keys=(odd,), at=1)) is True
    assert await store.get_key(odd, odd) is None


async def test_ids_grow_and_fit_into_javascript(store):
    """Ids grow strictly, also from several threads, and stay below 2**53."""
    made = [store.new_id() for _ in range(5000)]
    threads = [threading.Thread(target=lambda: made.extend(store.new_id() for _ in range(1000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(set(made)) == 9000
    assert made[:5000] == sorted(made[:5000])
    assert max(made) < 2**53


async def test_a_closed_store_says_so(store, writes):
    """Closing acknowledges what is queued; afterwards everything is refused, and closing again does nothing."""
    acks = [store.write(writes.begin()) for _ in range(50)]
    late = writes.begin()
    await store.close()
    await store.close()

    assert [await ack for ack in acks] == [True] * 50
    with pytest.raises(StoreClosed):
        store.write(late)
    with pytest.raises(StoreClosed):
        await store.get_run(late.id)
    with pytest.raises(StoreClosed):
        await store.find_runs(RunQuery())
    with pytest.raises(StoreClosed):
        store.new_id()
    await store.open()
    assert (await store.find_runs(RunQuery(offset=49))).runs[0].operation == "work"


async def test_what_a_closed_store_left_running_is_interrupted(store, writes):
    """Runs that nobody holds any more are marked, never deleted, with the last sign of life as their end (N-13).

    What was queued stays so: somebody else may take it.
    """
    running, queued, done = writes.begin(journal="j"), writes.begin(state=State.QUEUED), writes.begin()
    for write in (running, queued, done):
        store.write(write)
    store.write(writes.record(running.id, 1))
    await store.write(writes.end(done.id))
    await store.close()
    await store.open()

    async def states():
        return [(await store.get_run(write.id)).state for write in (running, queued, done)]

    end = time.monotonic() + 200
    while await states() != [State.INTERRUPTED, State.QUEUED, State.SUCCEEDED] and time.monotonic() < end:
        await asyncio.sleep(0.01)
    assert await states() == [State.INTERRUPTED, State.QUEUED, State.SUCCEEDED]
    kept = await store.get_run(running.id)
    assert kept.error == "interrupted: its process ended"
    assert kept.ended >= kept.started
    assert kept.duration == kept.ended - kept.started
    assert kept.records == 1
    interrupted = await store.find_runs(RunQuery(states=frozenset({State.INTERRUPTED}), journaled=True))
    assert [run.id for run in interrupted.runs] == [running.id]


async def test_a_failure_nobody_awaits_is_logged(store, writes, caplog, until):
    """A write that fails without anybody waiting leaves a line in the log."""
    run = await begun(store, writes)
    store.write(writes.record(run, 1, 5))

    await until(lambda: "were not kept" in caplog.text)


def test_begin_is_a_value():
    """Writes are values: equal if their fields are."""
    given = {"id": 1, "operation": "a", "trigger": "call", "node": "n", "at": 1}
    assert BeginRun(**given) == BeginRun(**given)


async def test_what_was_exported_is_taken_in(store):
    """Rows come with all that belongs to them, once; a line that is none is refused with those it came with."""
    run = {"kind": "run", "id": 2**40, "operation": "work", "description": "", "state": "succeeded", "trigger": "call"}
    run |= {"attempt": 1, "epoch": 1, "node": "elsewhere", "started": 5, "ended": 7, "duration": 2, "records": 1}
    run |= {"rev": 3, "labels": '["a"]'}
    record = {"kind": "record", "run": 2**40, "seq": 1, "at": 6, "level": "info", "source": "record", "message": "said"}
    key = {"kind": "kv", "namespace": "n", "key": "k", "value": "1", "version": 7, "updated": 5}
    lines = tuple(json.dumps(row) for row in (run, record, key))

    assert await store.write(Import(lines=lines)) == 3
    assert await store.write(Import(lines=lines)) == 0

    found = (await store.find_runs(RunQuery(labels=("a",)))).runs
    assert [(one.id, one.operation, one.state, one.node) for one in found] == [
        (2**40, "work", State.SUCCEEDED, "elsewhere")
    ]
    assert [one.message for one in await store.get_records(2**40)] == ["said"]
    assert (await store.get_key("n", "k")).version == 7
    with pytest.raises(StoreError):
        await store.write(Import(lines=(json.dumps(key | {"version": 8}), "no line")))
    assert (await store.get_key("n", "k")).version == 7
