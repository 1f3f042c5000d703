"""Fixtures for tests of the platform: a BINP on a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from binp import BINP


@pytest.fixture
def db(tmp_path: Path) -> str:
    """URL of a database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'data.db'}"


@pytest.fixture
async def binp(db: str) -> AsyncIterator[BINP]:
    """A BINP that is closed after the test."""
    made = BINP(db=db)
    yield made
    await made.home.close()
