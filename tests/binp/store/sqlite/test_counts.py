"""Counts against the runs that the same queries find: from the tally or one by one, indexed or not, with any bounds."""

import asyncio
import itertools
import random
import sqlite3
import time
from collections import Counter
from dataclasses import replace

import pytest

from binp.store.contract import Condition, Key, RunQuery, State
from binp.store.query import parse
from binp.store.sqlite import _counts, _queries, _search
from binp.store.sqlite._counts import Scale
from binp.store.sqlite._ids import made_at
from binp.store.sqlite._tend import Erase

HOUR = 3_600_000_000


async def found(store, query):
    """All runs that fit, read page by page."""
    runs, page = [], await store.find_runs(replace(query, limit=200))
    while True:
        runs += page.runs
        if not page.has_more:
            return runs
        page = await store.find_runs(replace(query, limit=200, before=page.stopped or runs[-1].id))


async def check(store, query, buckets):
    """Count, and compare with what is found."""
    counts = await store.count_runs(query, buckets=buckets)
    runs = await found(store, query)
    assert counts.stopped_at is None
    assert Counter(dict(counts.states)) == Counter(run.state for run in runs)
    assert Counter(dict(counts.operations)) == Counter(run.operation for run in runs)
    assert list(counts.operations) == sorted(counts.operations, key=lambda one: -one[1])
    assert len(counts.buckets) <= buckets
    width = counts.seconds * 1_000_000
    for bucket in counts.buckets:
        inside = Counter(run.state for run in runs if bucket.at <= made_at(run.id) < bucket.at + width)
        assert bucket.states == {state: inside[state] for state in State}
    starts = [bucket.at for bucket in counts.buckets]
    assert all(second - first == width for first, second in itertools.pairwise(starts))
    return counts


@pytest.fixture
async def history(store, past, path):
    """Runs of a month, most of them within a day; some are in the index, some not, some go on, and some were erased."""
    picked = random.Random(7)
    states = [State.SUCCEEDED, State.SUCCEEDED, State.FAILED, State.CANCELLED, State.SKIPPED, State.RUNNING]

    async def more(number):
        for _ in range(number):
            await past.run(
                days=picked.choice([picked.random() / 9, picked.random(), 30 * picked.random()]),
                operation=picked.choice(["a", "a", "b", "c d"]),
                state=picked.choice(states),
                labels=picked.sample(["x", "y", "z"], 2),
                records=picked.randrange(2),
            )

    await more(120)
    async with asyncio.timeout(120):
        while (reading := sqlite3.connect(path)).execute("SELECT count(*) FROM unindexed").fetchone() != (0,):
            reading.close()
            await asyncio.sleep(0.02)
    reading.close()
    gone = [run.id for run in await found(store, RunQuery())][::5]
    await store.write(Erase(runs=tuple(gone), at=1))
    await more(60)
    return store


async def test_counts_are_those_of_the_runs_that_are_found(history):
    """Whatever is asked, as many are counted as are found, in the buckets in which they came into being."""
    now = time.time_ns() // 1000
    texts = [
        "",
        "action:a",
        "state:failed,running",
        "-action:a,b -state:failed",
        "action:none",
        "said",
        "label:x -said",
    ]
    texts += ["action:a -state:succeeded label:y", "action:a action:b", '"it was"']
    spans = [{}, {"since": now - 25 * HOUR // 10}, {"since": now - 200 * HOUR, "until": now - 3 * HOUR // 2}]
    spans += [{"until": (now - 24 * HOUR) // HOUR * HOUR}, {"since": now - HOUR // 9}, {"since": now + HOUR}]
    for text, span, buckets in itertools.product(texts, spans, (1, 5, 40)):
        await check(history, replace(parse(text), **span), buckets)
    for query in (RunQuery(operation="a"), RunQuery(journaled=True), RunQuery(states=frozenset({State.SKIPPED}))):
        assert (await check(history, query, 60)).seconds >= HOUR // 1_000_000
    assert (await history.count_runs(RunQuery(before=1, after=0, limit=0, offset=9))).operations


async def test_what_was_counted_beforehand_is_not_looked_at(history, monkeypatch):
    """Actions and states of whole hours come from the tally, however many runs there are."""
    counts = await check(history, RunQuery(operation="a"), 200)
    monkeypatch.setattr(_queries.Reader, "_source", None)

    assert await history.count_runs(RunQuery(operation="a"), buckets=200) == counts
    with pytest.raises(TypeError):
        await history.count_runs(RunQuery(labels=("x",)), buckets=200)


async def test_how_many_there_are_of_an_hour_is_known_beforehand(store, past, monkeypatch):
    """One number for a few minutes comes from the tally as well, and is exact, however many runs there are."""
    for operation in ("a", "a", "b"):
        await past.run(operation=operation)
    monkeypatch.setattr(_queries.Reader, "_source", None)

    counts = await store.count_runs(RunQuery(operation="a"), buckets=1)

    assert counts.seconds < 3600
    assert (counts.states, counts.stopped_at) == (((State.SUCCEEDED, 2),), None)


@pytest.mark.parametrize("query", [RunQuery(), RunQuery(labels=("x", "y")), parse("said")])
async def test_counting_that_takes_long_says_how_far_it_got(history, monkeypatch, query):
    """The newest are counted first; what there is up to the moment that is named is not all known, behind it it is."""
    whole = await history.count_runs(query, buckets=200)
    for module, name in ((_counts, "_STEP"), (_search, "_LEAST"), (_search, "_LOOKED"), (_search, "_MOST_LOOKED")):
        monkeypatch.setattr(module, name, 3)
    monkeypatch.setattr(_queries, "_COUNTING", 0.0)

    part = await history.count_runs(query, buckets=200)

    assert part.stopped_at is not None
    assert 0 < sum(runs for _, runs in part.states) < sum(runs for _, runs in whole.states)
    stopped = part.stopped_at.timestamp() * 1e6
    known = [bucket for bucket in part.buckets if bucket.at > stopped]
    assert known == [bucket for bucket in whole.buckets if bucket.at > stopped]


async def test_an_empty_database_has_nothing_to_count(store):
    """Where there are no runs there are no counts, and what cannot be is no error."""
    for text in ("", "since:1h", "until:2020-01-01", "since:2030-01-01 until:2029-01-01", "action:x"):
        counts = await store.count_runs(parse(text), buckets=0)
        assert (counts.states, counts.operations, counts.stopped_at) == ((), (), None)
        assert all(not any(bucket.states.values()) for bucket in counts.buckets)
        assert len(counts.buckets) <= 1


async def test_actions_are_named_up_to_a_hundred(store, past):
    """Only the most frequent ones are named, and those that came first where they are as frequent."""
    for number in range(120):
        await past.run(operation=f"o{number}")
    await past.run(operation="o119")

    counts = await store.count_runs(RunQuery(where=(Condition(Key.STATE, ("succeeded",)),)))

    assert [name for name, _ in counts.operations] == ["o119", *(f"o{number}" for number in range(99))]
    assert counts.states == ((State.SUCCEEDED, 121),)


@pytest.mark.parametrize("most", [1, 2, 7, 60, 200])
@pytest.mark.parametrize("length", [1, HOUR // 60, HOUR, 24 * HOUR + 1, 90 * 24 * HOUR, 4000 * 24 * HOUR + 5])
@pytest.mark.parametrize("start", [0, 17, 5 * HOUR - 1, 1_790_000_000_123_456])
def test_buckets_cover_what_is_asked_for(start, length, most):
    """There are at most as many buckets as wished, and each moment that is asked for is in one."""
    scale = Scale.of(start, start + length, most)

    assert 1 <= scale.number <= most
    assert scale.first <= start
    assert scale.first + scale.number * scale.width >= start + length
    assert scale.place(start) == 0
    assert scale.place(start + length - 1) == scale.number - 1
