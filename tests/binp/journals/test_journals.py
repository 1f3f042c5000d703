"""Journals: JRN rows, and what the originals got wrong there."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import signal
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from binp import BINP
from binp.errors import BinpError
from binp.journals import Headline, Journal, Journals, Record, current_journal
from binp.store.contract import RunQuery, State
from binp.store.query import BadQuery


async def all_runs(binp, **query):
    await binp.home.ensure()
    return (await binp.home.store.find_runs(RunQuery(**query))).runs


async def test_wraps_keeps_name_and_signature(binp):
    """JRN-01: the wrapped function looks like the function, bare or with options."""

    @binp.journal
    async def plain(x: int, *, y: str = "a") -> str:
        """Says something."""
        return f"{x}{y}"

    @binp.journal(operation="op", description="des")
    async def named():
        pass

    assert plain.__name__ == "plain"
    assert list(inspect.signature(plain).parameters) == ["x", "y"]
    assert await plain(1, y="b") == "1b"
    await named()
    newest, oldest = await binp.journal.history()
    assert (newest.operation, newest.description) == ("op", "des")
    assert oldest.operation == "test_wraps_keeps_name_and_signature.<locals>.plain"
    assert oldest.description == "Says something."


async def test_the_row_is_there_before_the_body(binp):
    """JRN-02: the row is committed before the body is entered, with its start, and ended afterwards."""
    before = datetime.now(UTC)

    @binp.journal
    async def look():
        run = await binp.home.store.get_run(binp.journal.current)
        assert current_journal.get() == run.id
        return run

    inside = await look()
    [headline] = await binp.journal.history()

    assert (inside.state, inside.ended, inside.duration) == (State.RUNNING, None, None)
    assert inside.id == headline.id
    assert headline.state is State.SUCCEEDED
    assert headline.error is None
    assert before <= headline.started_at <= headline.finished_at <= datetime.now(UTC)
    assert headline.duration >= 0
    assert binp.journal.current is None
    assert current_journal.get() is None


async def test_times_are_utc_with_microseconds(binp):
    """N-15: times carry their zone, so that a browser reads them right."""

    @binp.journal
    async def op():
        pass

    await op()
    [headline] = await binp.journal.history()

    assert headline.started_at.utcoffset() == timedelta(0)
    assert '"started_at":"' + headline.started_at.isoformat().replace("+00:00", "Z") in headline.model_dump_json()


async def test_errors_are_kept_and_raised(binp):
    """JRN-02, N-08: an exception passes through; its type, text and traceback are kept, also without a message."""

    class Silent(Exception):
        pass

    @binp.journal
    async def fails(error):
        raise error

    with pytest.raises(ValueError, match="^no$"):
        await fails(ValueError("no"))
    with pytest.raises(Silent):
        await fails(Silent())

    silent, value = await binp.journal.search(failed=True)
    assert value.error == "ValueError: no"
    assert silent.error == "Silent"
    run = await binp.home.store.get_run(value.id)
    assert run.error_type == "ValueError"
    assert run.traceback.startswith("Traceback (most recent call last):\n")
    assert "raise error" in run.traceback
    assert "binp/runs" not in run.traceback


async def test_return_value_passes_and_is_kept(binp):
    """JRN-02: the very object is returned; its JSON is the result in the history."""
    value = {"x": [1, 2]}

    @binp.journal
    async def op():
        return value

    assert await op() is value
    [run] = await all_runs(binp)
    assert run.result == '{"x":[1,2]}'


async def test_nested_calls_have_their_own_runs(binp):
    """JRN-02: a journaled call inside another is a run of its own, and a child of it."""

    @binp.journal
    async def inner():
        await binp.journal.record("inside")

    @binp.journal
    async def outer():
        await inner()
        await binp.journal.record("outside")

    await outer()
    child, parent = await all_runs(binp)
    assert child.parent == parent.id
    assert parent.parent is None
    assert [r.message for r in (await binp.journal.get(parent.id)).records] == ["outside"]
    assert [r.message for r in (await binp.journal.get(child.id)).records] == ["inside"]


async def test_record(binp, caplog):
    """JRN-03: a record is stored with its fields, logged, and told; None as message is empty."""
    told = []
    binp.journal.record_added(told.append)

    @binp.journal
    async def op():
        await binp.journal.record("first", a=1, b={"c": [True]})
        await binp.journal.record(None)

    with caplog.at_level(logging.INFO, "Journals"):
        await op()
    [headline] = await binp.journal.history()
    journal = await binp.journal.get(headline.id)

    assert isinstance(journal, Journal)
    assert [(r.message, r.params) for r in journal.records] == [("", {}), ("first", {"a": 1, "b": {"c": [True]}})]
    assert all(isinstance(r, Record) and r.created_at.tzinfo for r in journal.records)
    assert [r.getMessage() for r in caplog.records if r.name == "Journals" and r.levelno == logging.INFO] == [
        "first",
        "None",
    ]
    await asyncio.sleep(0)
    assert told == [headline.id, headline.id]


async def test_record_outside_of_a_run_warns(binp, caplog):
    """JRN-03, JRN-04: outside of a run nothing is kept, and a warning says so; it can still be awaited."""
    with caplog.at_level(logging.WARNING, "Journals"):
        assert not await binp.journal.record("lost")
        assert not await binp.journal.labels("lost")
        assert not await binp.journal.progress(1)
    assert [r.getMessage().partition(" is outside")[0] for r in caplog.records] == [
        "record 'lost'",
        "labels ('lost',)",
        "progress 1",
    ]
    assert await all_runs(binp) == ()


async def test_labels_are_a_set_and_told(binp):
    """JRN-04, N-14: labels have set semantics, and a change of them is told."""
    told = []
    binp.journal.journal_updated(told.append)

    @binp.journal
    async def op():
        await binp.journal.labels("a", "b")
        await binp.journal.labels("b", "c")

    await op()
    [headline] = await binp.journal.history()
    assert headline.labels == ["a", "b", "c"]
    await asyncio.sleep(0)
    assert len(told) >= 4
    assert set(told) == {headline.id}


async def test_history_and_search_are_newest_first(binp):
    """JRN-05, N-05, decision 11: all lists are newest first; conditions are joined by AND; empty labels are none."""

    @binp.journal(operation="a")
    async def a(fail=False):
        await binp.journal.labels("x")
        if fail:
            raise ValueError

    @binp.journal(operation="b")
    async def b():
        await binp.journal.labels("x", "y")

    for fail in (False, True, False):
        try:
            await a(fail)
        except ValueError:
            pass
        await b()

    async def search(**conditions):
        return [headline.operation for headline in await binp.journal.search(**conditions)]

    ids = [headline.id for headline in await binp.journal.history()]
    assert ids == sorted(ids, reverse=True)
    assert [headline.id for headline in await binp.journal.search()] == ids
    assert [headline.id for headline in await binp.journal.search(labels=[])] == ids
    found = [headline.id for headline in await binp.journal.search(operation="a")]
    assert found == [ids[1], ids[3], ids[5]]
    assert await search(failed=True) == ["a"]
    assert len(await search(failed=False)) == 5
    assert await search(failed=True, operation="b") == []
    assert await search(pending=True) == []
    assert len(await search(pending=False)) == 6
    assert await search(labels=["y"]) == ["b", "b", "b"]
    assert len(await search(labels=["y", "x"])) == 6
    assert [headline.id for headline in await binp.journal.history(offset=1, limit=2)] == ids[1:3]
    assert [h.id for h in await binp.journal.search(labels=["x"], offset=4, limit=20)] == ids[4:]


async def test_search_with_a_query(binp, monkeypatch):
    """JRN-05: search takes a query beside its arguments, all of which hold, and goes on where the store stops."""

    @binp.journal(operation="op")
    async def operation(word):
        binp.journal.record(f"said {word}")
        await binp.journal.labels(word)

    for word in ("red", "green", "red", "blue", "red"):
        await operation(word)
    everything = [run.id for run in await binp.journal.history()]
    monkeypatch.setattr("binp.store.sqlite._queries._WORK", 0.0)
    for name in ("_LEAST", "_LOOKED", "_MOST_LOOKED"):
        monkeypatch.setattr(f"binp.store.sqlite._search.{name}", 1)

    async def found(query, **given):
        return [everything.index(run.id) for run in await binp.journal.search(query=query, **given)]

    assert await found("said red") == [0, 2, 4]
    assert await found("red", offset=1, limit=1) == [2]
    assert await found("-red", operation="op") == [1, 3]
    assert await found("said", labels=["green", "blue"]) == [1, 3]
    assert await found("state:failed", pending=False) == []
    with pytest.raises(BadQuery):
        await binp.journal.search(query="stat:failed")


async def test_pending_and_failed_fields(binp):
    """JRN-05, decision 19: pending is queued or running; failed=False includes it."""
    entered, leave = asyncio.Event(), asyncio.Event()

    @binp.journal
    async def op():
        entered.set()
        await leave.wait()

    task = asyncio.create_task(op())
    await entered.wait()
    [pending] = await binp.journal.search(pending=True)
    assert pending.finished_at is None
    assert len(await binp.journal.search(failed=False)) == 1
    assert await binp.journal.search(pending=False) == []
    leave.set()
    await task


async def test_models(binp):
    """JRN-08: what is shown of a run, with its records; ``state`` is new (decision 19)."""

    @binp.journal(operation="op", description="d")
    async def op():
        await binp.journal.record("m", x=1)
        await binp.journal.labels("l")

    await op()
    [headline] = await binp.journal.history()
    shown = headline.model_dump(mode="json")
    assert set(shown) == {
        "id",
        "operation",
        "description",
        "started_at",
        "labels",
        "state",
        "finished_at",
        "error",
        "duration",
    }
    assert (shown["operation"], shown["description"], shown["labels"], shown["state"]) == (
        "op",
        "d",
        ["l"],
        "succeeded",
    )
    [record] = (await binp.journal.get(headline.id)).model_dump(mode="json")["records"]
    assert set(record) == {"message", "created_at", "params"}
    assert (record["message"], record["params"]) == ("m", {"x": 1})


async def test_a_class_method_is_journaled_below_classmethod(binp):
    """JRN-01: above ``@classmethod`` a journal is refused, with the order that works, which works."""

    class Boiler:
        def make(cls, size: int) -> int:
            return size

    with pytest.raises(BinpError, match=r"journal got the class method '\S*Boiler.make'") as caught:
        binp.journal(classmethod(Boiler.make))
    assert caught.value.fix == "swap the two decorators: write @classmethod above @binp.journal"
    assert "test_journals.py:" in str(caught.value.where)

    class Other:
        @classmethod
        @binp.journal(operation="make")
        async def make(cls, size: int) -> int:
            return size

    assert await Other.make(3) == 3
    assert [one.operation for one in await binp.journal.history()] == ["make"]


async def test_a_journal_of_the_same_name_is_reported(binp, caplog):
    """N-19, decision 12: functions of one name share their history, and a warning names both places."""
    with caplog.at_level(logging.WARNING, "Journals"):

        @binp.journal(operation="x")
        async def one():
            pass

        @binp.journal(operation="x")
        async def two():
            pass

    [record] = [record for record in caplog.records if record.name == "Journals"]
    for function in (one, two):
        assert f"{__file__}:{function.__wrapped__.__code__.co_firstlineno}" in record.getMessage()
    await one()
    await two()
    assert len(await binp.journal.search(operation="x")) == 2


async def test_lists_are_bounded(binp):
    """JRN-05: 20 of a list unless more are wanted, never more than 200, and none of a limit below 1."""

    @binp.journal(operation="x")
    async def op():
        pass

    await asyncio.gather(*(op() for _ in range(205)))

    ids = [headline.id for headline in await binp.journal.search(operation="x", limit=10**9)]
    assert len(ids) == 200
    assert [headline.id for headline in await binp.journal.history(limit=10**9)] == ids
    assert [headline.id for headline in await binp.journal.history()] == ids[:20]
    assert [headline.id for headline in await binp.journal.search()] == ids[:20]
    assert [headline.id for headline in await binp.journal.history(offset=-5, limit=3)] == ids[:3]
    assert await binp.journal.history(limit=0) == await binp.journal.search(limit=-1) == []
    assert len(await binp.journal.search(offset=200)) == 5


async def test_get_and_headline(binp):
    """JRN-06: get and headline give None for what is not there, or is not journaled."""

    @binp.action(name="plain")
    async def plain():
        pass

    handle = await binp.action.start("plain")
    await handle.result()

    assert await binp.journal.get(1) is None
    assert await binp.journal.headline(1) is None
    assert await binp.journal.get(handle.id) is None

    @binp.journal
    async def op():
        return binp.journal.current

    headline = await binp.journal.headline(await op())
    assert type(headline) is Headline


async def test_cancelled_is_not_success(binp):
    """N-07, decision 19: a cancelled run is cancelled, with an error and an end."""
    entered = asyncio.Event()

    @binp.journal
    async def op():
        entered.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(op())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [headline] = await binp.journal.search(failed=True)
    assert (headline.state, headline.error) == (State.CANCELLED, "cancelled")
    assert headline.finished_at is not None


async def test_cancelled_while_it_begins(binp):
    """N-07: cancelled during the opening insert, it does not stay pending for ever, and its body is not entered."""
    await binp.home.ensure()
    calls = []

    @binp.journal
    async def op():
        calls.append(1)

    task = asyncio.create_task(op())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == []
    runs = await all_runs(binp)
    assert [run.state for run in runs] in ([], [State.CANCELLED])


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(binp):
    """A CancelledError out of the blue is a failure, not a cancellation."""

    @binp.journal
    async def op():
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await op()
    [headline] = await binp.journal.history()
    assert headline.state is State.FAILED
    assert headline.error == "CancelledError: raised inside, although nobody cancelled the run"


async def test_tracing_never_breaks_the_function(binp):
    """N-09: no field, no name of a field, no argument and no result can break what is traced."""

    class Rude:
        def __repr__(self):
            raise RuntimeError("no")

    cycle = []
    cycle.append(cycle)

    @binp.journal
    async def op(argument):
        await binp.journal.record("x", message=1, self=2, level=3, source=4, fields=5)
        await binp.journal.record(
            "y", odd=object(), rude=Rude(), big=2**90, cycle=cycle, raw=b"\xff", when=datetime.now(UTC)
        )
        await binp.journal.record("z\ud800\x00", **{"": {1: {2}}, "nan": float("nan")})
        return argument

    rude = Rude()
    assert await op(rude) is rude
    [headline] = await binp.journal.history()
    z, y, x = (await binp.journal.get(headline.id)).records
    assert x.params == {"message": 1, "self": 2, "level": 3, "source": 4, "fields": 5}
    assert y.params["odd"]["$repr"].startswith("<object object at")
    assert (
        y.params["rude"]["$repr"]
        == "<test_tracing_never_breaks_the_function.<locals>.Rude whose repr raised RuntimeError>"
    )
    assert y.params["big"] == 2**90
    assert z.params == {"": {"1": [2]}, "nan": None}
    run = await binp.home.store.get_run(headline.id)
    assert "whose repr raised" in run.result
    assert "whose repr raised" in run.arguments


async def test_concurrent_runs_and_records(binp):
    """N-10: 64 tasks of 20 journaled calls with records at once: no error, and nothing is lost."""

    @binp.journal
    async def op(n):
        await asyncio.gather(*(binp.journal.record(f"r{n}", n=n, i=i) for i in range(3)))
        await binp.journal.labels("l")

    async def caller(k):
        for i in range(20):
            await op(k * 20 + i)

    await asyncio.gather(*(caller(k) for k in range(64)))
    before, seen = None, []
    while page := (await all_runs(binp, before=before, limit=200)):
        seen.extend(page)
        before = page[-1].id
    assert len(seen) == 1280
    assert {(run.state, run.records, run.labels) for run in seen} == {(State.SUCCEEDED, 3, ("l",))}
    assert len({run.id for run in seen}) == 1280


async def test_twenty_records_at_once_keep_their_order(binp):
    """N-10: records that are queued in one run without awaiting are all kept, in order."""

    @binp.journal
    async def op():
        for i in range(20):
            binp.journal.record(str(i))

    await op()
    [headline] = await binp.journal.history()
    assert [r.message for r in (await binp.journal.get(headline.id)).records] == [str(i) for i in reversed(range(20))]


async def test_one_decorator_for_two_functions(binp):
    """N-01: a decorator object used for two functions names each by itself."""
    tracked = binp.journal(description="tracked")

    @tracked
    async def alpha():
        pass

    @tracked
    async def beta():
        pass

    await alpha()
    await beta()
    assert [h.operation.rpartition(".")[2] for h in await binp.journal.history()] == ["beta", "alpha"]


async def test_sync_function(binp):
    """N-06: a sync journaled function runs in a thread, and may record from there."""

    @binp.journal
    def op(x):
        binp.journal.record("in thread", name=threading.current_thread().name)
        return x

    assert await op(5) == 5
    [headline] = await binp.journal.history()
    [record] = (await binp.journal.get(headline.id)).records
    assert record.params["name"] != threading.main_thread().name


@pytest.mark.parametrize("order", ["action outside", "journal outside"])
@pytest.mark.parametrize("way", ["start", "invoke", "call"])
async def test_action_and_journal_make_one_run(binp, order, way):
    """Decision 18: action and journal together, in either order, make one run, which is in the history."""

    async def function():
        """Described."""
        await binp.journal.record("said")
        return binp.journal.current

    if order == "action outside":
        made = binp.action(name="the action")(binp.journal(operation="the journal")(function))
    else:
        made = binp.journal(operation="the journal")(binp.action(name="the action")(function))
    if way == "start":
        await (await binp.action.start("the action")).result()
    elif way == "invoke":
        await binp.action.invoke("the action")
    else:
        await made()

    [run] = await all_runs(binp)
    assert run.journal == "the journal"
    assert run.records == 1
    assert run.operation == ("the action" if way == "start" else "the journal")
    [headline] = await binp.journal.history()
    assert (headline.id, headline.operation, headline.description) == (run.id, "the journal", "Described.")


async def test_a_journaled_function_called_again_inside_its_own_run(binp):
    """Decision 18: the journal adopts the run once; calling the same function again inside is a child run."""

    @binp.action(name="retry")
    @binp.journal(operation="try")
    async def attempt(left: int = 2):
        if left:
            await attempt(left - 1)

    await (await binp.action.start("retry")).result()
    runs = await all_runs(binp)
    assert [run.operation for run in runs] == ["try", "try", "retry"]
    assert runs[0].parent == runs[1].id
    assert runs[1].parent == runs[2].id


async def test_remove_dead_removes_nothing(binp):
    """JRN-06, N-13: nothing is deleted; a live run stays as it is."""
    entered, leave = asyncio.Event(), asyncio.Event()

    @binp.journal
    async def op():
        entered.set()
        await leave.wait()

    task = asyncio.create_task(op())
    await entered.wait()
    await binp.journal.remove_dead()
    assert len(await binp.journal.search(pending=True)) == 1
    leave.set()
    await task


async def test_runs_of_a_process_that_died_stay(db, tmp_path):
    """JRN-06, N-13: what a killed process left is interrupted, with all it said, and remove_dead removes nothing of it.

    The original left it pending for ever, or without its evidence.
    """
    (tmp_path / "dies.py").write_text(
        "import asyncio, os, signal\n"
        "from binp import BINP\n"
        f"binp = BINP(db={db!r})\n"
        "@binp.journal(operation='dies')\n"
        "async def dies():\n"
        "    await binp.journal.labels('evidence')\n"
        "    await binp.journal.record('last words', n=1)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(dies())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, str(tmp_path / "dies.py"))
    assert await process.wait() == -signal.SIGKILL
    binp = BINP(db=db)

    async with asyncio.timeout(120):
        while not (found := await binp.journal.search(failed=True)):
            await asyncio.sleep(0.01)
    await binp.journal.remove_dead()
    [headline] = found
    journal = await binp.journal.get(headline.id)

    assert (journal.state, journal.operation, journal.labels) == (State.INTERRUPTED, "dies", ["evidence"])
    assert journal.error.startswith("interrupted: ")
    assert journal.started_at <= journal.finished_at <= datetime.now(UTC)
    assert [(record.message, record.params) for record in journal.records] == [("last words", {"n": 1})]
    assert await binp.journal.search(pending=True) == []
    await binp.home.close()


async def test_emitters_in_an_own_context(binp, until):
    """JRN-07: begin and end of a journaled run are told; a plain action's are not."""
    told = []
    binp.journal.journal_updated(told.append)

    @binp.journal
    async def op():
        return binp.journal.current

    @binp.action(name="plain")
    async def plain():
        pass

    run = await op()
    await (await binp.action.start("plain")).result()
    await until(lambda: len(told) >= 2)
    # what is told of anything else comes by now
    await asyncio.sleep(0.1)
    assert told == [run, run]


async def test_used_alone(tmp_path):
    """JRN-09: Journals built alone opens its own database at the first await."""
    journals = Journals(f"sqlite:///{tmp_path / 'alone.db'}")
    assert list(tmp_path.iterdir()) == []

    @journals
    async def op():
        await journals.record("hello")

    await op()
    [headline] = await journals.history()
    assert headline.operation.endswith(".op")


async def test_a_secret_argument_is_masked(binp):
    """A parameter of type Secret is masked in the history, whether it is called directly or started."""
    from binp import Secret

    seen = []

    async def login(user: str, password: Secret[str]):
        seen.append(password)

    login.__annotations__ = {"user": str, "password": Secret[str]}
    journaled = binp.action(name="login")(binp.journal(login))
    await journaled("me", "hunter2")
    await journaled("me", Secret("hunter2"))
    await (await binp.action.start("login", user="me", password="hunter2")).result()

    assert [run.arguments for run in await all_runs(binp)] == ['{"user":"me","password":"***"}'] * 3
    assert seen[2].reveal() == "hunter2"
    await binp.home.close()
    files = list(Path(binp.home.settings.db.removeprefix("sqlite:///")).parent.iterdir())
    assert files
    assert [file.name for file in files if b"hunter2" in file.read_bytes()] == []


def test_contexts_do_not_leak_between_calls(db):
    """JRN-02: after the call the context is as before, also when it failed."""
    binp = BINP(db=db)

    @binp.journal
    async def fails():
        raise ValueError

    async def main():
        with pytest.raises(ValueError):
            await fails()
        return binp.journal.current, current_journal.get()

    assert asyncio.run(main(), debug=True) == (None, None)
    assert contextvars.copy_context().get(current_journal) is None
