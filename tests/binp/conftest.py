"""Fixtures for tests of the platform: a BINP on a database of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from binp import BINP


@pytest.fixture
def db(tmp_path: Path) -> str:
    """URL of a database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'data.db'}"


@pytest.fixture
def loop_limit() -> float:
    """Seconds that a loop may be late before that is logged; on a busy machine each is late now and then."""
    return 60.0


@pytest.fixture(autouse=True)
def _patient_watchdog(monkeypatch: pytest.MonkeyPatch, loop_limit: float) -> None:
    monkeypatch.setattr("binp.runs._watchdog._LIMIT", loop_limit)


@pytest.fixture(autouse=True)
def _patient_questions(patient_questions: None) -> None:
    """For all tests here."""


@pytest.fixture
async def binp(db: str) -> AsyncIterator[BINP]:
    """A BINP that is closed after the test."""
    made = BINP(db=db)
    yield made
    await made.home.close()


@pytest.fixture
def add_keeper() -> Callable[[BINP, list[str]], None]:
    """Give a BINP a service that writes down when it begins, and when it is stopped."""

    def add(binp: BINP, seen: list[str]) -> None:
        @binp.service
        async def keeper() -> None:
            seen.append("service")
            try:
                await asyncio.Event().wait()
            finally:
                seen.append("service stopped")

    return add
