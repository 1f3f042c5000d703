"""Stores in files, and other processes that use the same."""

import itertools
import pickle
import subprocess
import sys
import time
from pathlib import Path

import pytest

from binp.store import open_store
from binp.store.contract import AddRecord, BeginRun, EndRun, State
from binp.store.sqlite import _indexing
from binp.store.sqlite._connect import connect_writer
from binp.store.sqlite._file import File
from binp.store.sqlite._ids import EPOCH


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.db"


@pytest.fixture
def no_index(monkeypatch):
    """No store writes its index by itself, however slow the machine is. To be asked for before there is a store."""
    monkeypatch.setattr(_indexing, "_SOON", 3600.0)


@pytest.fixture
async def store(path):
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def opened(path):
    """Open the file as its writer does, when no store has it."""
    made = []

    def open_file():
        made.append(connect_writer(path, "OFF"))
        return File(made[-1], path)

    yield open_file
    for connection in made:
        connection.close()


class Past:
    """Runs of long ago."""

    def __init__(self, store):
        self.store = store
        self._count = itertools.count()

    async def run(self, days=0.0, *, operation="work", state=State.SUCCEEDED, labels=(), records=0, parent=None):
        """A run that was so many days ago, and is in *state* now; returns its id."""
        at = time.time_ns() // 1000 - int(days * 86_400_000_000) - 1_000_000 + next(self._count)
        run = (at // 1000 - EPOCH << 12) + next(self._count) % 4096
        begun = self.store.write(
            BeginRun(
                id=run, operation=operation, trigger="call", node=self.store.node, at=at, labels=labels, parent=parent
            )
        )
        for seq in range(1, records + 1):
            self.store.write(AddRecord(run=run, seq=seq, at=at, message="said"))
        await begun
        if state is not State.RUNNING:
            error = None if state in {State.SUCCEEDED, State.SKIPPED} else f"{state} it was"
            await self.store.write(EndRun(id=run, state=state, at=at, duration=7, error=error))
        return run

    async def kept(self, *runs):
        """Which of *runs* are still there, by their places."""
        return [place for place, run in enumerate(runs) if await self.store.get_run(run) is not None]


@pytest.fixture
def past(store):
    return Past(store)


@pytest.fixture
def writes(store, writes_of):
    return writes_of(store)


class Worker:
    """Another process that writes, and what it said was acknowledged."""

    def __init__(self, *arguments, script="worker_process.py"):
        program = Path(__file__).with_name(script)
        self.process = subprocess.Popen(
            [sys.executable, str(program), *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )
        self.lines = []

    @property
    def pid(self):
        return self.process.pid

    def read(self, count):
        """Wait for *count* lines more."""
        for _ in range(count):
            line = self.process.stdout.readline()
            assert line, "the worker ended"
            self.lines.append(line.split())

    def kill(self):
        """Kill it, and return all that it said."""
        self.process.kill()
        self.lines += [line.split() for line in self.process.stdout if line.endswith("\n")]
        self.process.wait()
        self.process.stdout.close()
        return self.lines


@pytest.fixture
def worker():
    started = []

    def start(*arguments, **options):
        started.append(Worker(*arguments, **options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()


class There:
    """Another process that does with the file what it is told; see ``model_process.py``."""

    def __init__(self):
        program = Path(__file__).with_name("model_process.py")
        self.process = subprocess.Popen([sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, *command):
        pickle.dump(command, self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture
def there():
    process = There()
    yield process
    process.end()


class Told:
    """What was acknowledged, of all workers, and what of it the file does not have."""

    def __init__(self):
        self.begun, self.ended, self.keys = set(), set(), {}

    def add(self, lines):
        for kind, *rest in lines:
            if kind == "B":
                self.begun.add(int(rest[0]))
            elif kind == "E" and len(rest) == 2:
                self.ended.add(int(rest[0]))
            elif kind == "K" and len(rest) == 2:
                self.keys[rest[0]] = max(self.keys.get(rest[0], 0), int(rest[1]))

    def __len__(self):
        return len(self.begun) + len(self.ended) + sum(self.keys.values())

    async def lost(self, store):
        """Each acknowledged write that is not in the file as it was acknowledged."""
        lost = []
        for run in self.begun:
            kept = await store.get_run(run)
            if kept is None or (run in self.ended and kept.state is not State.SUCCEEDED):
                lost.append(("run", run, kept))
            elif kept.state not in {State.SUCCEEDED, State.INTERRUPTED}:
                lost.append(("open", run, kept))
            elif kept.state is State.SUCCEEDED and (
                kept.records != 3 or [record.seq for record in await store.get_records(run)] != [1, 2, 3]
            ):
                lost.append(("half", run, kept))
        for key, value in self.keys.items():
            kept = await store.get_key("n", key)
            # each value is written once: the version tells whether any was written twice or not at all
            if kept is None or int(kept.value) < value or kept.version != int(kept.value):
                lost.append(("key", key, value, kept))
        return lost


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def limited_disk(tmp_path):
    """A directory on a disk of half a megabyte."""
    place = tmp_path / "limited"
    place.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)], capture_output=True, text=True, check=False
    )
    if mounting.returncode:
        pytest.skip(f"needs the right to mount: {mounting.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of two megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"a small file system cannot be made here: {made.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)
