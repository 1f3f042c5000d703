"""Commands that are given where things run, and the same from a second process on the same file."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("commanding.py")


@pytest.fixture(scope="session")
def commanding() -> ModuleType:
    """The module of that name."""
    spec = importlib.util.spec_from_file_location("commanding", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def process() -> Iterator[subprocess.Popen[str]]:
    """The second process; one for all tests."""
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


class Elsewhere:
    """Gives its commands in the second process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __getattr__(self, name: str) -> Any:
        async def command(*arguments: Any) -> Any:
            return await asyncio.to_thread(self._ask, [name, *arguments])

        return command

    def _ask(self, command: list[Any]) -> Any:
        # in a thread: the process needs this one, which owns the file, to go on
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        assert "error" not in said, said["error"]
        return said["value"]


@pytest.fixture
async def things(commanding: ModuleType, tmp_path: Path) -> AsyncIterator[Any]:
    """Things that run in this process, which is served and leads."""
    made = commanding.Things(str(tmp_path / "data.db"))
    await made.binp.home.open(serving=True)
    made.binp.home.lead()
    yield made
    await made.binp.home.close()
    assert made.alive == []


@pytest.fixture(params=["here", "elsewhere"])
async def hand(
    request: pytest.FixtureRequest, things: Any, commanding: ModuleType, tmp_path: Path
) -> AsyncIterator[Any]:
    """Gives commands, in the process where things run, or in another one."""
    if request.param == "here":
        yield commanding.Commands(things.binp)
        return
    elsewhere = Elsewhere(request.getfixturevalue("process"))
    await elsewhere.open(str(tmp_path / "data.db"))
    yield elsewhere
    # before the one that leads ends: nothing is taken over
    await elsewhere.close()
