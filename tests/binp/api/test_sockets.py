"""The original's WebSockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from binp.store.contract import Change

PATHS = ["/internal/journals/updates", "/internal/journal/7/updates", "/internal/services/updates"]


async def test_journals(served: Any) -> None:
    """API-08: a journaled run is sent whole when it begins and when it ends; what is not journaled is not."""
    socket = await served.socket(PATHS[0])

    @served.binp.journal(operation="work")
    async def work() -> None:
        await asyncio.sleep(0.05)

    @served.binp.action(name="quiet")
    async def quiet() -> None:
        pass

    await served.http.post("/internal/action/quiet")
    await work()

    begun, ended = [json.loads(await socket.text()) for _ in range(2)]
    assert [(run["operation"], run["state"]) for run in (begun, ended)] == [("work", "running"), ("work", "succeeded")]
    assert begun["finished_at"] is None
    assert ended["records"] == []


async def test_quick_runs_have_two_frames_each(served: Any) -> None:
    """API-08: a client that counts on a frame for the beginning and one for the end gets both."""
    socket = await served.socket(PATHS[0])

    @served.binp.journal
    async def work() -> None:
        pass

    for _ in range(5):
        await work()

    frames = [json.loads(await socket.text())["id"] for _ in range(10)]
    assert sorted(frames.count(run) for run in set(frames)) == [2] * 5


async def test_beginning_and_end_at_once(served: Any) -> None:
    """API-08: also when beginning and end come in one go there are two frames, and not one for each step between."""

    @served.binp.journal
    async def work() -> None:
        pass

    await work()
    socket = await served.socket(PATHS[0])
    (run,) = await served.binp.journal.history()
    ring = served.binp.home.ring

    ring.publish([Change(ring.last + rev, "run", run.id, rev, journal=True) for rev in (1, 2, 3)])

    assert [json.loads(await socket.text())["id"] for _ in range(2)] == [run.id] * 2
    await asyncio.sleep(0.05)
    assert socket.sent.empty()


async def test_one_journal(served: Any) -> None:
    """API-09: one run is sent when it changes, its records included; others are not."""
    go = asyncio.Event()

    @served.binp.journal(operation="work")
    async def work() -> None:
        await go.wait()
        await served.binp.journal.record("said", x=1)

    @served.binp.journal(operation="other")
    async def other() -> None:
        pass

    running = asyncio.ensure_future(work())
    async with asyncio.timeout(60):
        while not (found := await served.binp.journal.history()):
            await asyncio.sleep(0.01)
    socket = await served.socket(f"/internal/journal/{found[0].id}/updates")
    await other()
    go.set()
    await running

    frames = [json.loads(await socket.text())]
    while frames[-1]["state"] == "running":
        frames.append(json.loads(await socket.text()))
    assert {frame["id"] for frame in frames} == {found[0].id}
    assert frames[-1]["records"][0]["params"] == {"x": 1}


async def test_services(served: Any) -> None:
    """API-10: each state of a service is sent as it was at that moment (N-12)."""
    socket = await served.socket(PATHS[2])

    @served.binp.service(name="s", restart=False)
    async def service() -> None:
        await asyncio.sleep(0.05)

    states = [json.loads(await socket.text())["status"] for _ in range(3)]
    assert states == ["starting", "running", "stopped"]


@pytest.mark.parametrize("path", PATHS)
async def test_gone_clients_leave_nothing(served: Any, path: str) -> None:
    """API-08, API-09, API-10: 25 clients that came and went leave no task and no subscriber (N-11)."""
    before = len(asyncio.all_tasks())
    sockets = [await served.socket(path) for _ in range(25)]
    async with asyncio.timeout(60):
        while served.binp.home.ring.waiting < 25:
            await asyncio.sleep(0.01)

        for socket in sockets:
            await socket.leave()

        # a task of the platform that was about to end may have ended in between
        while served.binp.home.ring.waiting or len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.01)
    assert served.binp.service.service_changed._sinks == []


@pytest.mark.parametrize("path", PATHS)
async def test_server_that_shuts_down(served: Any, path: str) -> None:
    """API-08, API-09, API-10: at shutdown every socket is closed at once with 1012 (N-11)."""
    socket = await served.socket(path)

    served.binp.home.ring.close()

    message = await socket.next()
    assert (message["type"], message["code"]) == ("websocket.close", 1012)
    async with asyncio.timeout(60):
        await socket.task
