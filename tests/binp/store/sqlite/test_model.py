"""Runs and keys against dictionaries: any order of writes, reads and restarts, from two processes."""

import asyncio
import collections
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky
from hypothesis.stateful import Bundle, RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from binp.store import open_store
from binp.store.contract import (
    FINISHED,
    HISTORY,
    AddLabels,
    AddRecord,
    BeginRun,
    EndRun,
    KeepStep,
    PutKey,
    RemoveKeys,
    RequestCancel,
    RunQuery,
    SetKeys,
    State,
    TakeRun,
    Written,
)
from binp.store.sqlite import _batch, _key_rows

#: steps of each of the two models; more of them by hand, and other ones each time
STEPS = int(os.environ.get("MODEL_STEPS", "10000"))
STEPS_EACH = 250
#: seconds for what comes by itself
PATIENCE = 120.0

NAMES = ["a", "b", "ab", "a\0", "é", "\udfff"]
names = st.sampled_from(NAMES)
texts = st.text(max_size=3) | st.sampled_from(["a", "\0", "\ud800"])
epochs = st.sampled_from([1, 2, 3])
anywhere = st.sampled_from(["here", "there"])


class Model(RuleBasedStateMachine):
    """One file and two processes. What is written here is not awaited before somebody looks or the other one writes."""

    there: Any
    #: of all examples together
    steps = collections.Counter()

    def __init__(self):
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = str(Path(self.directory.name) / "data.db")
        self.loop = asyncio.new_event_loop()
        self.store = open_store(self.path, group="g", synchronous="OFF")
        self.expected = []
        #: what was told of each thing, and of which things something is to be told
        self.told, self.touched = {}, set()
        self.restarts = 0
        self.ids = set()
        self.open_here()
        self.node_there = self.there.ask("open", self.path)

    def open_here(self):
        self.loop.run_until_complete(self.store.open())
        self.node_here = self.store.node
        self.stop = self.store.listen(self.listen)

    def close_here(self):
        self.stop()
        self.loop.run_until_complete(self.store.close())

    def teardown(self):
        self.close_here()
        self.there.ask("close")
        self.loop.close()
        self.directory.cleanup()

    def listen(self, changes):
        if not changes:
            # the one who tells is another one: what happened in between is not known
            self.told.clear()
            self.touched.clear()
        for change in changes:
            before = self.told.get((change.topic, change.id), 0)
            assert change.rev >= before, f"{change} was told behind {before}"
            self.told[change.topic, change.id] = change.rev

    def write(self, where, write, expected, *touched):
        """Write it, here or there; *touched* are those of which something is to be told."""
        self.steps[type(self).__name__] += 1
        if where == "here":
            self.expected.append((self.store.write(write), expected))
        else:
            self.settle()
            assert self.there.ask("write", [write]) == [expected], write
        self.touched.update(touched)

    def settle(self):
        async def collect():
            return [(await ack, expected) for ack, expected in self.expected]

        for got, expected in self.loop.run_until_complete(collect()):
            assert got == expected
            assert type(got) is type(expected)
        self.expected.clear()

    def eventually(self, compare):
        """Call *compare* until it finds nothing wrong."""

        async def attempt():
            end = time.monotonic() + PATIENCE
            while True:
                try:
                    return await compare()
                except AssertionError:
                    if time.monotonic() > end:
                        raise
                await asyncio.sleep(0.002)

        self.loop.run_until_complete(attempt())

    def check_told(self, thing, rev):
        if thing in self.touched:
            assert self.told.get(thing) == rev, f"{thing} is in revision {rev}"

    @rule()
    def take_ids(self):
        self.steps[type(self).__name__] += 1
        for made in ([self.store.new_id() for _ in range(3)], self.there.ask("ids", 3)):
            assert made == sorted(made)
            assert self.ids.isdisjoint(made)
            self.ids.update(made)

    # each takes tenths of a second
    @precondition(lambda self: self.restarts < 3)
    @rule(where=anywhere)
    def restart(self, where):
        self.steps[type(self).__name__] += 1
        self.restarts += 1
        self.settle()
        gone = self.node_here if where == "here" else self.node_there
        if where == "here":
            self.close_here()
            self.told.clear()
            self.touched.clear()
            self.open_here()
        else:
            self.there.ask("close")
            self.node_there = self.there.ask("open", self.path)
        self.forget(gone)

    def forget(self, node):
        """The process called *node* has gone."""


class Runs(Model):
    """Runs: their states, epochs, records, labels, steps and places."""

    runs = Bundle("runs")

    def __init__(self):
        super().__init__()
        self.known, self.written = {}, {}

    def forget(self, node):
        for known in self.known.values():
            # what was queued waits on
            if known["state"] is State.RUNNING and known["node"] == node:
                known["state"] = State.INTERRUPTED

    @rule(
        target=runs,
        where=anywhere,
        state=st.sampled_from([State.QUEUED, State.QUEUED, State.RUNNING, State.RUNNING, State.SKIPPED]),
        label=names,
    )
    def begin(self, where, state, label):
        run = self.store.new_id() if where == "here" else self.there.ask("ids", 1)[0]
        node = self.node_here if where == "here" else self.node_there
        slot = "s" if state is State.QUEUED else None
        given = {"operation": "o", "state": state, "trigger": "call", "node": node, "at": 1, "slot": slot}
        self.write(where, BeginRun(id=run, labels=(label,), **given), True, ("run", run))
        self.known[run] = {
            "state": state,
            "epoch": 1,
            "node": node,
            "slot": slot,
            "records": [],
            "labels": [label],
            "cancel": False,
            "steps": {},
        }
        return run

    def held(self, run, epoch):
        known = self.known[run]
        return known["state"] not in FINISHED and epoch >= known["epoch"]

    @rule(where=anywhere, run=runs, places=st.sampled_from([1, 2, None]), orphaned=st.booleans())
    def take(self, where, run, places, orphaned):
        node = self.node_here if where == "here" else self.node_there
        known = self.known[run]
        inside = [each for each in self.known.values() if each["slot"] and each["state"] is State.RUNNING]
        is_orphan = known["node"] not in (self.node_here, self.node_there)
        is_taken = (
            known["state"] is State.QUEUED and (places is None or len(inside) < places) and (is_orphan or not orphaned)
        )
        write = TakeRun(id=run, node=node, places=places, orphaned=orphaned, at=2)
        self.write(where, write, is_taken, *[("run", run)] * is_taken)
        if is_taken:
            known.update(state=State.RUNNING, epoch=known["epoch"] + 1, node=node)

    @rule(where=anywhere, run=runs, epoch=epochs, message=texts)
    def record(self, where, run, epoch, message):
        seq = len(self.known[run]["records"]) + 1
        held = self.held(run, epoch)
        self.write(where, AddRecord(run=run, epoch=epoch, seq=seq, at=1, message=message), held)
        if held:
            self.known[run]["records"].append(message)

    @rule(where=anywhere, run=runs, epoch=epochs, label=names)
    def label(self, where, run, epoch, label):
        held = self.held(run, epoch)
        self.write(where, AddLabels(run=run, epoch=epoch, labels=(label,)), held)
        if held and label not in self.known[run]["labels"]:
            self.known[run]["labels"].append(label)

    @rule(where=anywhere, run=runs, epoch=epochs, name=names, result=st.integers(0, 9))
    def step(self, where, run, epoch, name, result):
        held = self.held(run, epoch)
        write = KeepStep(run=run, epoch=epoch, origin=run, name=name, result=str(result), at=2)
        self.write(where, write, held)
        if held:
            self.known[run]["steps"].setdefault(shown_name(name), str(result))

    @rule(
        where=anywhere, run=runs, epoch=epochs, state=st.sampled_from([State.SUCCEEDED, State.FAILED, State.CANCELLED])
    )
    def end(self, where, run, epoch, state):
        held = self.held(run, epoch)
        write = EndRun(id=run, epoch=epoch, state=state, at=2, duration=1, error="e")
        self.write(where, write, held, *[("run", run)] * held)
        if held:
            self.known[run]["state"] = state

    @rule(where=anywhere, run=runs)
    def cancel(self, where, run):
        known = self.known[run]
        is_open = known["state"] not in FINISHED
        self.write(where, RequestCancel(id=run, at=2), is_open, *[("cancel", run)] * is_open)
        if is_open:
            known["cancel"] = True
            if known["state"] is State.QUEUED:
                known["state"] = State.CANCELLED

    @rule(where=anywhere, run=runs, epoch=epochs, value=st.integers(0, 9))
    def set_in_run(self, where, run, epoch, value):
        """A run that somebody else has taken, or that was given up, writes no keys any more."""
        known = self.known[run]
        held = known["state"] is not State.INTERRUPTED and epoch >= known["epoch"]
        self.write(where, SetKeys(namespace="r", items=(("k", str(value)),), run=run, epoch=epoch, at=1), held)
        if held:
            self.written["k"] = str(value)

    @rule()
    def look(self):
        self.steps[type(self).__name__] += 1
        self.settle()
        self.eventually(self.compare)

    async def compare(self):
        page = await self.store.find_runs(RunQuery(limit=200))
        assert [run.id for run in page.runs] == sorted(self.known, reverse=True)[:200]
        kept = await self.store.get_key("r", "k")
        assert (kept and kept.value) == self.written.get("k")
        unended = [id for id, known in self.known.items() if known["slot"] and known["state"] not in FINISHED]
        assert await self.store.get_slot("s") == sorted(unended)
        for run in page.runs:
            known = self.known[run.id]
            assert (run.state, run.cancel_requested) == (known["state"], known["cancel"])
            assert (run.epoch, run.node) == (known["epoch"], known["node"])
            assert list(run.labels) == [shown_name(label) for label in known["labels"]]
            assert run.records == len(known["records"])
            assert [record.message for record in await self.store.get_records(run.id)] == [
                shown(message) for message in known["records"]
            ]
            assert {step.name: step.result for step in await self.store.get_steps(run.id)} == known["steps"]
            self.check_told(("run", run.id), run.rev)


class Keys(Model):
    """Keys: values, versions, expected versions, expiry and history."""

    def __init__(self):
        super().__init__()
        #: of each key all its versions, as (value or None, expired)
        self.past = {name: [] for name in NAMES}
        self.expires, self.keep, self.sure = {}, dict.fromkeys(NAMES, HISTORY), dict.fromkeys(NAMES, 0)

    def value(self, name):
        return self.past[name][-1][0] if self.past[name] else None

    def version(self, name):
        """What it must have been expected in: 0 if it is not there."""
        return len(self.past[name]) if self.value(name) is not None else 0

    def turn(self, name, value, *, is_expired=False, history=None):
        self.past[name].append((value, is_expired))
        if history is not None:
            self.keep[name] = history
        # what was dropped once does not come back when more is to be kept
        self.sure[name] = min(self.sure[name] + 1, self.keep[name])

    def changed(self, *keys):
        return [("kv", f"n/{shown(name)}") for name in keys]

    @rule(
        where=anywhere,
        pairs=st.dictionaries(names, st.integers(0, 9), min_size=1),
        history=st.sampled_from([None, None, 1, 3]),
    )
    def set(self, where, pairs, history):
        items = tuple((name, str(value)) for name, value in pairs.items())
        self.write(where, SetKeys(namespace="n", items=items, history=history, at=1), True, *self.changed(*pairs))
        for name, value in items:
            self.turn(name, value, history=history)
            self.expires[name] = None

    @rule(where=anywhere, keys=st.lists(names, unique=True, min_size=1))
    def remove(self, where, keys):
        there = [name for name in keys if self.version(name)]
        self.write(where, RemoveKeys(namespace="n", keys=tuple(keys), at=1), True, *self.changed(*there))
        for name in there:
            self.turn(name, None)

    @rule(
        where=anywhere,
        name=names,
        value=st.none() | st.integers(0, 9).map(str),
        expected=st.sampled_from(["any", "any", "present", "absent", "older"]),
        expires=st.sampled_from([None, None, 1, 2**52]),
        keeps_expiry=st.booleans(),
        history=st.sampled_from([None, None, 1, 3]),
    )
    def put(self, where, name, value, expected, expires, keeps_expiry, history):
        version = self.version(name)
        number = {"any": None, "present": version, "absent": 0, "older": max(0, version - 1)}[expected]
        given = {"expected": number, "expires": expires, "keeps_expiry": keeps_expiry, "history": history}
        is_done = number is None or number == version
        until = self.expires[name] if keeps_expiry and version else expires
        if not is_done:
            made = Written(is_done=False, version=version)
        elif value is None and not version:
            made = Written(is_done=True, version=0)
        else:
            made = Written(is_done=True, version=len(self.past[name]) + 1)
            if value is None:
                self.turn(name, None)
            else:
                self.turn(name, value, history=history)
                self.expires[name] = until
                if until == 1:
                    # which is over: it is removed as soon as somebody comes to it
                    self.turn(name, None, is_expired=True)
        write = PutKey(namespace="n", key=name, value=value, at=1, **given)
        self.write(where, write, made, *self.changed(name) * (is_done and made.version > 0))

    @rule(prefix=st.sampled_from(["", "a", "é", "x"]), after=st.sampled_from(["", "a", "b"]), limit=st.integers(0, 4))
    def list(self, prefix, after, limit):
        self.steps["Keys"] += 1
        self.settle()
        there = sorted(shown(name) for name in NAMES if self.version(name))
        wanted = [name for name in there if name.startswith(prefix) and name > after][:limit]

        async def compare():
            found = await self.store.list_keys("n", prefix=prefix, after=after, limit=limit)
            assert [row.key for row in found] == wanted
            assert await self.store.namespaces() == (["n"] if there else [])

        self.loop.run_until_complete(compare())

    @rule()
    def look(self):
        self.steps["Keys"] += 1
        self.settle()
        for name in NAMES:
            self.loop.run_until_complete(self.compare_value(name))
        self.eventually(self.compare_history)

    async def compare_value(self, name):
        kept = await self.store.get_key("n", name)
        assert (kept and kept.value) == self.value(name)
        assert await self.store.get_value("n", name) == self.value(name)
        if kept is not None:
            assert (kept.version, kept.expires) == (len(self.past[name]), self.expires[name])

    async def compare_history(self):
        for name in NAMES:
            past = self.past[name]
            found = await self.store.get_key_history("n", name)
            told = [(version.version, version.value, version.is_expired) for version in found]
            all_of_it = [(number, *version) for number, version in enumerate(past, 1)][::-1]
            assert told == all_of_it[: len(told)]
            assert self.sure[name] <= len(told) <= self.keep[name]
            self.check_told(("kv", f"n/{shown(name)}"), len(past))


def shown(text):
    """Text as it is kept."""
    return text.encode("utf-8", "backslashreplace").decode()


def shown_name(text):
    """Text as it is kept where it is a name."""
    return shown(text).replace("\0", "␀")


@pytest.fixture
def check(monkeypatch, there):
    """Run a model for so many steps."""
    monkeypatch.setattr(Model, "there", there, raising=False)
    monkeypatch.setattr(Model, "steps", collections.Counter())

    def run(model, steps):
        # some examples end before their last step
        examples = steps * 4 // 3 // STEPS_EACH + 1
        run_state_machine_as_test(
            model,
            settings=settings(
                max_examples=examples,
                stateful_step_count=STEPS_EACH,
                derandomize="MODEL_STEPS" not in os.environ,
                database=None,
                deadline=None,
                # one fault may show in several ways, which would come as a group of errors
                report_multiple_bugs=False,
                # by hand there is time to look for the shortest way to a failure
                phases=[Phase.generate, Phase.shrink] if "MODEL_STEPS" in os.environ else [Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
        return Model.steps[model.__name__]

    return run


@pytest.mark.timeout(900 + STEPS // 20)
@pytest.mark.parametrize("model", [Runs, Keys])
def test_a_model(check, model):
    """Whatever is written from two processes that come and go, the store says what a dictionary says."""
    assert check(model, STEPS) >= STEPS


@pytest.mark.parametrize("fault", ["a version that is not counted", "a taken run that is not fenced"])
def test_a_planted_fault_is_found(check, monkeypatch, fault):
    """The models find what is wrong: they could fail."""
    if fault == "a version that is not counted":

        def remove(self, key, write):
            key.make(None, write, write.at)
            if len(key.made) > 1:
                key.version -= 1

        monkeypatch.setattr(_key_rows.Keys, "remove", remove)
        model = Keys
    else:
        monkeypatch.setattr(_batch.Batch, "_is_fenced", lambda *_: False)
        model = Runs
    monkeypatch.setattr(sys.modules[__name__], "PATIENCE", 0.5)
    # found is found, even if it does not come again: the fault is in this process, and the other one may own the file
    with pytest.raises((AssertionError, Flaky)):
        check(model, 5000)
