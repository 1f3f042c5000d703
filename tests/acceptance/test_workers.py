"""Several workers of uvicorn share one database: one of them writes and leads, all of them serve."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

OPS = """
import os
import asyncio
from binp import BINP

binp = BINP()

@binp.app.get("/pid")
async def pid() -> int:
    return os.getpid()

@binp.action
async def who() -> int:
    binp.journal.record("here")
    return os.getpid()

@binp.action
async def long() -> None:
    binp.journal.record("began", pid=os.getpid())
    try:
        await asyncio.sleep(600)
    finally:
        binp.journal.record("cleaned up")

@binp.action(process=True)
async def apart() -> int:
    binp.journal.record("began", parent=os.getppid())
    while not os.path.exists("go"):
        await asyncio.sleep(0.02)
    return os.getppid()

@binp.service
async def one() -> None:
    await binp.kv.set(pid=os.getpid())
    await asyncio.sleep(600)

@binp.app.get("/leader")
async def leader() -> int | None:
    return await binp.kv.get("pid")
"""


@pytest.fixture
def server(tmp_path: Path, start: Callable[..., Any], free_port: int) -> Any:
    (tmp_path / "ops.py").write_text(OPS)
    made = start("uvicorn", "ops:binp.app", "--port", str(free_port), "--workers", "2", BINP_GRACE="5")
    made.until(lambda: made.stderr.count("Application startup complete") == 2, "two workers")
    return made


def pids(server: Any, wanted: int = 2) -> set[int]:
    """The processes that answer requests."""
    found: set[int] = set()
    with ThreadPoolExecutor(8) as pool:
        end = time.monotonic() + 200
        while len(found) < wanted and time.monotonic() < end:
            found |= set(pool.map(lambda _: server.ask("GET", "/pid"), range(16)))
    return found


def test_two_workers_share_everything(server: Any) -> None:
    """N-12c: both come up, services run once, the link is printed once, and runs of both are in one history."""
    both = pids(server)
    results = {server.ask("POST", "/internal/action/who")["result"] for _ in range(30)}
    leads = server.until(lambda: _leader(server), "leader")
    runs = server.runs(operation="one")
    listed = {each["id"] for each in server.runs(operation="who")}

    assert len(both) == 2
    assert results <= both
    assert len(listed) == 30
    assert [each["state"] for each in runs] == ["running"]
    assert leads in both
    assert server.stdout.count("ticket=") == 1
    assert json.loads((server.folder / "data.db.serving").read_text())["pid"] in both


def test_two_workers_end_together(server: Any) -> None:
    """N-11, N-12d: the streams of both end at once, and both leave cleanly, without an error."""
    pids(server)
    with ThreadPoolExecutor(8) as pool:
        answers = [server.open("GET", "/internal/events") for _ in range(6)]
        for answer in answers:
            answer.readline()
        ends = [pool.submit(answer.read) for answer in answers]
        server.signal()
        # they would go on for ever
        for end in ends:
            end.result(200)
        status = server.wait()

    assert status == 0
    assert server.stderr.count("Application shutdown complete") == 2
    assert "Traceback" not in server.stderr, server.stderr
    assert not (server.folder / "data.db.serving").exists()


def test_runs_of_both_have_their_end(server: Any, serve: Callable[..., Any]) -> None:
    """Runs in flight in both workers are cancelled and have their ends and last records in the history."""
    both, runs, begun = pids(server), [], set()
    while len(runs) < 12 or begun != both:
        runs.append(server.start("long"))
        records = f"/internal/runs/{runs[-1]}/records"
        begun.add(server.until(lambda records=records: server.ask("GET", records), "first record")[0]["fields"]["pid"])
    server.signal()
    status = server.wait()
    again = serve()
    rows = [again.ask("GET", f"/internal/runs/{run}") for run in runs]

    assert status == 0
    assert {row["records"][0]["fields"]["pid"] for row in rows} == both
    assert {row["state"] for row in rows} == {"cancelled"}
    assert {row["records"][-1]["message"] for row in rows} == {"cleaned up"}


def test_the_other_worker_takes_over(server: Any) -> None:
    """When the worker that leads is killed, another one leads: its service runs again, and it says where it is."""
    before = server.until(lambda: _leader(server), "leader")
    os.kill(before, signal.SIGKILL)
    after = server.until(lambda: (pid := _leader(server)) != before and pid, "another leader")
    states = [each["state"] for each in server.runs(operation="one")]

    assert after != before
    assert states == ["running", "interrupted"]
    assert json.loads((server.folder / "data.db.serving").read_text())["pid"] == after


def test_processes_of_both(server: Any) -> None:
    """What has a process of its own is cancelled through any worker, and outlives the worker that leads."""
    both = pids(server)
    leads = server.until(lambda: _leader(server), "leader")
    (follows,) = both - {leads}
    runs: dict[int, list[int]] = {leads: [], follows: []}
    while not runs[leads] or len(runs[follows]) < 2:
        run = server.start("apart")
        records = f"/internal/runs/{run}/records"
        (record,) = server.until(lambda records=records: server.ask("GET", records), "first record")
        runs[record["fields"]["parent"]].append(run)
    survives = runs[follows].pop()
    for run in (*runs[leads][1:], *runs[follows]):
        server.ask("POST", f"/internal/runs/{run}/cancel", status=202)
        assert server.ended(run)["state"] == "cancelled"
    os.kill(leads, signal.SIGKILL)
    server.until(lambda: _leader(server) not in (None, leads), "another leader")
    (server.folder / "go").touch()

    assert (server.ended(survives)["state"], server.ended(survives)["result"]) == ("succeeded", follows)
    assert server.ended(runs[leads][0])["state"] == "interrupted"


def _leader(server: Any) -> int | None:
    try:
        return int(server.ask("GET", "/leader"))
    except (OSError, AssertionError):
        return None
