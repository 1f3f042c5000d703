"""Schedules over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest


@pytest.fixture
def night(served: Any) -> Any:
    """A schedule that does not come by itself while the test runs."""

    @served.binp.schedule("0 3 1 1 *", tz="Europe/Berlin", name="at/night", args={"room": "bath"}, grace=timedelta(0))
    @served.binp.action(name="heat")
    async def heat(room: str) -> str:
        """Heat a room."""
        return room

    return served


async def test_list(night: Any) -> None:
    """Schedules are listed with what they start, in words, and with their next moments in both zones."""
    (info,) = (await night.http.get("/internal/schedules/")).json()

    assert (info["name"], info["operation"], info["description"]) == ("at/night", "heat", "Heat a room.")
    assert (info["arguments"], info["paused"], info["problem"]) == ({"room": "bath"}, False, None)
    assert info["words"] == "At 03:00 on January 1 (Europe/Berlin)"
    assert len(info["next"]) == 10
    assert (info["next"][0]["at"][10:], info["next"][0]["local"][10:]) == ("T02:00:00Z", "T03:00:00+01:00")


async def test_pause(night: Any) -> None:
    """Pausing and resuming take effect at once, and say who did it."""
    paused = await night.http.put("/internal/schedule/at/night", json={"paused": True})
    (info,) = (await night.http.get("/internal/schedules/")).json()
    assert (paused.status_code, paused.json(), info["paused"], bool(info["paused_by"])) == (200, None, True, True)
    await night.http.put("/internal/schedule/at%2Fnight", json={"paused": False})
    (info,) = (await night.http.get("/internal/schedules/")).json()
    assert info["paused"] is False


async def test_fire(night: Any) -> None:
    """Out of turn it is a run like any other, started by whoever asked."""
    answer = await night.http.post("/internal/schedule/at/night/runs")
    assert answer.status_code == 202
    run = await night.binp.home.runs.watch.ended(answer.json()["run"])
    assert (run.operation, run.trigger, run.result, run.due) == ("heat", "api", '"bath"', None)
    assert answer.headers["location"] == answer.json()["url"]


async def test_fire_once(night: Any) -> None:
    """Sent again with its key, nothing is started: the answer is the first run."""
    url, headers = "/internal/schedule/at/night/runs", {"idempotency-key": "k"}
    first = await night.http.post(url, headers=headers)
    same = await night.http.post(url, headers=headers)
    assert (same.status_code, same.json()) == (202, first.json())
    assert (await night.http.post(url)).json()["run"] != first.json()["run"]


async def test_unknown(night: Any) -> None:
    """An unknown schedule is a 404 with a suggestion; an unknown field is refused."""
    for answer in (
        await night.http.put("/internal/schedule/at/nigth", json={"paused": True}),
        await night.http.post("/internal/schedule/at/nigth/runs"),
    ):
        assert (answer.status_code, answer.json()["detail"]) == (404, "schedule at/nigth not found")
        assert answer.json()["fix"] == "did you mean 'at/night'?"
    assert (await night.http.put("/internal/schedule/at/night", json={"pausd": True})).status_code == 422
