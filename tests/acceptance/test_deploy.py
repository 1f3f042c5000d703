"""A new process takes over while the old one still finishes what asked for time."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

OPS = '''
import asyncio, os, pathlib
from binp import BINP

binp = BINP()

@binp.action(grace="3h")
async def export() -> str:
    """Says who it is, until somebody lets it end."""
    pathlib.Path("begun").touch()
    try:
        while not pathlib.Path("finish").exists():
            binp.journal.record("at work", pid=os.getpid())
            await asyncio.sleep(0.05)
    finally:
        binp.journal.record("put away")
    return "exported"

@binp.action
async def part() -> None:
    pathlib.Path("part").touch()
    await asyncio.sleep(600)

@binp.action(grace=2)
async def brief() -> None:
    pathlib.Path("begun").touch()
    await asyncio.sleep(600)

@binp.action(grace=10)
async def relay() -> None:
    pathlib.Path("begun").touch()
    while not pathlib.Path("go").exists():
        await asyncio.sleep(0.05)
    await (await binp.action.start("part")).result()

@binp.action(grace="1h")
async def nested() -> str:
    handle = await binp.action.start("inner")
    pathlib.Path("begun").touch()
    return await handle.result()

@binp.action
async def inner() -> str:
    while not pathlib.Path("finish").exists():
        await asyncio.sleep(0.05)
    return "inner"

@binp.service
async def keeper() -> None:
    with open("keepers", "a") as file:
        print("begins", os.getpid(), file=file, flush=True)
        try:
            await asyncio.sleep(600)
        finally:
            print("ends", os.getpid(), file=file, flush=True)
'''

WAITING = "waiting up to"
OVER = "cancelled: the process was shut down, and its grace is over"


@pytest.fixture
def deploy(tmp_path: Path, start: Callable[..., Any], free_port: int) -> Callable[[], Any]:
    """Serve ``ops.py`` on the same port, as a deploy does, and wait until it is ready."""
    (tmp_path / "ops.py").write_text(OPS)

    def launch() -> Any:
        made = start("binp", "run", "ops.py", "--port", str(free_port), BINP_GRACE="20")
        assert made.link
        return made

    return launch


def begin(server: Any, action: str = "export") -> int:
    """Start *action* and wait until its function runs."""
    run: int = server.start(action)
    server.until((server.folder / "begun").exists, "run")
    return run


def leave(server: Any) -> None:
    """Ask *server* to end, and wait until a run is all that it waits for."""
    server.signal()
    server.until(lambda: any(text.startswith(WAITING) for text in server.phases), "patience")


def records(server: Any, run: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := server.ask("GET", f"/internal/runs/{run}/records?after={found[-1]['seq'] if found else 0}"):
        found += page
    return found


def keepers(server: Any) -> list[list[str]]:
    return [line.split() for line in (server.folder / "keepers").read_text().splitlines()]


def test_a_deploy_during_a_long_run(deploy: Callable[[], Any]) -> None:
    """N-11: the new process serves and runs the services; the old one finishes the run, which is one that succeeded."""
    old = deploy()
    run, part = begin(old), old.start("part")
    old.until((old.folder / "part").exists, "part")

    leave(old)
    new = deploy()

    assert new.ask("GET", f"/internal/runs/{run}")["state"] == "running"
    assert new.ended(part)["state"] == "cancelled"
    known = len(records(new, run))
    new.until(lambda: len(records(new, run)) > known, "records through the new process")
    new.until(lambda: len(keepers(new)) == 3, "service of the new process")
    pids = [str(old.popen.pid), str(new.popen.pid)]
    assert keepers(new) == [["begins", pids[0]], ["ends", pids[0]], ["begins", pids[1]]]
    (old.folder / "finish").touch()
    assert old.wait() == 0
    ended = new.ended(run)
    assert (ended["state"], ended["result"]) == ("succeeded", "exported")
    said = records(new, run)
    assert {one["fields"]["pid"] for one in said if one["message"] == "at work"} == {old.popen.pid}
    assert [one["seq"] for one in said] == list(range(1, len(said) + 1))
    assert [one["id"] for one in new.runs() if one["operation"] == "export"] == [run]
    assert any("3 h" in text or "2 h 59 min" in text for text in old.phases)
    assert new.stop() == 0


def test_who_waits_goes_on_waiting(deploy: Callable[[], Any], start: Callable[..., Any]) -> None:
    """N-11: the command that started a run sees its end, although another process serves by then."""
    old = deploy()
    waiting = start("binp", "action", "invoke", "export", "--patience", "600")
    old.until((old.folder / "begun").exists, "run")

    leave(old)
    waiting.until(lambda: "the server went away" in waiting.stderr, "loss")
    new = deploy()
    (run,) = [one["id"] for one in new.runs() if one["operation"] == "export"]
    (old.folder / "finish").touch()

    assert (waiting.wait(), waiting.stdout) == (0, "exported\n")
    assert f"the server went away: looking for it for 600 s, as run {run} may go on\n" in waiting.stderr
    assert old.wait() == 0
    assert new.stop() == 0


def test_the_new_process_may_come_first(deploy: Callable[[], Any], start: Callable[..., Any]) -> None:
    """N-12: one that comes while the old one is still stopping waits for it, and is not refused."""
    old = deploy()
    run = begin(old)

    old.signal()
    old.until(lambda: "claiming stopped" in old.phases, "shutdown")
    new = deploy()

    (old.folder / "finish").touch()
    assert old.wait() == 0
    assert new.ended(run)["state"] == "succeeded"


def test_it_is_cancelled_through_the_new_process(deploy: Callable[[], Any]) -> None:
    """N-12c: a command to a run of the old process goes through the database, and ends that process as well."""
    old = deploy()
    run = begin(old)
    leave(old)
    new = deploy()

    new.ask("POST", f"/internal/runs/{run}/cancel", status=202)

    assert new.ended(run)["state"] == "cancelled"
    assert old.wait() == 0
    assert records(new, run)[-1]["message"] == "put away"


def test_the_new_process_is_killed(deploy: Callable[[], Any]) -> None:
    """N-13: the old one owns the database again, keeps on writing, and makes way for the next one."""
    old = deploy()
    run = begin(old)
    leave(old)
    killed = deploy()
    killed.kill()

    new = deploy()

    known = len(records(new, run))
    new.until(lambda: len(records(new, run)) > known, "records through the newest process")
    (old.folder / "finish").touch()
    assert old.wait() == 0
    assert new.ended(run)["state"] == "succeeded"
    said = records(new, run)
    assert [one["seq"] for one in said] == list(range(1, len(said) + 1))
    # nothing was lost or written twice while nobody, and then another, owned the database
    assert [one["message"] for one in said[1:-1]] == ["at work"] * (len(said) - 2)


def test_the_new_process_ends_first(deploy: Callable[[], Any], tmp_path: Path) -> None:
    """N-13: one that was told to end leaves the database to the old one, which finishes its run alone."""
    old = deploy()
    run = begin(old)
    leave(old)
    assert deploy().stop() == 0

    (old.folder / "finish").touch()

    assert old.wait() == 0
    assert not [found.name for found in tmp_path.glob("data.db.*") if found.suffix in {".owner", ".heir", ".sock"}]
    assert deploy().ended(run)["state"] == "succeeded"


def test_the_old_process_is_killed(deploy: Callable[[], Any]) -> None:
    """N-13: its run is interrupted, as after every sudden end, and the new process goes on."""
    old = deploy()
    run = begin(old)
    leave(old)
    new = deploy()
    assert new.ask("GET", f"/internal/runs/{run}")["state"] == "running"

    old.kill()

    assert new.ended(run)["state"] == "interrupted"
    assert new.stop() == 0


def test_a_second_signal_cancels(deploy: Callable[[], Any]) -> None:
    """N-11: asked again, the process waits no longer."""
    old = deploy()
    run = begin(old)
    leave(old)

    assert old.stop() == 0

    assert deploy().ended(run)["state"] == "cancelled"


def test_the_grace_of_a_run_is_over(deploy: Callable[[], Any]) -> None:
    """N-11: what does not end within its own grace is cancelled, with the reason."""
    old = deploy()
    run = begin(old, "brief")

    assert old.stop() == 0

    ended = deploy().ended(run)
    assert (ended["state"], ended["error"]) == ("cancelled", OVER)


def test_what_was_begun_meanwhile_is_cancelled_with_the_same_reason(deploy: Callable[[], Any]) -> None:
    """N-11: a run that was started while its parent was waited for ends with the grace that it has from there."""
    old = deploy()
    run = begin(old, "relay")
    leave(old)
    (old.folder / "go").touch()
    old.until((old.folder / "part").exists, "part")

    assert old.wait() == 0

    new = deploy()
    assert new.ended(run)["error"] == OVER
    [part] = [one for one in new.runs() if one["operation"] == "part"]
    assert (part["state"], part["error"]) == ("cancelled", OVER)


def test_what_a_run_waits_for_is_waited_for(deploy: Callable[[], Any]) -> None:
    """N-11: a run that was started by one with grace has it as well."""
    old = deploy()
    run = begin(old, "nested")
    leave(old)

    (old.folder / "finish").touch()

    assert old.wait() == 0
    assert deploy().ended(run)["result"] == "inner"


@pytest.mark.usefixtures("deploy")
def test_under_uvicorn(start: Callable[..., Any], tmp_path: Path, free_port: int) -> None:
    """N-12d: another server waits for the end of the lifespan, and so for the run; its port is free at once."""
    port = str(free_port)
    old = start("uvicorn", "ops:binp.app", "--port", port, PYTHONPATH=str(tmp_path))
    assert old.link
    run = begin(old)

    old.signal(signal.SIGTERM)
    old.until(lambda: WAITING in old.stderr, "patience")
    new = start("uvicorn", "ops:binp.app", "--port", port, PYTHONPATH=str(tmp_path))
    assert new.link

    assert new.ask("GET", f"/internal/runs/{run}")["state"] == "running"
    (tmp_path / "finish").touch()
    # it ends by the signal that it was sent, as uvicorn does, and from 3.12 on with what that means
    assert old.wait() in {0, -signal.SIGTERM, 128 + signal.SIGTERM}, sys.version
    assert new.ended(run)["state"] == "succeeded"
