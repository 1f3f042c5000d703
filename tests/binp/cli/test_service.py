"""What the command line says of a service."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from binp.cli._service import _doing, _tell_why


@pytest.mark.parametrize(
    ("status", "enabled", "waits_for", "text"),
    [
        ("running", True, [], "running"),
        ("stopped", True, [], "stopped"),
        ("stopped", False, [], "disabled"),
        ("running", False, [], "running"),
        ("waiting", True, ["db", "cache"], "waiting for db, cache"),
    ],
)
def test_what_it_is_doing(status: str, enabled: bool, waits_for: list[str], text: str) -> None:
    """A disabled service is listed as such until it is started; one that waits says for whom."""
    assert _doing({"status": status, "enabled": enabled, "waits_for": waits_for}) == text


def test_one_that_is_restarted_says_when() -> None:
    """The delay may be a minute by now: the list says how long it is still."""
    soon = (datetime.now(UTC) + timedelta(seconds=3000)).isoformat()
    ago = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
    one = {"status": "restarting", "enabled": True, "waits_for": []}

    assert re.fullmatch(r"restarting in (50 min|4\d min( \d+ s)?)", _doing({**one, "next_start": soon}))
    assert _doing({**one, "next_start": ago}) == "restarting in 0 s"
    # an older server does not say when
    assert _doing(one) == "restarting"


@pytest.mark.parametrize(
    ("one", "told"),
    [
        ({"status": "restarting", "error": "OSError: no\nmore", "failed_run": 7}, ["OSError: no", "journal show 7"]),
        ({"status": "failed", "error": "OSError: no"}, ["OSError: no"]),
        ({"status": "stuck", "error": "OSError: no"}, ["has not returned"]),
        ({"status": "starting", "error": None}, []),
    ],
)
def test_one_that_does_not_obey_says_why(
    capsys: pytest.CaptureFixture[str], one: dict[str, Any], told: list[str]
) -> None:
    """What keeps a service from running is told with the run that has its traceback."""
    _tell_why(one)
    lines = capsys.readouterr().err.splitlines()

    assert len(lines) == len(told)
    assert all(part in line for part, line in zip(told, lines, strict=True))
