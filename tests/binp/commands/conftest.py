"""Commands that are given where things run, and the same from a second process on the same file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from binp.runs import _watchdog
from binp.store.contract import Run, State

PROGRAM = Path(__file__).with_name("commanding.py")


@pytest.fixture
def loop_limit() -> float:
    """As it is: an action blocks its loop until that is told."""
    return _watchdog._LIMIT


@pytest.fixture(scope="session")
def commanding(load_file: Callable[[Path], ModuleType]) -> ModuleType:
    """The module of that name."""
    return load_file(PROGRAM)


@contextlib.contextmanager
def another() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(PROGRAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.fixture(scope="session")
def process() -> Iterator[subprocess.Popen[str]]:
    """The second process; one for all tests."""
    with another() as running:
        yield running


class Elsewhere:
    """Gives its commands in another process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._asking = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        async def command(*arguments: Any) -> Any:
            return await asyncio.to_thread(self._ask, [name, *arguments])

        return command

    def _ask(self, command: list[Any]) -> Any:
        # in a thread: the process needs this one, which owns the file, to go on
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self._asking:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            said = json.loads(self.process.stdout.readline())
        assert "error" not in said, said["error"]
        return said["value"]


@contextlib.asynccontextmanager
async def served(things: Any) -> AsyncIterator[Any]:
    """Have *things* served, in this process, and see that nothing of them is left alive."""
    await things.binp.home.open(serving=True)
    things.binp.home.lead()
    yield things
    # whatever has gone wrong, nobody waits for it
    things.binp.home.hurry()
    await things.binp.home.close()
    assert things.alive == []


@pytest.fixture
async def things(commanding: ModuleType, tmp_path: Path) -> AsyncIterator[Any]:
    """Things that run in this process, which is served and leads."""
    async with served(commanding.Things(str(tmp_path / "data.db"))) as made:
        yield made


@pytest.fixture
async def here(commanding: ModuleType, things: Any) -> Any:
    """Gives commands in the process where things run."""
    return commanding.Commands(things)


@pytest.fixture
async def there(process: subprocess.Popen[str], things: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """Gives commands in the second process; of services nothing is ever alive there."""
    elsewhere = Elsewhere(process)
    await elsewhere.open(str(tmp_path / "data.db"))
    yield elsewhere
    # before the one that leads ends: nothing is taken over
    await elsewhere.close()


@pytest.fixture
async def idle(
    request: pytest.FixtureRequest, process: subprocess.Popen[str], things: Any, tmp_path: Path
) -> AsyncIterator[Any]:
    """Gives commands in the second process, which serves nothing; its parameter says what it does."""
    elsewhere = Elsewhere(process)
    await elsewhere.open(str(tmp_path / "data.db"), False, request.param)
    yield elsewhere
    await elsewhere.close()


@pytest.fixture(params=["here", "there"])
def hand(request: pytest.FixtureRequest, things: Any) -> Any:
    """Gives commands, in the process where things run, or in another one."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def is_patient() -> bool:
    """Whether there are things that a shutdown waits for."""
    return False


@pytest.fixture
async def leader(tmp_path: Path, is_patient: bool) -> AsyncIterator[Any]:
    """Gives commands in another process, which was there first and leads."""
    with another() as running:
        elsewhere = Elsewhere(running)
        await elsewhere.open(str(tmp_path / "data.db"), is_patient)
        yield elsewhere


@pytest.fixture
async def heir(commanding: ModuleType, leader: Any, tmp_path: Path, is_patient: bool) -> AsyncIterator[Any]:
    """Things in this process, which is served, and takes over when the leader has gone."""
    async with served(commanding.Things(str(tmp_path / "data.db"), is_patient)) as made:
        yield made


class History:
    """What is in the history of things, wherever it was executed."""

    def __init__(self, until: Any) -> None:
        self._until = until

    async def ended(self, things: Any, run: int) -> Run:
        """The run when it has ended."""
        async with asyncio.timeout(200):
            await things.binp.home.runs.watch.ended(run)
        return await self.now(things, run)

    async def now(self, things: Any, run: int) -> Run:
        """The run as it is now."""
        return await things.binp.home.store.get_run(run)  # type: ignore[no-any-return]  # things are of no type

    async def in_state(self, things: Any, run: int, state: State) -> None:
        """Wait until the run is in that state."""

        async def is_so() -> bool:
            return (await self.now(things, run)).state is state

        await self._until(is_so)


@pytest.fixture
def history(until: Any) -> History:
    """Looks at runs."""
    return History(until)
