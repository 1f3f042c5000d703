"""Which runs are not to be kept any longer."""

import contextlib
import math

import pytest

from binp.store.contract import EndRun, Keep, Retention, State
from binp.store.sqlite._connect import connect_reader
from binp.store.sqlite._old import Finder

WEEK = Retention(general=Keep(days=7))


@pytest.fixture
def finder(path, store):
    connection = connect_reader(path)
    with contextlib.closing(Finder(connection)) as made:
        yield made
    connection.close()


def too_old(finder, retention):
    """All runs that would be erased."""
    found = []
    for population in finder.plan(retention):
        found += [run for run, _ in finder.victims(population, finder.surplus(population))]
    return sorted(found)


async def test_what_ended_long_ago_is_too_old(finder, past):
    """The age of a run is counted from its end; what has not ended is not old, whenever it began."""
    old, young = await past.run(days=8), await past.run(days=6)
    running = await past.run(days=30, state=State.RUNNING)

    assert too_old(finder, WEEK) == [old]
    assert too_old(finder, Retention(general=Keep(days=5))) == [old, young]
    assert too_old(finder, Retention(general=Keep(days=31))) == []
    assert too_old(finder, Retention(general=Keep(days=0.0001, runs=1))) == [old, young]
    assert running not in too_old(finder, Retention(general=Keep(runs=0)))


async def test_what_failed_may_be_kept_longer(finder, past):
    """Failed, cancelled and interrupted runs have an age of their own, if that is the longer one."""
    runs = [await past.run(days=10, state=state) for state in (State.SUCCEEDED, State.SKIPPED)]
    for state in (State.FAILED, State.CANCELLED, State.INTERRUPTED):
        await past.run(days=10, state=state)

    assert too_old(finder, Retention(general=Keep(days=7, failed_days=14))) == runs
    assert len(too_old(finder, Retention(general=Keep(days=7, failed_days=3)))) == 5
    assert len(too_old(finder, WEEK)) == 5
    assert too_old(finder, Retention(general=Keep(failed_days=3))) == []


async def test_the_oldest_go_when_there_are_too_many(finder, past):
    """Of more runs than are to be kept the oldest are found, those that run counted but left alone."""
    runs = [await past.run(days=20 - day) for day in range(10)]
    await past.run(days=30, state=State.RUNNING)

    assert too_old(finder, Retention(general=Keep(runs=8))) == runs[:3]
    assert too_old(finder, Retention(general=Keep(runs=11))) == []


async def test_an_operation_has_its_own_rule(finder, past):
    """The runs of an operation go by its rule alone; its number counts them alone, ages it does not say are general."""
    polls = [await past.run(days=5 - day, operation="poll") for day in range(4)]
    work = [await past.run(days=9), await past.run(days=3)]

    by_number = Retention(general=Keep(days=7, runs=100), operations={"poll": Keep(runs=2), "unheard of": Keep()})
    assert too_old(finder, by_number) == sorted([*polls[:2], work[0]])
    by_age = Retention(general=Keep(days=4), operations={"poll": Keep(days=math.inf)})
    assert too_old(finder, by_age) == [work[0]]
    # all count, and those without a rule of their own go
    assert too_old(finder, Retention(general=Keep(runs=5), operations={"poll": Keep(days=math.inf)})) == [work[0]]


async def test_a_label_wins_over_an_operation(finder, past):
    """A run with a label that has a rule goes by that; of several such labels by the one that keeps longest."""
    audit = await past.run(days=50, operation="poll", labels=("audit", "noise"))
    noise = await past.run(days=3, operation="poll", labels=("noise",))
    plain = await past.run(days=3, operation="poll")
    old = await past.run(days=20)
    rules = {"noise": Keep(days=2), "audit": Keep(days=100), "unheard of": Keep(days=1)}

    found = too_old(finder, Retention(general=Keep(days=10), operations={"poll": Keep(days=5)}, labels=rules))
    assert found == sorted([noise, old])
    found = too_old(finder, Retention(general=Keep(days=10), operations={"poll": Keep(days=1)}))
    assert found == sorted([audit, noise, plain, old])


async def test_the_parent_of_what_runs_stays(finder, past):
    """A run is not found before all its children have ended."""
    parent = await past.run(days=20)
    child = await past.run(days=19, parent=parent, state=State.RUNNING)
    assert too_old(finder, WEEK) == []

    await past.store.write(EndRun(id=child, state=State.SUCCEEDED, at=1, duration=1))
    assert too_old(finder, Retention(general=Keep(runs=0))) == [parent, child]


async def test_nothing_is_looked_at_twice(finder, past):
    """What a look has seen is not walked over again by the next, which finds what has become too old since."""
    for number in range(1200):
        await past.run(days=9.999 - number / 200, labels=("kept",) if number % 2 else ())
    retention = Retention(general=Keep(days=7), labels={"kept": Keep(days=math.inf)})
    general = finder.plan(retention)[-1]

    first = list(finder.victims(general, 0))
    assert len(first) == 300
    seen = general.floor
    assert list(finder.victims(general, 0)) == []
    assert general.floor - seen < 1_000_000
    general.keep = Keep(days=6)
    assert len(list(finder.victims(general, 0))) == 100


async def test_numbers_are_counted_on(finder, past):
    """Only what is new is counted, in all, of an operation and with a label."""
    for _ in range(3):
        await past.run(operation="poll", labels=("a",))
    populations = finder.plan(Retention(operations={"poll": Keep()}, labels={"a": Keep()}))
    assert [finder.number(population) for population in populations] == [3, 3, 3]

    await past.run(operation="poll")
    await past.run(labels=("a",))
    assert [finder.number(population) for population in populations] == [4, 4, 5]
