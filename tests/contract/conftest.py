"""Stores to hold against the contract: each kind that there is."""

import itertools
import subprocess
import sys
import time
from pathlib import Path

import pytest

from binp.store import open_store
from binp.store.contract import AddRecord, BeginRun, EndRun, State


class Owner:
    """Another process that owns the database, so that the one under test is a client."""

    def __init__(self):
        script = Path(__file__).with_name("owner_process.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def owner():
    made = Owner()
    yield made
    made.end()


@pytest.fixture(params=["sqlite", "sqlite-client"])
async def store(request, tmp_path):
    path = tmp_path / "data.db"
    if request.param == "sqlite-client":
        owner = request.getfixturevalue("owner")
        owner.tell(f"open {path}")
        store = open_store(str(path), group="tests")
    else:
        store = open_store(str(path), synchronous="OFF")
    await store.open()
    yield store
    await store.close()
    if request.param == "sqlite-client":
        owner.tell("close")


class Writes:
    """Writes with what does not matter filled in."""

    def __init__(self, store):
        self.store = store
        self._at = itertools.count(time.time_ns() // 1000)

    def now(self):
        return next(self._at)

    def begin(self, operation="work", **given):
        given = {"id": self.store.new_id(), "trigger": "call", "node": self.store.node, "at": self.now()} | given
        return BeginRun(operation=operation, **given)

    def record(self, run, seq, message="said", **given):
        return AddRecord(run=run, seq=seq, message=message, at=self.now(), **given)

    def end(self, run, state=State.SUCCEEDED, **given):
        if state is not State.SUCCEEDED:
            given.setdefault("error", "went wrong")
        return EndRun(id=run, state=state, at=self.now(), duration=7, **given)


@pytest.fixture
def writes(store):
    return Writes(store)
