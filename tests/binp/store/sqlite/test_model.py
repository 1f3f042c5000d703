"""Runs and keys against a dictionary: any order of writes, reads and restarts."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from binp.store import open_store
from binp.store.contract import (
    FINISHED,
    AddLabels,
    AddRecord,
    BeginRun,
    EndRun,
    RemoveKeys,
    RequestCancel,
    RunQuery,
    SetKeys,
    State,
)

texts = st.text(max_size=3) | st.sampled_from(["a", "b", "\0", "\ud800"])
names = st.sampled_from(["a", "b", "a\0", "é", "\udfff"])
epochs = st.integers(1, 2)


class Model(RuleBasedStateMachine):
    """What is written goes to the store without waiting, and to a dictionary; before each look all is awaited."""

    runs = Bundle("runs")

    @initialize()
    def open(self):
        self.directory = tempfile.TemporaryDirectory()
        self.loop = asyncio.new_event_loop()
        self.store = open_store(str(Path(self.directory.name) / "data.db"), synchronous="OFF")
        self.loop.run_until_complete(self.store.open())
        self.keys, self.versions, self.known, self.expected = {}, {}, {}, []

    def teardown(self):
        if hasattr(self, "loop"):
            self.loop.run_until_complete(self.store.close())
            self.loop.close()
            self.directory.cleanup()

    def write(self, write, expected):
        self.expected.append((self.store.write(write), expected))

    def settle(self):
        async def collect():
            return [(await ack, expected) for ack, expected in self.expected]

        for got, expected in self.loop.run_until_complete(collect()):
            assert got is expected
        self.expected.clear()

    @rule(target=runs, state=st.sampled_from([State.QUEUED, State.RUNNING, State.SKIPPED]), epoch=epochs, label=names)
    def begin(self, state, epoch, label):
        run = self.store.new_id()
        self.write(
            BeginRun(
                id=run,
                operation="o",
                state=state,
                trigger="call",
                node=self.store.node,
                epoch=epoch,
                at=1,
                labels=(label,),
            ),
            True,
        )
        self.known[run] = {"state": state, "epoch": epoch, "records": [], "labels": [label], "cancel": False}
        return run

    def held(self, run, epoch):
        known = self.known[run]
        return known["state"] not in FINISHED and epoch >= known["epoch"]

    @rule(run=runs, epoch=epochs, message=texts)
    def record(self, run, epoch, message):
        seq = len(self.known[run]["records"]) + 1
        held = self.held(run, epoch)
        self.write(AddRecord(run=run, epoch=epoch, seq=seq, at=1, message=message), held)
        if held:
            self.known[run]["records"].append(message)

    @rule(run=runs, epoch=epochs, label=names)
    def label(self, run, epoch, label):
        held = self.held(run, epoch)
        self.write(AddLabels(run=run, epoch=epoch, labels=(label,)), held)
        if held and label not in self.known[run]["labels"]:
            self.known[run]["labels"].append(label)

    @rule(run=runs, epoch=epochs, state=st.sampled_from([State.SUCCEEDED, State.FAILED, State.CANCELLED]))
    def end(self, run, epoch, state):
        held = self.held(run, epoch)
        self.write(EndRun(id=run, epoch=epoch, state=state, at=2, duration=1, error="e"), held)
        if held:
            self.known[run]["state"] = state

    @rule(run=runs)
    def cancel(self, run):
        known = self.known[run]
        is_open = known["state"] not in FINISHED
        self.write(RequestCancel(id=run, at=2), is_open)
        if is_open:
            known["cancel"] = True
            if known["state"] is State.QUEUED:
                known["state"] = State.CANCELLED

    @rule(pairs=st.dictionaries(names, st.integers(0, 9), min_size=1))
    def set(self, pairs):
        self.write(SetKeys(namespace="n", items=tuple((key, str(value)) for key, value in pairs.items()), at=1), True)
        for key, value in pairs.items():
            self.keys[key] = value
            self.versions[key] = self.versions.get(key, 0) + 1

    @rule(keys=st.lists(names, unique=True, min_size=1))
    def remove(self, keys):
        self.write(RemoveKeys(namespace="n", keys=tuple(keys), at=1), True)
        for key in keys:
            if self.keys.pop(key, None) is not None:
                self.versions[key] += 1

    @rule()
    def restart(self):
        self.settle()
        self.loop.run_until_complete(self.store.close())
        self.loop.run_until_complete(self.store.open())
        for known in self.known.values():
            # what was queued waits on
            if known["state"] is State.RUNNING:
                known["state"] = State.INTERRUPTED

    @rule()
    def look(self):
        self.settle()

        async def compare():
            for key in ["a", "b", "a\0", "é", "\udfff"]:
                kept = await self.store.get_key("n", key)
                assert (kept and kept.value) == (str(self.keys[key]) if key in self.keys else None)
                assert kept is None or kept.version == self.versions[key]
            page = await self.store.find_runs(RunQuery(limit=200))
            assert [run.id for run in page.runs] == sorted(self.known, reverse=True)
            for run in page.runs:
                known = self.known[run.id]
                assert (run.state, run.cancel_requested) == (known["state"], known["cancel"])
                assert list(run.labels) == [plain(label) for label in known["labels"]]
                assert run.records == len(known["records"])
                assert [r.message for r in await self.store.get_records(run.id)] == [
                    message.encode("utf-8", "backslashreplace").decode() for message in known["records"]
                ]

        self.loop.run_until_complete(compare())

    @invariant()
    def is_open(self):
        assert not hasattr(self, "store") or self.store.feed


def plain(text):
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "␀")


Model.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestModel = Model.TestCase
