"""Stores to hold against the contract: each kind that there is."""

import subprocess
import sys
from pathlib import Path

import pytest

from binp.store import open_store


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
        self.process.wait(200)
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


@pytest.fixture(autouse=True)
def _patient_questions(patient_questions):
    """For all tests here."""


@pytest.fixture
def writes(store, writes_of):
    return writes_of(store)
