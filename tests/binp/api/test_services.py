"""Services over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest


@pytest.fixture
async def service(served: Any) -> Any:
    """A service that runs until it is stopped."""

    @served.binp.service(name="poll/er", description="polls", restart=False)
    async def poller() -> None:
        await asyncio.Event().wait()

    return served


async def status(service: Any, wanted: str) -> None:
    async with asyncio.timeout(60):
        while (await service.http.get("/internal/services/")).json()[0]["status"] != wanted:
            await asyncio.sleep(0.01)


async def test_list(service: Any) -> None:
    """API-06: services are listed as they are."""
    await status(service, "running")

    (info,) = (await service.http.get("/internal/services/")).json()

    assert (info["name"], info["description"], info["autostart"], info["restart"]) == ("poll/er", "polls", True, False)


async def test_control(service: Any) -> None:
    """API-07: a service is stopped and started; the answer is null (N-17)."""
    await status(service, "running")

    stopped = await service.http.put("/internal/service/poll/er", json={"running": False})
    await status(service, "stopped")
    started = await service.http.put("/internal/service/poll%2Fer", json={"running": True})
    await status(service, "running")

    assert (stopped.status_code, stopped.json(), started.json()) == (200, None, None)


async def test_who_wanted_it_is_kept(service: Any) -> None:
    """The one who stops a service is kept with what is wanted of it, before the answer: no crash undoes it then."""
    await status(service, "running")
    store = service.binp.home.store

    for number in range(20):
        await service.http.put("/internal/service/poll/er", json={"running": bool(number % 2)})
        rows = store._point.connection.execute("SELECT desired, desired_by FROM service").fetchall()
        assert rows == [(number % 2, "token")]


async def test_unknown(service: Any) -> None:
    """API-07: an unknown service is a 404 (N-16)."""
    answer = await service.http.put("/internal/service/nope", json={"running": True})

    assert (answer.status_code, answer.json()["detail"]) == (404, "service nope not found")
    near = await service.http.put("/internal/service/poll", json={"running": True})
    assert near.json()["fix"] == "did you mean 'poll/er'?"


@pytest.mark.parametrize("body", [None, {}, {"running": "soon"}, {"running": True, "now": 1}])
async def test_control_that_makes_no_sense(service: Any, body: Any) -> None:
    """API-07: what is no control is a 422."""
    assert (await service.http.put("/internal/service/poll/er", json=body)).status_code == 422
