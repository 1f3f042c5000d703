"""A database whose bytes something else changes while it is served: what is said, what goes on, and what is kept."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from binp.store import open_store
from binp.store.contract import SetKeys

OPS = """
from binp import BINP

binp = BINP()

@binp.action
async def put(value: str) -> None:
    await binp.kv.set(value=value)

@binp.action
async def say() -> None:
    await binp.journal.record("said")
"""

WHAT = "the database is damaged (database disk image is malformed)"
FIX = "look at it with `binp check`; restore a backup with `binp restore`"


@pytest.fixture
def served(tmp_path: Path, serve: Callable[..., Any]) -> Any:
    """A server of a database that is too large to be looked through at its start, with a run that said something."""
    (tmp_path / "ops.py").write_text(OPS)

    async def fill() -> None:
        store = open_store(str(tmp_path / "data.db"), synchronous="OFF")
        await store.open()
        for number in range(20):
            value = f'"{"x" * 1_000_000}"'
            await store.write(SetKeys(namespace="ballast", items=((f"k{number}", value),), at=1))
        await store.close()

    asyncio.run(fill())
    first = serve()
    first.ended(first.start("say"))
    first.ask("POST", "/internal/action/put", {"value": "kept"})
    # what the next one reads for its index is remembered, and hides the damage for as long
    with contextlib.closing(sqlite3.connect(tmp_path / "data.db")) as connection:
        first.until(lambda: connection.execute("SELECT count(*) FROM unindexed").fetchone() == (0,), "index")
    assert first.stop() == 0
    return serve()


def damage(path: Path, table: str) -> None:
    """Overwrite the page at which *table* begins."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 512)


def test_damage_that_is_read(served: Any, tmp_path: Path, binp: Callable[..., CompletedProcess[str]]) -> None:
    """What is damaged answers with the reason and its cure, the health tells of it, and everything else goes on."""
    assert served.ask("GET", "/internal/health")["state"] == "ok"
    run = next(run["id"] for run in served.runs() if run["operation"] == "say")
    damage(tmp_path / "data.db", "record")

    problem = served.ask("GET", f"/internal/runs/{run}/records", status=503)
    assert (problem["detail"], problem["fix"]) == (WHAT, FIX)
    health = served.ask("GET", "/internal/health", status=503)
    assert (health["state"], health["reason"], health["fix"], health["passes"]) == ("damaged", WHAT, FIX, False)
    assert health["since"]
    for path in ("runs", "runs/counts", "actions/", "services/", "schedules/", "kv/namespaces", "retention", "about"):
        served.ask("GET", f"/internal/{path}")
    served.ask("POST", "/internal/action/put", {"value": "later"})
    assert served.ask("GET", "/internal/kv/value?namespace=default&key=value")["value"] == "later"
    shown = binp("journal", "show", str(run))
    assert "the database is damaged" in shown.stderr
    for command in ("check", "export"):
        done = binp(command)
        assert done.returncode == 1, done
        assert "damaged" in done.stderr
        assert "Traceback" not in done.stderr
    assert "restore a backup" in binp("check").stderr
    done = binp("backup", "copy.db")
    assert (done.returncode, "damaged" in done.stderr, (tmp_path / "copy.db").exists()) == (2, True, False)
    assert served.stop() == 0
    assert "Traceback" not in served.stderr


def test_what_can_be_saved(served: Any, tmp_path: Path, binp: Callable[..., CompletedProcess[str]]) -> None:
    """An export goes on behind the damage and says what it lacks; what it has is taken in, and the same is said."""
    run = next(run["id"] for run in served.runs() if run["operation"] == "say")
    damage(tmp_path / "data.db", "record")
    lost = f"  lost:  1 at most of records after {run}/0\n"

    saved = binp("export")

    assert (saved.returncode, saved.stderr) == (
        1,
        (
            f"Error: data.db is damaged, and this is not all that was in it\n{lost}  where: {tmp_path / 'data.db'}\n"
            "  fix:   restore a backup: binp restore FILE; without one, take in what could be read: binp import FILE\n"
        ),
    )
    (tmp_path / "saved").write_text(saved.stdout)
    lines = len(saved.stdout.splitlines()) - 2
    taken = binp("import", "--db", "other.db", "saved")
    assert (taken.returncode, taken.stdout) == (1, f"{lines} lines, {lines} of them new\n")
    assert taken.stderr == (
        "Error: this is not all that there was: it was exported from a damaged database; what came was taken in\n"
        + lost
    )
    whole = binp("export", "--db", "other.db")
    assert whole.returncode == 0
    assert [line.count(f'"id":{run},') for line in whole.stdout.splitlines() if '"say"' in line] == [1]
    assert served.stop() == 0


def test_damage_that_is_written_to(served: Any, tmp_path: Path) -> None:
    """After a write has met it nothing more is acknowledged; what was is there, and can be read."""
    damage(tmp_path / "data.db", "record")
    run = served.ask("POST", "/internal/actions/say/runs", {}, status=202)["run"]

    def health() -> Any:
        answer = served.open("GET", "/internal/health")
        answer.read()
        return answer.status == 503

    served.until(health, "health that tells of it")
    health_now = served.ask("GET", "/internal/health", status=503)
    assert (health_now["state"], health_now["reason"], health_now["passes"]) == ("degraded", WHAT, False)
    for _ in range(3):
        problem = served.ask("POST", "/internal/action/put", {"value": "later"}, status=503)
        assert (problem["detail"], problem["fix"]) == (WHAT, FIX)
    assert [each["state"] for each in served.runs() if each["id"] == run] == ["running"]
    assert served.ask("GET", "/internal/kv/value?namespace=default&key=value")["value"] == "kept"
    assert served.stop() == 0
    assert "Traceback" not in served.stderr
    assert served.stderr.count("the store takes no writes") == 1

    with contextlib.closing(sqlite3.connect(tmp_path / "data.db")) as connection:
        rows = connection.execute("SELECT value FROM kv WHERE key = 'value'").fetchall()
        assert rows == [('"kept"',)]
        assert connection.execute("SELECT count(*) FROM run WHERE id = ?", (run,)).fetchone() == (1,)
