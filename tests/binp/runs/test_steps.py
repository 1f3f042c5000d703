"""Steps that a further attempt need not do again."""

import asyncio
import subprocess
import sys
import textwrap

import pytest

from binp import BINP
from binp.operations import InvalidArguments, UnknownOperation
from binp.runs import BadStep, RunLost
from binp.store.contract import State
from buvar.secret import Secret


async def messages(binp, run):
    return [record.message for record in await binp.home.store.get_records(run)]


@pytest.fixture
def parts(binp):
    """An action of three steps, what it did, and which step fails."""
    did, failing = [], {"second"}

    def part(name, **found):
        did.append(name)
        if name in failing:
            raise OSError(name)
        return found

    async def later(name):
        return part(name, count=len(did))

    @binp.action(name="import")
    async def run(host: str = "db") -> list:
        first = await binp.journal.step("first", part, "first", rows=(1, 2))
        second = await binp.journal.step("second", later, "second")
        third = await binp.journal.step("third", part, "third")
        return [first, second, third]

    run.did, run.failing = did, failing
    return run


async def test_a_run_that_failed_goes_on_where_it_was(binp, parts):
    """Started again, a failed run skips what is done, whose results are what JSON makes of them."""
    first = await (await binp.action.start("import")).wait()
    assert (first.state, parts.did) == (State.FAILED, ["first", "second"])
    parts.failing.clear()
    again = await binp.action.rerun(first.id)
    assert await again.result() == [{"rows": [1, 2]}, {"count": 2}, {}]
    assert parts.did == ["first", "second", "second", "third"]

    row = await again.wait()
    assert (row.attempt, row.origin, row.arguments) == (2, first.id, first.arguments)
    assert await messages(binp, again.id) == [
        "step 'first' was done before",
        "step 'second' is done",
        "step 'third' is done",
    ]


async def test_what_a_schedule_has_started_goes_on_where_it_was(binp):
    """The function of a schedule that is no action is started again as well, and skips what is done."""
    did, broken = [], [True]

    @binp.schedule("0 2 * * *", args={"host": "db"})
    async def nightly(host: str) -> str:
        await binp.journal.step("dump", did.append, host)
        if broken:
            raise OSError("no room")
        return host

    (name,) = binp.schedule.names
    first = await (await binp.schedule.fire(name)).wait()
    assert (first.state, first.operation, did) == (State.FAILED, name, ["db"])
    broken.clear()
    again = await binp.action.rerun(first.id)
    assert (await again.result(), did) == ("db", ["db"])
    assert (await again.wait()).attempt == 2
    other = await binp.action.rerun(first.id, {"host": "web"})
    assert (await other.result(), did) == ("web", ["db", "web"])
    with pytest.raises(InvalidArguments, match=f"schedule '{name}' cannot be called like this: user: there is no such"):
        await binp.action.rerun(first.id, {"user": "ann"})


async def test_attempts_of_one_run_share_their_steps(binp):
    """A retry skips what an attempt before has done."""
    did = []

    @binp.action(retries=2, retry_delay=0)
    async def work() -> str:
        await binp.journal.step("once", did.append, "once")
        if len(did) < 3:
            did.append("failed")
            raise OSError("no")
        return "done"

    assert await (await binp.action.start(work)).result() == "done"
    assert did == ["once", "failed", "failed"]


async def test_a_third_attempt_knows_the_steps_of_both_before(binp, parts):
    """The steps of all attempts are kept with the first one."""
    handle = await binp.action.start("import")
    await handle.wait()
    parts.failing.clear()
    parts.failing.add("third")
    second = await binp.action.rerun(handle.id)
    await second.wait()
    parts.failing.clear()
    third = await binp.action.rerun(second.id)
    await third.result()
    assert parts.did == ["first", "second", "second", "third", "third"]
    assert ((await third.wait()).attempt, (await third.wait()).origin) == (3, handle.id)


async def test_other_arguments_begin_anew(binp, parts):
    """With other arguments nothing is skipped; after success neither."""
    first = await binp.action.start("import", host="db")
    await first.wait()
    parts.failing.clear()
    other = await binp.action.rerun(first.id, {"host": "web"})
    await other.result()
    assert parts.did == ["first", "second", "first", "second", "third"]
    assert ((await other.wait()).attempt, (await other.wait()).arguments) == (1, '{"host":"web"}')
    again = await binp.action.rerun(other.id)
    await again.result()
    assert len(parts.did) == 8


async def test_steps_of_one_name_are_told_apart_by_their_order(binp):
    """Several steps of one name are the first, the second and so on, in each attempt."""
    did = []

    @binp.action
    async def work(fail: bool = True) -> list:
        found = [
            await binp.journal.step("page", lambda number=number: did.append(number) or number) for number in (1, 2)
        ]
        if len(did) == 2:
            did.append("failed")
            raise OSError("no")
        return found

    first = await binp.action.start(work)
    await first.wait()
    assert await (await binp.action.rerun(first.id)).result() == [1, 2]
    assert did == [1, 2, "failed"]


@pytest.mark.parametrize("value", [object(), Secret("x"), {"deep": [object()]}, "x" * 2_000_000])
async def test_what_cannot_be_remembered_is_told(binp, value):
    """A step whose result JSON cannot carry fails with what to return instead."""

    @binp.action
    async def work() -> None:
        await binp.journal.step("odd", lambda: value)

    with pytest.raises(BadStep, match="that cannot be remembered"):
        await (await binp.action.start(work)).result()


async def test_outside_of_a_run_a_step_is_just_a_call(binp, caplog):
    """Outside of a run the function is called, and a warning says that nothing is kept."""
    assert await binp.journal.step("alone", lambda: 5) == 5
    assert "is outside of a run and not kept" in caplog.text


async def test_what_cannot_be_started_again(binp, parts):
    """A run that is not there, an action that is gone and a secret that was not kept are told apart."""
    with pytest.raises(RunLost, match="run 5 is not in the history"):
        await binp.action.rerun(5)

    @binp.action
    async def login(password: Secret[str]) -> None:
        raise OSError("no")

    handle = await binp.action.start(login, password="hush")
    run = await handle.wait()
    with pytest.raises(InvalidArguments, match="password: is required"):
        await binp.action.rerun(run.id)
    again = await binp.action.rerun(run.id, {"password": "other"})
    await again.wait()

    @binp.journal
    async def plain() -> None: ...

    await plain()
    (journaled,) = await binp.journal.history()
    with pytest.raises(UnknownOperation):
        await binp.action.rerun(journaled.id)


KILLED = """
import asyncio, os, sys
from binp import BINP

async def main(path):
    binp = BINP(db=path)

    @binp.action(name="import")
    async def work() -> None:
        await binp.journal.step("first", lambda: "done there")
        await binp.journal.step("second", os._exit, 9)

    print((await binp.action.start("import")).id, flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""


async def test_an_interrupted_run_goes_on_where_it_was(tmp_path):
    """What a process that died has done is not done again."""
    path = str(tmp_path / "data.db")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(KILLED), path, stdout=subprocess.PIPE
    )
    run = int(await child.stdout.readline())
    assert await child.wait() == 9
    binp = BINP(db=path)
    did = []

    @binp.action(name="import")
    async def work() -> list:
        return [
            await binp.journal.step(name, lambda name=name: did.append(name) or name) for name in ("first", "second")
        ]

    await binp.home.ensure()
    assert (await binp.home.store.get_run(run)).state is State.INTERRUPTED
    assert await (await binp.action.rerun(run)).result() == ["done there", "second"]
    assert did == ["second"]
    await binp.home.close()
