"""Keeping history never breaks, blocks or misleads what it is about."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import os
import sys
import threading
from typing import Any

import pytest

from binp import BINP, Inject, Secret
from binp.home import _life
from binp.runs import RunCancelled, TooManyRuns
from binp.store.contract import RunQuery, State, StoreClosed, StoreError
from buvar import context, di


class Thing:
    pass


async def runs_of(binp: BINP, **query: Any) -> Any:
    return (await binp.home.store.find_runs(RunQuery(**query))).runs


def no_begin(binp: BINP, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every beginning of a run fail, as a full disk does."""
    write = binp.home.store.write

    class Failed:
        def __await__(self):
            yield from ()
            raise StoreError("the disk is full")

    def refuse(what):
        return Failed() if what.kind == "begin" else write(what)

    monkeypatch.setattr(binp.home.store, "write", refuse)


async def test_a_log_handler_that_prints_does_not_lock_up(binp, capsys):
    """A warning about a late record goes to a handler that prints; that must not come back into the same lock."""
    handler = logging.StreamHandler(sys.stdout)
    logger = logging.getLogger("Journals")
    await binp.home.ensure()
    handler.setStream(sys.stdout)
    logger.addHandler(handler)
    try:

        @binp.journal
        async def op():
            return asyncio.create_task(stray())

        go = asyncio.Event()

        async def stray():
            await go.wait()
            binp.journal.record("late")

        task = await op()
        go.set()
        async with asyncio.timeout(60):
            await task
    finally:
        logger.removeHandler(handler)
    assert "came after run" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_printing_in_a_forked_child(binp):
    """What a forked child prints inside a run is its own; nothing raises there, and nothing is written twice."""

    @binp.action(name="op")
    def op():
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            try:
                print("in the child")
                binp.journal.record("in the child")
            except BaseException:
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    handle = await binp.action.start("op")
    assert await handle.result() == 0
    assert (await handle.wait()).records == 0


@pytest.mark.parametrize("injected", [False, True])
async def test_a_direct_call_goes_on_without_history(binp, monkeypatch, caplog, injected):
    """N-09: when its row cannot be written, a journaled function is called all the same, with dependencies too."""
    await binp.home.ensure()
    no_begin(binp, monkeypatch)
    di.register(Thing, replace=True)

    @binp.journal
    async def plain():
        return "done"

    @binp.journal
    async def with_thing(thing: Inject[Thing]):
        return "done"

    assert await (with_thing if injected else plain)() == "done"
    assert "is missing in the history; it is executed all the same" in caplog.text


async def test_an_end_that_is_not_written_is_told_as_that(binp, monkeypatch, caplog):
    """Of an end that a closed store did not take it is not said that it will come."""
    await binp.home.ensure()
    write = binp.home.store.write

    def refuse(what):
        if what.kind == "end":
            raise StoreClosed("the store is not open: nothing was written")
        return write(what)

    monkeypatch.setattr(binp.home.store, "write", refuse)

    @binp.journal
    async def op():
        return "done"

    assert await op() == "done"
    said = [record.getMessage() for record in caplog.records if "the end of run" in record.getMessage()]
    assert len(said) == 1
    assert ".op' was not written to the history: it succeeded; the store is not open" in said[0]


async def test_what_is_started_needs_its_row(binp, monkeypatch):
    """What the platform starts is not executed when its row cannot be written, and whoever starts it is told."""
    await binp.home.ensure()
    calls = []

    @binp.action(name="op")
    async def op():
        calls.append(1)

    no_begin(binp, monkeypatch)
    with pytest.raises(StoreError, match="the disk is full"):
        await binp.action.start("op")
    await asyncio.sleep(0.01)
    assert calls == []
    assert binp.home.runs.active == []


class Rude(dict):
    def items(self):
        raise RuntimeError("no")

    def __iter__(self):
        raise RuntimeError("no")

    def keys(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("value", [Rude(a=1), type("Key", (), {"__str__": lambda self: 1 / 0})()])
async def test_a_result_that_cannot_be_looked_at(binp, value):
    """A result whose own methods raise neither replaces the result nor leaves the run without an end."""

    @binp.journal
    async def op():
        return {value: 1} if not isinstance(value, dict) else value

    result = await op()
    assert result is value or list(result) == [value]
    [run] = await runs_of(binp)
    assert run.state is State.SUCCEEDED


@pytest.mark.parametrize("is_journaled", [False, True])
async def test_a_thread_cannot_end_the_process(binp, is_journaled):
    """N-13: whatever a function in a thread raises, its run has failed with it, and the others go on."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    binp.action(name="interrupted")(binp.journal(interrupted) if is_journaled else interrupted)
    run = await (await binp.action.start("interrupted")).wait()
    assert (run.state, run.error) == (State.FAILED, "KeyboardInterrupt")


async def test_progress_that_is_no_number(binp, caplog):
    """N-09: progress of what is not a number warns and is left out."""

    @binp.journal
    async def op():
        await binp.journal.progress("abc")
        await binp.journal.progress(10**400)
        await binp.journal.progress(1, "x")
        await binp.journal.progress(1, 2, object())

    await op()
    [run] = await runs_of(binp)
    assert (run.progress, run.progress_total) == (1, 2)
    assert run.progress_message.startswith("<object object at")
    assert caplog.text.count("these are not numbers") == 3


async def test_odd_signatures_are_recorded_somehow(binp):
    """N-09: annotations that cannot be read, or no signature at all, do not keep a function from being called."""

    async def odd(x):
        return x

    odd.__annotations__ = {"x": "asyncio.Missing[int"}
    other = functools.partial(asyncio.sleep, 0)
    assert await binp.journal(odd)(1) == 1
    assert await binp.journal(operation="partial")(other)() is None


async def test_a_plain_decorator_around_an_async_function(binp):
    """A plain wrapper around an async function is called and awaited, in every way of starting it."""
    calls = []

    def timed(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @binp.action(name="op")
    @timed
    async def op():
        calls.append(1)
        return "done"

    @binp.journal
    @timed
    async def journaled():
        calls.append(2)
        return "done"

    assert await (await binp.action.start("op")).result() == "done"
    assert await binp.action.invoke("op")
    assert await journaled() == "done"
    assert calls == [1, 1, 2]


async def test_what_is_drained_may_still_begin_children(binp, monkeypatch):
    """While shutting down nothing new is started, but what is in flight may call journaled functions."""
    monkeypatch.setattr(_life, "_SHORT_GRACE", 20.0)
    go = asyncio.Event()

    @binp.journal
    async def helper():
        return "helped"

    @binp.action(name="op")
    async def op():
        await go.wait()
        return await helper()

    handle = await binp.action.start("op")
    binp.home.begin_shutdown()
    with pytest.raises(TooManyRuns, match="shutting down"):
        await binp.action.start("op")
    go.set()
    assert await handle.result() == "helped"


async def test_dependencies_are_not_closed_under_a_thread(binp):
    """A cancelled sync function keeps its dependencies until its thread comes back, however it is journaled."""
    events, began, go = [], threading.Event(), threading.Event()

    async def thing():
        yield Thing()
        events.append("closed")

    thing.__annotations__ = {}
    adapters = di.Adapters()
    token = di.buvar_adapters.set(adapters)
    try:
        from collections.abc import AsyncIterator

        thing.__annotations__["return"] = AsyncIterator[Thing]
        di.register(thing)

        @binp.action(name="op")
        @binp.journal
        def op(thing: Inject[Thing]):
            began.set()
            go.wait(100)
            events.append("thread done")

        handle = await binp.action.start("op")
        await asyncio.to_thread(began.wait, 60)
        await handle.cancel()
        await asyncio.sleep(0.05)
        go.set()
        await handle.wait()
    finally:
        di.buvar_adapters.reset(token)
    assert events == ["thread done", "closed"]


async def test_cancelling_the_run_of_a_direct_call(binp):
    """Cancelling a run that was called directly cancels that call, not the task around it."""
    entered = asyncio.Event()

    @binp.journal
    async def slow():
        entered.set()
        await asyncio.sleep(60)

    async def caller():
        try:
            await slow()
        except RunCancelled:
            await asyncio.sleep(0)
            return "went on"

    task = asyncio.create_task(caller())
    await entered.wait()
    [run] = await runs_of(binp)
    assert await binp.home.runs.cancel(run.id)
    assert await task == "went on"
    assert (await binp.home.store.get_run(run.id)).state is State.CANCELLED


async def test_a_direct_call_with_dependencies_sees_the_callers_context(binp):
    """A direct call is the caller's: components that he pushed are found, with and without Inject."""

    @binp.journal
    async def op(text: Inject[str]):
        return text

    with context.child():
        context.add("mine")
        assert await op() == "mine"


async def test_recursion_of_a_journal_around_an_action(binp):
    """``@journal @action``: calling the function again inside its own run is a child run each time."""

    @binp.journal(operation="j")
    @binp.action(name="a")
    async def op(left: int = 2):
        if left:
            await again(left - 1)

    again = op
    await (await binp.action.start("a")).result()
    assert [run.operation for run in await runs_of(binp)] == ["j", "j", "a"]


async def test_a_method_does_not_record_its_object(binp):
    """The object of a method is not an argument: it may hold anything, a token too."""

    @dataclasses.dataclass
    class Client:
        token: str

        @binp.journal
        async def call(self, x: int):
            return x

    await Client("hunter2").call(1)
    [run] = await runs_of(binp)
    assert run.arguments == '{"x":1}'


async def test_secrets_inside_of_types(binp):
    """A dataclass that has a secret field is masked as a whole, though a plain string is in it."""

    @dataclasses.dataclass
    class Login:
        user: str
        password: Secret[str]

    async def op(login, token="hunter2"):
        return None

    op.__annotations__ = {"login": Login, "token": Secret[str]}
    await binp.journal(op)(Login("me", "hunter2"))
    [run] = await runs_of(binp)
    assert run.arguments == '{"login":"***","token":"***"}'
    form = binp.journal(op).__binp_journal__.form
    assert "hunter2" not in str(form.schema)
    assert "hunter2" not in repr(form.bind({"login": {"user": "u", "password": "p"}}))
    assert form.bind({"login": {"user": "u", "password": "p"}}).kwargs["token"].reveal() == "hunter2"


async def test_a_line_that_is_written_over(binp):
    """A progress line with carriage returns is one record of its last state, and costs no more with each step."""

    @binp.action(name="op")
    def op():
        for n in range(20_000):
            print(f"\r{n} %", end="")
        print()
        print("x" * 20_000, end="")
        print("windows\r\n", end="")

    run = await (await binp.action.start("op")).wait()
    messages = [record.message for record in await binp.home.store.get_records(run.id)]
    assert messages[0] == "19999 %"
    assert messages[-1].endswith("windows")
    assert "".join(messages[1:]) == "x" * 20_000 + "windows"


async def test_large_things_are_cut_visibly(binp):
    """What is very large is kept as its beginning, marked with its size."""

    @binp.action(name="op")
    async def op(text: str):
        binp.journal.record("m" * 100_000, data="d" * 1_000_000)
        return [text] * 3

    run = await (await binp.action.start("op", text="t" * 2_000_000)).wait()
    [record] = await binp.home.store.get_records(run.id)
    assert record.message.endswith("… (100000 characters)")
    assert '"$cut": 1000011' in record.fields
    assert run.arguments.startswith('{"$cut": 2000')
    assert run.result.startswith('{"$cut": 6000')
    assert len(run.result) < 20_000


async def test_a_queued_call_that_is_cancelled_never_runs(binp):
    """A sync run that waits for a thread is cancelled at once, and its function never called."""
    binp_threads = 2
    await binp.home.ensure()
    binp.home.runs.threads._limit = binp_threads
    go, calls = threading.Event(), []

    @binp.action(name="block")
    def block():
        go.wait(100)

    @binp.action(name="late")
    def late():
        calls.append(1)

    blockers = [await binp.action.start("block") for _ in range(binp_threads)]
    handle = await binp.action.start("late")
    await asyncio.sleep(0.02)
    await handle.cancel()
    assert (await handle.wait()).state is State.CANCELLED
    go.set()
    for blocker in blockers:
        await blocker.wait()
    assert calls == []


async def test_actions_of_many_shapes(binp):
    """Bound methods, unhashable callables and partials of journaled functions are found, and make one run each."""

    class Heater:
        async def heat(self) -> str:
            return "warm"

    @dataclasses.dataclass
    class Caller:
        async def __call__(self) -> str:
            return "called"

    @binp.journal(operation="j")
    async def base(x: int, y: int) -> int:
        return x + y

    heater, caller = Heater(), Caller()
    binp.action(name="method")(heater.heat)
    binp.action(name="object")(caller)
    binp.action(name="partial")(functools.partial(base, 1))
    binp.journal(operation="journaled object")(caller)

    assert await (await binp.action.start(heater.heat)).result() == "warm"
    assert await (await binp.action.start("object")).result() == "called"
    assert await (await binp.action.start("partial", y=2)).result() == 3
    assert [(run.operation, run.journal) for run in await runs_of(binp)] == [
        ("partial", "j"),
        ("object", "journaled object"),
        ("method", None),
    ]


async def test_a_thrown_away_call_is_no_run_that_failed(binp):
    """A coroutine that is thrown away while it runs is not reported as an error of the function."""
    await binp.home.ensure()

    begun = []

    @binp.journal
    async def op():
        begun.append(True)
        await asyncio.sleep(60)

    coroutine = op()
    while not begun:
        waiting = coroutine.send(None)
        # it is driven by hand, and must not go on before what it waits for is there
        while not begun and waiting is not None and not waiting.done():
            await asyncio.sleep(0.001)
    coroutine.close()
    assert binp.journal.current is None


async def test_kv_refuses_what_would_be_lost(binp):
    """A model with a Secret would be stored as its mask; keys are text; cycles are no JSON: all TypeError."""
    from pydantic import BaseModel

    class Login(BaseModel):
        password: Secret[str]

    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(TypeError, match="has a Secret inside"):
        await binp.kv.save(Login(password="p"))
    with pytest.raises(TypeError, match="is not JSON"):
        await binp.kv.set(x=cycle)
    with pytest.raises(TypeError, match="a key is text, not 1"):
        await binp.kv.get(1)
    with pytest.raises(TypeError, match="a key is text, not 1"):
        await binp.kv.remove("a", 1)


async def test_a_cancel_that_was_swallowed_leaves_no_trace(binp):
    """A journaled child that swallows its own cancellation leaves the task around it as it was."""
    entered = asyncio.Event()

    @binp.journal
    async def swallows():
        entered.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "swallowed"

    async def caller():
        value = await swallows()
        return value, asyncio.current_task().cancelling()

    task = asyncio.create_task(caller())
    await entered.wait()
    [run] = await runs_of(binp)
    await binp.home.runs.cancel(run.id)
    assert await task == ("swallowed", 0)


async def test_what_a_service_starts_is_drained(binp, until):
    """An action that a service starts goes on by itself: the drain waits for it; a child of the service does not."""
    seen = []

    @binp.action(name="op")
    async def op():
        pass

    @binp.journal
    async def child():
        seen.append(("child", binp.home.runs.active[-1].in_service))

    @binp.service(name="s", restart=False)
    async def service():
        handle = await binp.action.start("op")
        seen.append(("started", next(run for run in binp.home.runs.active if run.id == handle.id).in_service))
        await child()

    await until(lambda: len(seen) >= 2)
    assert seen == [("started", False), ("child", True)]


async def test_a_result_that_was_not_awaited_is_a_failure(binp):
    """An action that gives back what it forgot to await did nothing of it, and says so; a direct call gives it back."""
    done = []

    @binp.journal
    def plain(x: int) -> int:
        done.append(x)
        return x

    @binp.action(name="forgetful")
    async def forgetful():
        return plain(1)

    @binp.journal
    async def direct():
        return plain(2)

    run = await (await binp.action.start("forgetful")).wait()
    assert run.state is State.FAILED
    assert run.error.startswith("BinpError: it gave back ")
    assert run.error.endswith("plain(...), which nobody awaited: that was not executed")
    assert done == []
    assert await (await direct()) == 2
