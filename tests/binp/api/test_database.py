"""How long runs are kept, and what the database takes up, over HTTP."""

from __future__ import annotations

import asyncio

import pytest

from binp.settings import KeepSettings, RetentionSettings
from binp.store.contract import StoreError
from binp.store.sqlite import _writer


async def test_what_is_kept_is_shown(served):
    """The rules as they count, and what there is; what a rule leaves out is that of all."""
    served.binp.home.settings.__dict__["retention"] = RetentionSettings(
        days=0, operations={"poll": KeepSettings(runs=7)}, labels={"audit": KeepSettings(days=4000)}
    )

    answer = await served.http.get("/internal/retention")

    assert answer.status_code == 200
    found = answer.json()
    assert found["general"] == {"days": None, "failed_days": None, "runs": 1_000_000}
    assert found["operations"] == {"poll": {"days": None, "failed_days": None, "runs": 7}}
    assert found["labels"] == {"audit": {"days": 4000.0, "failed_days": None, "runs": None}}
    assert found["size"] == 2 * 1024**3
    assert (found["run_count"], found["oldest_at"], found["erased"], found["erased_at"]) == (0, None, 0, None)
    assert found["problem"] is None
    assert found["used"] > 0


async def test_the_health_of_the_database_is_shown(served, monkeypatch):
    """It is 200 while writes are taken, and 503 with the reason while they are not; what is written fails with it."""
    monkeypatch.setattr(_writer, "_PROBE", 0.01)
    monkeypatch.setattr(_writer, "PATIENCE", 0.0)
    fine = {"state": "ok", "reason": None, "fix": None, "since": None, "passes": False, "role": "owner", "queued": 0}
    # what was written as it began may be queued still
    async with asyncio.timeout(60):
        while (answer := await served.http.get("/internal/health")).json() != fine:
            assert (answer.status_code, answer.json()["state"]) == (200, "ok")
            await asyncio.sleep(0.01)
    assert answer.status_code == 200

    connection = served.binp.home.store._engine._writer.connection
    connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match="cannot be written to"):
        await served.binp.kv.set(key="value")
    answer = await served.http.get("/internal/health")

    assert answer.status_code == 503
    found = answer.json()
    assert found["state"] == "degraded"
    assert found["reason"].startswith("the database cannot be written to")
    assert found["fix"] == "make the file and its directory writable"
    assert found["since"].endswith("Z")
    connection.execute("PRAGMA query_only = 0")
    while (await served.http.get("/internal/health")).json() != fine:
        await asyncio.sleep(0.01)


async def test_a_line_that_is_none_of_ours_is_named(served):
    """A line that nobody exported is refused with its number, and nothing of what came with it is taken in."""
    good = '{"kind":"kv","namespace":"n","key":"k","value":"1","module":null,"version":1,"updated":1}'
    bad = {
        "no JSON": "this is not a line of an export: 'no JSON'",
        '{"kind":"cake"}': "a line of an export is of the kind 'cake', which is not known here",
        '{"kind":"kv","namespace":"n","key":"k","value":"1","updated":1}': "a line of the kind 'kv' has no version",
        '{"kind":"kv","namespace":"n","key":"j","age":1}': "a line of the kind 'kv' has age, which is not known here",
    }
    for line, detail in bad.items():
        answer = await served.http.post("/internal/import", json={"lines": [good, line]})

        assert answer.status_code == 422
        problem = answer.json()
        assert (problem["type"], problem["detail"], problem["line"]) == ("urn:binp:bad-line", detail, 2)
        assert await served.binp.kv.select("n").get("k") is None
