"""What is left when the power is cut: simulated from a trace of all that was written to the disk, and when.

A process writes under ``strace``. Its operations are replayed up to a random moment; what was not yet brought to the
disk by then is there, is not there, is there in parts or torn. ``CUTS=400`` in the environment makes it long.
"""

import contextlib
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from binp.store import open_store

CUTS = int(os.environ.get("CUTS", "40"))

SCRIPT = Path(__file__).with_name("power_process.py")

CALLS = "openat,close,pwrite64,write,fdatasync,fsync,ftruncate,fallocate,unlink,unlinkat,rename,renameat,renameat2"

#: bytes that a disk writes as a whole
SECTOR = 512

SYNCS = ("fdatasync(", "fsync(")

LINE = re.compile(r"(\d+) +(.*)")
BEGUN = re.compile(r"(.*?) *<unfinished \.\.\.>")
GOES_ON = re.compile(r"<\.\.\. \w+ resumed>(.*)")
CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
TEXT = re.compile(r'"([^"]*)"')


def can_trace():
    """Whether there is an strace, and it may be used here."""
    if shutil.which("strace") is None:
        return False
    done = subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True, check=False)
    return done.returncode == 0


pytestmark = pytest.mark.skipif(not can_trace(), reason="needs strace, and the right to use it: apt-get install strace")


def calls_of(trace):
    """(name, arguments, result) of each system call, at the moment of its end.

    One that brings something onto the disk is there at its beginning: what another thread writes meanwhile may be
    missing.
    """
    open_calls = {}
    with trace.open() as lines:
        for line in lines:
            thread, rest = LINE.match(line).groups()
            if begun := BEGUN.fullmatch(rest):
                open_calls[thread] = begun[1]
                if begun[1].startswith(SYNCS):
                    yield *begun[1].split("("), 0
                continue
            if goes_on := GOES_ON.match(rest):
                rest = open_calls.pop(thread) + goes_on[1]
                if rest.startswith(SYNCS):
                    assert rest.endswith("= 0"), rest
                    continue
            if call := CALL.match(rest):
                name, arguments, result = call.groups()
                if int(result) >= 0:
                    yield name, arguments, int(result)


def texts_in(arguments):
    return [bytes.fromhex(found.replace("\\x", "")) for found in TEXT.findall(arguments)]


def text_in(arguments):
    return texts_in(arguments)[0]


class Disk:
    """What was done to the files of one folder, and what of it would be there after a cut.

    Operations are ``(kind, file, ...)``: ``write`` with offset and bytes, ``size``, ``sync``; ``name`` and ``unname``
    with a name, which are on the disk when the folder is synchronised; ``said`` with what was acknowledged.
    """

    def __init__(self, trace, folder):
        self.operations = []
        self._folder = str(folder)
        self._names = {}
        self._descriptors = {}
        for name, arguments, result in calls_of(trace):
            handler = getattr(self, f"_{name}", None)
            assert handler is not None or name.startswith(("rename", "unlinkat", "fallocate")), name
            if handler is not None:
                handler(arguments, result)
            else:
                assert self._folder.encode() not in b"".join(texts_in(arguments)), name

    def _openat(self, arguments, result):
        path = text_in(arguments).decode(errors="replace")
        self._descriptors.pop(result, None)
        if path == self._folder:
            self._descriptors[result] = "folder"
            return
        # the map of the log is made anew from the log; the lock and the socket hold nothing
        if not path.startswith(self._folder + "/") or path.endswith(("-shm", ".owner", ".sock")):
            return
        name = path.removeprefix(self._folder + "/")
        if name not in self._names:
            self._names[name] = len(self.operations)
            self.operations.append(("name", self._names[name], name))
        self._descriptors[result] = self._names[name]

    def _close(self, arguments, _):
        self._descriptors.pop(int(arguments), None)

    def _pwrite64(self, arguments, result):
        file = self._descriptors.get(int(arguments.split(",")[0]))
        if file is not None:
            data = text_in(arguments)
            assert len(data) == result
            self.operations.append(("write", file, int(arguments.rsplit(",", 1)[1]), data))

    def _write(self, arguments, _):
        descriptor = int(arguments.split(",")[0])
        if descriptor == 1:
            self.operations.append(("said", None, text_in(arguments).decode().split()))
        assert descriptor not in self._descriptors

    def _fsync(self, arguments, _):
        file = self._descriptors.get(int(arguments))
        if file is not None:
            self.operations.append(("sync", file))

    _fdatasync = _fsync

    def _ftruncate(self, arguments, _):
        descriptor, size = map(int, arguments.split(","))
        file = self._descriptors.get(descriptor)
        if file is not None:
            self.operations.append(("size", file, size))

    def _unlink(self, arguments, _):
        path = text_in(arguments).decode()
        name = path.removeprefix(self._folder + "/")
        if self._names.pop(name, None) is not None:
            self.operations.append(("unname", None, name))

    def checkpoints(self):
        """How often the database itself was brought onto the disk while something was acknowledged."""
        said = [at for at, one in enumerate(self.operations) if one[0] == "said"]
        file = self._names["data.db"]
        return sum(one == ("sync", file) for one in self.operations[said[0] : said[-1]])

    def rounds(self):
        """How often the log was begun anew."""
        log = next(file for kind, file, *rest in self.operations if kind == "name" and rest[0] == "data.db-wal")
        return sum(one[:3] == ("write", log, 0) for one in self.operations)

    def said(self):
        """All that was acknowledged."""
        return [words for kind, _, *rest in self.operations if kind == "said" for words in rest]

    def cut(self, at, moments, folder):
        """Put into *folder* what could be there after a cut before operation *at*; returns what was acknowledged."""
        pending, names, files, said = [], {}, {}, []
        renaming = []
        for operation in self.operations[:at]:
            kind, file = operation[:2]
            if kind == "said":
                said.append(operation[2])
            elif kind in {"name", "unname"}:
                renaming.append(operation)
            elif operation == ("sync", "folder"):
                apply_names(names, renaming)
                renaming = []
            elif kind == "sync":
                for one in pending:
                    if one[1] == file:
                        apply(files, one)
                pending = [one for one in pending if one[1] != file]
            else:
                pending.append(operation)
        how = moments.choice(["none", "all", "some", "torn"])
        for one in pending:
            if how == "all" or (how in {"some", "torn"} and moments.random() < 0.5):
                apply(files, torn(one, moments) if how == "torn" else one)
        # a folder is changed in order
        apply_names(names, renaming[: {"none": 0, "all": len(renaming)}.get(how, moments.randint(0, len(renaming)))])
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, file in names.items():
            (folder / name).write_bytes(files.get(file, b""))
        return said


def apply_names(names, operations):
    for kind, file, name in operations:
        if kind == "name":
            names[name] = file
        else:
            names.pop(name, None)


def apply(files, operation):
    kind, file, *rest = operation
    content = files.setdefault(file, bytearray())
    if kind == "size":
        (size,) = rest
        del content[size:]
        content.extend(bytes(size - len(content)))
    else:
        offset, data = rest
        content.extend(bytes(max(0, offset + len(data) - len(content))))
        content[offset : offset + len(data)] = data


def torn(operation, moments):
    """A write of which only the first sectors arrived."""
    if operation[0] != "write" or len(operation[3]) <= SECTOR:
        return operation
    kind, file, offset, data = operation
    return kind, file, offset, data[: SECTOR * moments.randint(0, len(data) // SECTOR)]


def found_in(path, begun):
    """How far the steps are that a file has: (runs begun, loose key, kept key, runs ended). It must be consistent."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'run'").fetchone():
            return 0, 0, 0, 0
        runs = connection.execute("SELECT id, state, records FROM run ORDER BY id").fetchall()
        lines = dict(connection.execute("SELECT run, count(*) FROM record GROUP BY run"))
        keys = {
            key: (int(value), version)
            for key, value, version in connection.execute("SELECT key, value, version FROM kv")
        }
    assert [run for run, _, _ in runs] == begun[: len(runs)]
    ended = [run for run, state, records in runs if state == 2]
    for run, state, records in runs:
        assert lines.get(run, 0) == records
        assert records == 3 or state != 2
    assert all(value == version for value, version in keys.values())
    loose, kept = (keys.get(key, (0, 0))[0] for key in ("loose", "kept"))
    reached = len(runs), loose, kept, len(ended)
    step = len(runs)
    # each step is done in this order: its run begins, the loose key is set, the other one, the run ends
    assert reached in {(step, step - (done < 1), step - (done < 2), step - (done < 3)) for done in range(4)}
    return reached


@pytest.fixture
def disk(tmp_path):
    """Trace a process that writes."""

    def trace(synchronous, steps=40):
        folder = tmp_path / synchronous
        folder.mkdir()
        log = tmp_path / "trace"
        program = [sys.executable, str(SCRIPT), str(folder / "data.db"), synchronous, str(steps)]
        options = ["-f", "-o", str(log), "-xx", "-s", "10000000", "-e", f"trace={CALLS}"]
        subprocess.run(["strace", *options, *program], stdout=subprocess.DEVNULL, check=True, timeout=800)
        return Disk(log, folder)

    return trace


async def cut_often(disk, cuts, folder):
    """Cut the power *cuts* times; returns how often, and how much, was lost that was acknowledged."""
    moments = random.Random(5)
    said = disk.said()
    begun = [int(rest[0]) for kind, *rest in said if kind == "B"]
    start = next(at for at, one in enumerate(disk.operations) if one[0] == "said")
    losses = []
    for count in range(cuts):
        told = disk.cut(moments.randint(start + 1, len(disk.operations)), moments, folder)
        path = folder / "data.db"
        if count % 10 == 0:
            # the store itself finds its way, too; it ends what was cut off
            copy = folder / "copy"
            shutil.copytree(folder, copy)
            store = open_store(str(copy / "data.db"))
            await store.open()
            await store.close()
        runs, _, kept, ended = found_in(path, begun)
        acknowledged = [sum(words[0] == kind for words in told) for kind in "BKE"]
        losses.append(sum(max(0, said - has) for said, has in zip(acknowledged, (runs, kept, ended), strict=True)))
    return sum(1 for lost in losses if lost), max(losses)


@pytest.mark.timeout(900 + 2 * CUTS)
async def test_what_was_acknowledged_survives_a_power_cut(disk, tmp_path, capsys):
    """Nothing that was acknowledged is lost, nothing is damaged, and what is there was written in this order."""
    began = time.monotonic()
    traced = disk("FULL")
    # what is in the log is brought into the database meanwhile, and the log is written over
    assert traced.checkpoints() >= 3
    assert traced.rounds() >= 2
    lost, most = await cut_often(traced, CUTS, tmp_path / "after")
    with capsys.disabled():
        print(f"\npower cuts {CUTS} with FULL: {lost} lost something acknowledged; {time.monotonic() - began:.0f} s")
    assert (lost, most) == (0, 0)


@pytest.mark.timeout(900 + 2 * CUTS)
async def test_without_waiting_for_the_disk_the_last_moments_may_be_lost(disk, tmp_path, capsys):
    """With NORMAL the last writes may be lost, but nothing before them, and nothing is damaged.

    This also proves that the simulation finds what is lost.
    """
    began = time.monotonic()
    traced = disk("NORMAL")
    lost, most = await cut_often(traced, CUTS, tmp_path / "after")
    with capsys.disabled():
        print(
            f"\npower cuts {CUTS} with NORMAL: {lost} lost something acknowledged, at most {most} writes; "
            f"{time.monotonic() - began:.0f} s"
        )
    assert lost > 0
