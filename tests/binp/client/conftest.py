"""A database that a server may say to serve."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "data.db"
    path.touch()
    return path
