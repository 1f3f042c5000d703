"""The commands that look after the database, beside a running server and without one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

OPS = """
from datetime import timedelta
from binp import BINP

binp = BINP(config="ops.toml")

@binp.action(labels=["heating"], keep=timedelta(days=7))
async def heat(room: str) -> str:
    binp.journal.record("asking", room=room)
    await binp.kv.set(room=room)
    return room
"""
SETTINGS = '[binp.retention]\ndays = 30\nfailed_days = 365\nsize = "500 MB"\n[binp.retention.labels.audit]\ndays = 0\n'

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def server(tmp_path: Path, serve: Callable[..., Any]) -> Any:
    (tmp_path / "ops.py").write_text(OPS)
    (tmp_path / "ops.toml").write_text(SETTINGS)
    made = serve()
    for room in ("bath", "office", "hall"):
        made.ask("POST", "/internal/action/heat", {"room": room})
    return made


def outcome(done: CompletedProcess[str]) -> tuple[int, str, str]:
    """Status and output, with times and sizes left out."""
    return done.returncode, *(re.sub(r" *\d+\.\d (s|kB)", r" * \1", text) for text in (done.stdout, done.stderr))


SOUND = "ok  pages * s\nok  schema * s  version 1\nok  content * s\ndata.db is sound ( * kB)\n"


def test_beside_a_running_server(server: Any, binp: Run, tmp_path: Path) -> None:
    """A copy is made, checked, exported and taken in while it is served; a restore is refused, naming the server."""
    assert outcome(binp("backup", "copy.db")) == (0, "copied * kB to copy.db in * s\n", "")
    assert outcome(binp("check")) == (0, SOUND, "")
    assert outcome(binp("check", "--db", "copy.db"))[0] == 0
    again = (
        f"Error: there is a file of that name\n  where: {tmp_path}/copy.db\n  fix:   name another one, or use --force\n"
    )
    assert outcome(binp("backup", "copy.db")) == (2, "", again)
    assert binp("backup", "--force", "copy.db").returncode == 0
    refused = binp("restore", "copy.db")
    assert refused.returncode == 2
    assert re.fullmatch(
        rf"Error: the database is in use by process {server.popen.pid} \(.*\) since .*\n"
        rf"  where: .*/data.db\n  fix:   end that process: kill {server.popen.pid}; .*\n",
        refused.stderr,
    )

    exported = binp("export")
    assert exported.returncode == 0
    lines = [json.loads(line) for line in exported.stdout.splitlines()]
    assert [line["state"] for line in lines if line["kind"] == "run"] == ["succeeded"] * 3
    (tmp_path / "lines").write_text(exported.stdout)
    assert binp("import", "lines").stdout == f"{len(lines) - 2} lines, 0 of them new\n"
    elsewhere = binp("import", "--db", "new.db", "lines")
    assert elsewhere.stdout == f"{len(lines) - 2} lines, {len(lines) - 2} of them new\n"
    assert binp("check", "--db", "new.db").returncode == 0

    told = binp("info")
    assert (told.returncode, told.stderr) == (0, "")
    assert re.sub(r"\d+\.\d kB|\d{4}-[\d-]+ [\d:]+", "*", told.stdout) == (
        "in use         *\nfree           *\nlog            *\nruns           3, the oldest of *\nerased         0\n"
        "kept           30 days (365 days where it failed), 1,000,000 runs, 500.0 MB\n"
        "  heat         7 days (365 days where it failed)\n  label audit  for ever\n"
    )
    assert json.loads(binp("info", "--json").stdout)["operations"]["heat"]["days"] == 7
    rehearsed = binp("migrate", "--dry-run")
    assert outcome(rehearsed) == (0, "the schema is up to date\n", "")


def test_what_is_imported_is_shown_by_the_server(server: Any, binp: Run, tmp_path: Path) -> None:
    """Runs and keys that come from elsewhere are there at once, through the server that has the database open."""
    run = {"kind": "run", "id": 5, "operation": "old", "description": "", "state": "failed", "trigger": "cli"}
    run |= {"attempt": 1, "epoch": 1, "node": "n", "started": 1, "ended": 2, "duration": 1, "records": 0, "rev": 2}
    head = {"kind": "binp", "format": 1}
    lines = [head, run | {"error": "no"}, {"kind": "end", "lines": 1}]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    (tmp_path / "lines").write_text(text)

    assert binp("import", "lines").stdout == "1 lines, 1 of them new\n"

    assert server.ask("GET", "/internal/runs/5")["error"] == "no"
    cut = tmp_path / "cut"
    cut.write_text(text[: text.index('{"kind":"end"')])
    assert binp("import", "cut").returncode == 1
    assert "the lines are cut off" in binp("import", "cut").stderr
    cut.write_text(text.replace('"lines":1', '"lines":2'))
    assert binp("import", "cut").returncode == 1
    nothing = binp("import", "--db", "none.db", "ops.py")
    assert nothing.stderr == "Error: this is not an export of binp\n  fix:   write one: binp export > FILE\n"
    assert not list(tmp_path.glob("none.db*"))
    cut.write_text(text[:-30])
    broken = binp("import", "cut")
    assert broken.returncode == 2
    assert broken.stderr.startswith("Error: line ")
    for wrong in ("", "hello\n", '{"kind":"run"}\n', '{"kind":"binp","format":2}\n'):
        cut.write_text(wrong)
        assert binp("import", "cut").returncode == 2


def test_without_a_server(server: Any, binp: Run, tmp_path: Path) -> None:
    """Everything works on a database that nobody has open; a restored one is served as it was."""
    assert binp("backup", "copy.db").returncode == 0
    server.ask("POST", "/internal/action/heat", {"room": "cellar"})
    assert server.stop() == 0

    assert outcome(binp("check", "--thorough")) == (0, SOUND.replace("pages", "indexes and pages"), "")
    assert json.loads(binp("info", "--json", "--config", "ops.toml").stdout)["run_count"] == 4
    assert binp("export").stdout.count('"kind":"run"') == 4
    restored = binp("restore", "copy.db")
    assert restored.returncode == 0
    assert re.fullmatch(
        rf"restored {tmp_path}/data\.db from copy\.db\nwhat was there is kept as data\.db\.\d{{8}}-\d{{6}}\.bak\n",
        restored.stdout,
    )
    assert binp("export").stdout.count('"kind":"run"') == 3
    assert outcome(binp("migrate")) == (0, "the schema is up to date\n", "")
    (kept,) = tmp_path.glob("data.db.*.bak")
    assert binp("check", "--db", kept.name).returncode == 0
    assert not list(tmp_path.glob("*-wal"))


def test_a_damaged_database_is_told(server: Any, binp: Run, tmp_path: Path) -> None:
    """The status is 1, what is wrong is listed, and it is said what to do."""
    assert server.stop() == 0
    path = tmp_path / "data.db"
    with path.open("r+b") as file:
        for page in range(6, path.stat().st_size // 4096, 2):
            file.seek(page * 4096)
            file.write(os.urandom(4096))

    done = binp("check")

    assert done.returncode == 1
    assert done.stdout.startswith("BAD pages")
    assert done.stderr == (
        f"Error: data.db is damaged\n  where: {path}\n"
        "  fix:   restore a backup: binp restore FILE; or save what can be read: binp export > FILE\n"
    )


def test_without_a_database(binp: Run, tmp_path: Path) -> None:
    """Each command says that there is none, and makes none."""
    for arguments in (["backup", "x"], ["check"], ["export"], ["info"], ["migrate"], ["migrate", "--dry-run"]):
        done = binp(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert done.stderr.startswith("Error: there is no database here\n"), arguments
    assert binp("restore", "x").stderr.startswith("Error: there is no backup here\n")
    assert list(tmp_path.iterdir()) == []


def test_a_closed_pipe_is_no_error(server: Any, tmp_path: Path, environ: dict[str, str]) -> None:
    """Who reads only the first lines of an export gets no traceback."""
    command = f"{Path(sys.executable).with_name('binp')} export | head -1"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith('{"kind":"binp"')
    assert done.stderr == ""
