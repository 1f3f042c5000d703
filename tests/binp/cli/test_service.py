"""What the command line says of a service."""

from __future__ import annotations

import pytest

from binp.cli._service import _doing


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
