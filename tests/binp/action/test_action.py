"""Actions: ACT rows."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Le

from binp import BINP, Action, Inject
from binp.action import ActionInfo
from binp.errors import BinpError
from binp.operations import FormError, InvalidArguments, UnknownOperation
from binp.runs import RunCancelled
from binp.store.contract import RunQuery, State
from buvar import di


class Client:
    """Something to inject."""


async def test_decorator_returns_the_function_itself(binp):
    """ACT-01: bare and with options, the original function comes back."""

    async def first():
        pass

    assert binp.action(first) is first
    assert binp.action(name="a", description="b")(first) is first
    with pytest.raises(BinpError):
        binp.action("name")(first)  # options are keyword only, so a string is taken for the function


async def test_default_name_and_description(binp):
    """ACT-02: the qualified name without the module, and the stripped docstring; else empty."""

    @binp.action
    async def documented():
        """
        First line.

            Indented.

        """

    @binp.action
    async def bare():
        pass

    prefix = "test_default_name_and_description.<locals>"
    assert binp.action.actions == [
        ActionInfo(name=f"{prefix}.documented", description="First line.\n\nIndented."),
        ActionInfo(name=f"{prefix}.bare", description=""),
    ]


async def test_a_plain_action_keeps_no_history_when_invoked(binp):
    """ACT-03, decision 18: invoking a plain action makes no run, starting it makes one."""
    calls = []

    @binp.action(name="plain")
    async def plain():
        calls.append(1)

    assert await binp.action.invoke("plain") is True
    await binp.home.ensure()
    assert (await binp.home.store.find_runs(RunQuery())).runs == ()

    await (await binp.action.start("plain")).result()
    [run] = (await binp.home.store.find_runs(RunQuery())).runs
    assert (run.operation, run.journal, run.state, len(calls)) == ("plain", None, State.SUCCEEDED, 2)


async def test_latest_of_a_name_wins(binp, caplog):
    """ACT-04, N-19: the latest wins in the place of the first, with a warning that names both places."""
    calls = []

    @binp.action(name="x")
    async def one():
        calls.append("one")

    @binp.action(name="y")
    async def other():
        pass

    with caplog.at_level(logging.WARNING, "Action"):

        @binp.action(name="x", description="second")
        async def two():
            calls.append("two")

    assert await binp.action.invoke("x")
    assert calls == ["two"]
    assert [(info.name, info.description) for info in binp.action.actions] == [("x", "second"), ("y", "")]
    [record] = [record for record in caplog.records if record.name == "Action"]
    line = one.__code__.co_firstlineno
    assert record.getMessage() == f"redefining UI action 'x': {__file__}:{line} => {__file__}:{line + 10}"


async def test_same_definition_twice_is_silent(binp, caplog):
    """Decision 12: the same file run and imported defines the same thing, which is no conflict."""

    def define():
        @binp.action(name="x")
        async def action():
            pass

    define()
    with caplog.at_level(logging.WARNING, "Action"):
        define()
    assert not caplog.records


async def test_actions_is_a_copy(binp):
    """ACT-05: the list is a new one each time."""
    binp.action.actions.append("junk")

    assert binp.action.actions == []


async def test_invoke(binp, caplog):
    """ACT-06: False with a warning for an unknown name, True after the handler returned, its error propagates."""

    @binp.action(name="fails")
    async def fails():
        raise ValueError("no")

    with caplog.at_level(logging.WARNING, "Action"):
        assert await binp.action.invoke("nothing") is False
    assert [record.getMessage() for record in caplog.records] == ["there is no action named 'nothing' to invoke"]
    with pytest.raises(ValueError, match="^no$"):
        await binp.action.invoke("fails")


async def test_one_decorator_for_two_functions(binp):
    """N-01: a decorator object that is used twice registers two independent actions."""
    quick = binp.action(description="quick")

    @quick
    async def first():
        pass

    @quick
    async def second():
        pass

    assert [info.name.rpartition(".")[2] for info in binp.action.actions] == ["first", "second"]


async def test_sync_function_runs_in_a_thread(binp):
    """N-06: a sync action is executed in a thread, its result is kept, and it is awaited."""
    seen = []

    @binp.action(name="sync")
    def sync(x: int) -> int:
        seen.append(threading.current_thread())
        return x + 1

    assert await binp.action.invoke("sync", x=1) is True
    assert await (await binp.action.start(sync, x=2)).result() == 3
    assert all(thread is not threading.main_thread() for thread in seen)
    assert len(seen) == 2


async def test_parameters_are_validated_and_converted(binp):
    """N-06: the signature is the contract: arguments are converted by it, and what does not fit makes no run."""
    got = {}

    @binp.action(name="heat")
    async def heat(room: Literal["bath", "office"], target: Annotated[float, Ge(5), Le(25)] = 20):
        got.update(room=room, target=target)

    handle = await binp.action.start("heat", room="bath", target="21.5")
    await handle.result()
    assert got == {"room": "bath", "target": 21.5}

    with pytest.raises(InvalidArguments) as caught:
        await binp.action.start("heat", rom="bath", target=30)
    assert caught.value.errors == [
        {"loc": ["room"], "msg": "is required", "type": "missing"},
        {"loc": ["target"], "msg": "Input should be less than or equal to 25", "type": "less_than_equal"},
        {"loc": ["rom"], "msg": "there is no such parameter; did you mean 'room'?", "type": "extra_forbidden"},
    ]
    assert str(caught.value) == (
        "action 'heat' cannot be called like this: room: is required; "
        "target: Input should be less than or equal to 25; rom: there is no such parameter; did you mean 'room'?"
    )
    assert len((await binp.home.store.find_runs(RunQuery())).runs) == 1


async def test_start_gives_a_handle(binp):
    """A handle has the id of the run, its result, and its error as it was raised."""

    @binp.action(name="div")
    async def div(a: int, b: int) -> float:
        return a / b

    handle = await binp.action.start(div, a=1, b=2)
    assert (await binp.home.store.get_run(handle.id)).operation == "div"
    assert await handle.result() == 0.5
    assert (await handle.wait()).state is State.SUCCEEDED
    failing = await binp.action.start(div, a=1, b=0)
    with pytest.raises(ZeroDivisionError):
        await failing.result()
    run = await failing.wait()
    assert (run.state, run.error_type, run.error) == (
        State.FAILED,
        "ZeroDivisionError",
        "ZeroDivisionError: division by zero",
    )


async def test_cancel(binp):
    """A run is cancelled by its handle: cancelled is neither success nor the waiting task's own cancellation."""
    import asyncio

    entered = asyncio.Event()

    @binp.action(name="slow")
    async def slow():
        entered.set()
        await asyncio.sleep(60)

    handle = await binp.action.start("slow")
    await entered.wait()
    assert await handle.cancel() is True
    with pytest.raises(RunCancelled) as caught:
        await handle.result()
    assert str(caught.value) == f"run {handle.id} of 'slow' was cancelled: cancelled"
    run = await handle.wait()
    assert (run.state, run.error, run.cancel_requested) == (State.CANCELLED, "cancelled", True)
    assert await handle.cancel() is False


async def test_unknown_action(binp):
    """An unknown action is named, with the nearest known one."""

    @binp.action(name="heat")
    async def heat():
        pass

    async def stranger():
        pass

    with pytest.raises(UnknownOperation) as caught:
        await binp.action.start("heatt")
    assert str(caught.value) == "there is no action named 'heatt'\n  fix:   did you mean 'heat'?"
    with pytest.raises(UnknownOperation):
        await binp.action.start(stranger)


async def test_injected_parameters_are_supplied_and_vanish_from_the_form(binp):
    """Marking a parameter Inject removes it from the form; it comes from dependency injection, and is closed."""
    events = []

    async def client() -> AsyncIterator[Client]:
        yield Client()
        events.append("closed")

    @binp.action(name="use")
    async def use(x: int, http: Inject[Client]):
        events.append((x, type(http)))

    di.register(client)
    assert list(binp.action.find("use").form.schema["properties"]) == ["x"]
    await (await binp.action.start("use", x=1)).result()
    assert events == [(1, Client), "closed"]
    assert await binp.action.invoke("use", x=2)
    assert events[2:] == [(2, Client), "closed"]


def test_what_is_no_function_is_refused():
    """A decorator used on something that is no function, or on a generator, says what to write."""
    action = Action()

    with pytest.raises(BinpError) as caught:
        action("name")
    assert str(caught.value) == (
        "@binp.action got 'name', which is not a function\n"
        "  fix:   write @binp.action above a function, or give its options by keyword: @binp.action(name=...)"
    )

    async def stream():
        yield 1

    with pytest.raises(BinpError) as caught:
        action(stream)
    assert "got the generator function" in str(caught.value)
    assert "binp.journal.record" in str(caught.value)


def test_a_method_of_no_object_is_refused(binp):
    """ACT-01: a method is an action of an object: in its class it is refused, as nobody could call it from outside."""

    class Boiler:
        def heat(self, degrees: int) -> int:
            return degrees

        @classmethod
        def make(cls, size: int) -> int:
            return size

        @staticmethod
        def count(of: str) -> str:
            return of

        @binp.journal
        def vent(self) -> None: ...

    for decorate in (binp.action, binp.service, binp.schedule("0 2 * * *")):
        with pytest.raises(BinpError, match=r"got the method '\S*Boiler.heat', and .*\n.*\n.*below the class: binp"):
            decorate(Boiler.heat)
        with pytest.raises(BinpError, match=r"got the method '\S*Boiler.make'"):
            decorate(Boiler.__dict__["make"])

    for function in (Boiler().heat, Boiler.make, Boiler.count, Boiler.__dict__["count"], Boiler().vent):
        binp.action(function)
    names = [operation.name.rpartition(".")[2] for operation in binp.action.operations]
    assert names == ["heat", "make", "count", "vent"]
    assert list(binp.action.operations[0].form.schema["properties"]) == ["degrees"]


def test_alone_it_needs_no_database(tmp_path, monkeypatch):
    """Decision 13: an Action built alone creates no file, also when it is invoked."""
    import asyncio

    monkeypatch.chdir(tmp_path)
    action = Action()
    calls = []

    @action(name="x")
    async def x():
        calls.append(1)

    @action(name="y")
    def y():
        calls.append(2)

    assert asyncio.run(action.invoke("x"))
    assert asyncio.run(action.invoke("y"))
    assert calls == [1, 2]
    assert list(tmp_path.iterdir()) == []


def test_a_type_without_form_is_named():
    """A parameter of a type that JSON cannot carry is named, with the way out."""

    class Pool:
        pass

    binp = BINP()

    async def use(pool: int):
        pass

    use.__annotations__ = {"pool": Pool}
    binp.action(name="use")(use)

    with pytest.raises(FormError) as caught:
        binp.action.find("use").form.schema  # noqa: B018 - evaluated on access
    assert str(caught.value).startswith("no form can be made of action 'use': its parameter 'pool' is a <class")
    assert caught.value.fix == "write pool: Inject[...] for a dependency, else a type that JSON can carry"
