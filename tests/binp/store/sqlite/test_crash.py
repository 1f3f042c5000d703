"""What is left when processes are killed: all that was acknowledged, once, and every run ended or marked.

``KILLS=1000`` in the environment makes it long; by default there are about fifty, fewer where that takes a minute.
"""

import contextlib
import os
import random
import runpy
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from binp.store import open_store
from binp.store.contract import AddRecord, BeginRun, Condition, EndRun, Key, Role, RunQuery, State
from binp.store.sqlite import _engine, check
from binp.store.sqlite._migrate import shipped

KILLS = int(os.environ.get("KILLS", "50"))

#: seconds after which no more are killed, unless it was asked for a number
PATIENCE = 45.0 if "KILLS" not in os.environ else 1e9

#: that are killed however long it takes
LEAST = 5

SCRIPT = Path(__file__).with_name("crash_process.py")


class Member:
    """A process, and what it said, with the moment at which it said what it is."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([sys.executable, str(SCRIPT), *map(str, arguments)], stdout=subprocess.PIPE)
        self.lines = []
        self.roles = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def pid(self):
        return self.process.pid

    @property
    def is_owner(self):
        return bool(self.roles) and self.roles[-1][1] == "owner"

    def until(self, condition, seconds=120.0):
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process.poll() is not None:
                # what it said last may not have been read
                self._thread.join(seconds)
                assert condition(), "it ended"
                return
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.002)

    def kill(self):
        self.process.kill()
        return self.wait()

    def wait(self):
        self.process.wait()
        self._thread.join()
        self.process.stdout.close()
        return self.lines

    def _read(self):
        for line in self.process.stdout:
            # what was cut off in its middle was not said
            if line.endswith(b"\n"):
                words = line.decode().split()
                if words[0] == "R":
                    self.roles.append((time.monotonic(), words[1]))
                self.lines.append(words)


@pytest.fixture
def member():
    started = []

    def start(*arguments):
        started.append(Member(*arguments))
        return started[-1]

    yield start
    for one in started:
        # one that has ended already has a pipe that is open still
        one.kill()


class Ledger:
    """What was acknowledged, and what of it a file does not have."""

    def __init__(self):
        self.begun, self.ended, self.keys, self.once = set(), set(), {}, []
        self.copies = 0

    def __len__(self):
        return len(self.begun) + len(self.ended) + sum(self.keys.values()) + len(self.once)

    def add(self, lines):
        for kind, *rest in lines:
            if kind == "B":
                self.begun.add(int(rest[0]))
            elif kind == "E":
                self.ended.add(int(rest[0]))
            elif kind == "K":
                self.keys[rest[0]] = max(self.keys.get(rest[0], 0), int(rest[1]))
            elif kind == "O":
                self.once.append((rest[0], rest[1], rest[2]))
            elif kind == "C":
                self.copies += 1

    def lost(self, path):
        """Each acknowledged write that is not there as it was acknowledged, and whatever is there twice or in part."""
        connection = sqlite3.connect(path)
        with contextlib.closing(connection):
            runs = dict(connection.execute("SELECT id, state FROM run"))
            kept = {
                run: (state, records)
                for run, state, records in connection.execute(
                    "SELECT run.id, run.state, run.records FROM run JOIN name ON name.id = run.operation"
                    " WHERE name.text = 'kept'"
                )
            }
            lines = dict(connection.execute("SELECT run, count(*) || ' ' || max(seq) FROM record GROUP BY run"))
            keys = {
                key: (int(value), version)
                for key, value, version in connection.execute("SELECT key, value, version FROM kv")
            }
            checks = {
                "integrity": connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)],
                "record without run": set(lines) - set(runs),
                "label without run": connection.execute(
                    "SELECT text, runs FROM label EXCEPT SELECT given.value, count(*)"
                    " FROM run CROSS JOIN json_each(run.labels) AS given GROUP BY given.value"
                ).fetchall(),
                "open": [run for run, state in runs.items() if state < 2],
            }
        lost = [(what, found) for what, found in checks.items() if found]
        lost += [("run", run) for run in self.begun - set(kept)]
        # 2 is succeeded, 5 is interrupted
        lost += [("end", run) for run in self.ended if kept.get(run, (None,))[0] != 2]
        lost += [("half", run) for run, (state, n) in kept.items() if state == 2 and (n, lines.get(run)) != (3, "3 3")]
        lost += [("state", run, state) for run, (state, _) in kept.items() if state not in {2, 5}]
        for key, value in self.keys.items():
            found, version = keys.get(key, (0, 0))
            # each value is written once: the version tells whether any was written twice, or not at all
            if found < value or version != found:
                lost.append(("key", key, value, found, version))
        lost += [("once", *said) for said in self.once if said[2] != "True"]
        return lost


@pytest.fixture
def ledger():
    return Ledger()


async def put_in_order(path, group=None):
    """Open and close it, as the next process does."""
    store = open_store(str(path), group=group)
    await store.open()
    assert store.role is Role.OWNER
    await store.close()


async def misplaced(path):
    """What is found by the index or counted beforehand, and is not there, or the other way round."""
    problems = [(finding.name, finding.problems) for finding in check(path) if finding.problems]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name.text, run.id FROM run JOIN name ON name.id = run.operation").fetchall()
    store = open_store(str(path))
    await store.open()
    for operation in ("kept", "chaff"):
        there = {run for text, run in rows if text == operation}
        named = RunQuery(operation=operation, limit=200)
        said = replace(named, where=(Condition(Key.TEXT, (operation,)),))
        # in one bucket, so that as many as there are can be counted
        counted = await store.count_runs(RunQuery(operation=operation), buckets=1)
        assert counted.stopped_at is None
        if sum(number for _, number in counted.states) != len(there):
            problems.append((operation, "counted", counted.states, len(there)))
        for query in (named, said):
            found, has_more, before = set(), True, None
            while has_more:
                page = await store.find_runs(replace(query, before=before))
                found |= {run.id for run in page.runs}
                # it may have stopped before it found any
                has_more, before = page.has_more, page.stopped or (page.runs[-1].id if page.runs else None)
            if found != there:
                problems.append((operation, "found", len(found - there), "missing", len(there - found)))
    await store.close()
    return problems


@pytest.mark.timeout(900 + KILLS)
async def test_nothing_acknowledged_is_lost_when_processes_are_killed(path, member, ledger, capsys):
    """Owners and clients are killed at any moment, while old runs are erased and backups made (N-13).

    What was acknowledged is there, once and whole; what was cut off is interrupted; an owner is replaced soon.
    """
    moments = random.Random(11)
    began = time.monotonic()
    team = [member("write", path, "g") for _ in range(3)]
    gaps, kills, owners = [], 0, 0
    while kills < KILLS * 3 // 5 and (kills < LEAST or time.monotonic() - began < PATIENCE):
        for one in team:
            one.until(lambda one=one: len(one.lines) > 20)
        owner = next((one for one in team if one.is_owner), None)
        victim = owner if owner is not None and moments.random() < 0.6 else moments.choice(team)
        time.sleep(moments.uniform(0.0, 0.1))
        team.remove(victim)
        died = time.monotonic()
        was_owner = victim.is_owner
        ledger.add(victim.kill())
        kills += 1
        if was_owner:
            owners += 1
            team[0].until(lambda team=team: any(one.is_owner for one in team))
            gaps.append(min(at for one in team for at, role in one.roles if role == "owner" and at > died) - died)
        team.append(member("write", path, "g"))
    # all at once, as when the computer crashes
    for one in team:
        one.process.kill()
    for one in team:
        ledger.add(one.wait())
    await put_in_order(path)

    lost = ledger.lost(path) + await misplaced(path)
    with capsys.disabled():
        print(
            f"\nkills {kills + 3}, of owners {owners + 1}; acknowledged {len(ledger)}, lost {len(lost)}; backups "
            f"{ledger.copies}; owner replaced after {max(gaps):.2f} s at most; {time.monotonic() - began:.0f} s"
        )
    assert lost == []
    assert len(ledger) > 500
    # two seconds on a computer that has nothing else to do
    assert max(gaps) < 60.0
    whole = [copy for copy in path.parent.glob("*.bak") if not copy.name.startswith(".")]
    assert whole
    for copy in whole:
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("SELECT count(*) FROM run").fetchone() > (0,)


async def test_the_kills_would_find_an_early_acknowledgement(path, member, ledger):
    """The same kills find the loss when writes are acknowledged before their commit."""
    moments = random.Random(11)
    for _ in range(20):
        one = member("write", path, "-", "lying")
        one.until(lambda one=one: len(one.lines) > 2)
        time.sleep(moments.uniform(0.0, 0.08))
        ledger.add(one.kill())
        await put_in_order(path)
        if any(what in {"run", "end", "key"} for what, *_ in ledger.lost(path)):
            return
    raise AssertionError("the planted bug was not found")


async def filled(path, runs=400):
    """A database with runs in it."""
    store = open_store(str(path), synchronous="OFF")
    await store.open()
    acks = []
    for _ in range(runs):
        run = store.new_id()
        store.write(BeginRun(id=run, operation="kept", trigger="call", node=store.node, at=1))
        for seq in (1, 2, 3):
            store.write(AddRecord(run=run, seq=seq, at=1, message="x" * 200))
        acks.append(store.write(EndRun(id=run, state=State.SUCCEEDED, at=2, duration=1)))
    for ack in acks:
        await ack
    await store.close()


def cut_off(member, kills, *arguments):
    """Let a process do something to its end, then kill others at moments of that time; yields before each look."""
    moments = random.Random(12)
    one = member(*arguments)
    one.until(lambda: one.lines)
    began = time.monotonic()
    one.until(lambda: ["M"] in one.lines)
    takes = time.monotonic() - began
    one.kill()
    yield True
    for _ in range(kills):
        one = member(*arguments)
        one.until(lambda one=one: one.lines)
        time.sleep(moments.uniform(0.0, takes))
        yield ["M"] in one.kill()


@pytest.mark.timeout(900 + KILLS)
@pytest.mark.parametrize("what", ["erase", "tidy", "shrink", "backup"])
async def test_a_kill_while_something_is_done_for_the_file(path, member, ledger, capsys, what):
    """In the middle of erasing, of clearing up behind it, of giving space back, of a backup: nothing is lost, or twice.

    The index finds what a look at every run finds, and an earlier backup is as it was.
    """
    moments = random.Random(13)
    rounds = max(3, KILLS // 10)
    hits = 0
    for _ in range(rounds):
        one = member("tend", path, what)
        one.until(lambda one=one: len(one.lines) > 50 and any(words == ["t", what] for words in one.lines))
        seen = len(one.lines)
        one.until(lambda one=one, seen=seen: ["T", what] in one.lines[seen:])
        time.sleep(moments.uniform(0.0, 0.02))
        lines = one.kill()
        parts = [words[0] for words in lines if words[0] in "Tt" and words[1] == what]
        hits += parts[-1] == "T"
        ledger.add(lines)
        await put_in_order(path)
        assert ledger.lost(path) == []
        assert await misplaced(path) == []
        for copy in path.parent.glob("[!.]*.bak"):
            with contextlib.closing(sqlite3.connect(copy)) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            copy.unlink()
        for draft in path.parent.glob(".*.bak*"):
            draft.unlink()
    with capsys.disabled():
        print(f"\nkills during {what}: {hits} of {rounds}; acknowledged {len(ledger)}, lost 0; copies {ledger.copies}")
    assert ledger.begun


@pytest.mark.timeout(900 + KILLS)
async def test_a_change_of_the_schema_that_is_cut_off(tmp_path, path, member, monkeypatch, ledger, capsys):
    """Killed while migrations run, a database has each of them whole or not at all, and the next start goes on."""
    later = runpy.run_path(str(SCRIPT))["LATER"]
    monkeypatch.setattr(_engine, "shipped", lambda: [*shipped(), *later])
    template = tmp_path / "template.db"
    with monkeypatch.context() as before:
        before.setattr(_engine, "shipped", shipped)
        await filled(template)
    shutil.copy(template, path)
    found = set()
    rounds = max(3, KILLS // 5)
    for _ in cut_off(member, rounds, "migrate", path):
        with contextlib.closing(sqlite3.connect(path)) as connection:
            applied = [
                version for (version,) in connection.execute("SELECT version FROM migration WHERE version > 9000")
            ]
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
            columns = {row[1] for row in connection.execute("PRAGMA table_info(run)")}
        found.add(tuple(applied))
        assert applied == [9001, 9002, 9003][: len(applied)]
        assert ("copy_of_record" in tables, "later" in columns, "later" in tables) == tuple(
            version in applied for version in (9001, 9002, 9003)
        )
        await put_in_order(path)
        assert ledger.lost(path) == []
        with contextlib.closing(sqlite3.connect(path)) as connection:
            assert connection.execute("SELECT count(*) FROM copy_of_record").fetchone() == (1200,)
            assert connection.execute("SELECT count(*) FROM run WHERE later IS NULL").fetchone() == (0,)
        shutil.copy(template, path)
    with capsys.disabled():
        print(f"\nkills while the schema changes: {rounds}; found with {sorted(map(len, found))} of 3 changes")


@pytest.mark.timeout(900 + KILLS)
async def test_a_restore_that_is_cut_off(tmp_path, path, member, ledger, capsys):
    """Killed while a backup is put in its place, a database is the old one or the new one, whole."""
    backup, template = tmp_path / "backup.db", tmp_path / "template.db"
    await filled(backup, 300)
    await filled(template, 500)
    shutil.copy(template, path)
    found = set()
    rounds = max(3, KILLS // 5)
    for _ in cut_off(member, rounds, "restore", path, backup):
        await put_in_order(path)
        assert ledger.lost(path) == []
        with contextlib.closing(sqlite3.connect(path)) as connection:
            found.add(connection.execute("SELECT count(*) FROM run").fetchone()[0])
        for left in path.parent.glob("data.db*"):
            left.unlink()
        shutil.copy(template, path)
    with capsys.disabled():
        print(f"\nkills while a backup is restored: {rounds}; found with {sorted(found)} runs")
    assert found <= {300, 500}
