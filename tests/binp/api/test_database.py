"""How long runs are kept, and what the database takes up, over HTTP."""

from __future__ import annotations

from binp.settings import KeepSettings, RetentionSettings


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
