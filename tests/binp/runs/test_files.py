"""Files that are given to runs and returned by them: what is said where they cannot be kept, and what is left then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from binp import BINP, File
from binp.errors import BinpError
from binp.files import FilesFull
from binp.store.contract import RunQuery, State


def files_of(db: str) -> Path:
    return Path(db.removeprefix("sqlite:///") + ".files")


def kept(db: str) -> list[Path]:
    return [path for path in files_of(db).rglob("*") if path.is_file()]


async def states(binp: BINP) -> list[State]:
    return [run.state for run in (await binp.home.store.find_runs(RunQuery())).runs]


@pytest.fixture
def join(binp: BINP) -> Any:
    """An action that takes files."""

    @binp.action(name="join")
    async def join(one: File, two: File) -> int:
        return len(one.read_bytes() + two.read_bytes())

    return join


async def test_a_file_for_which_there_is_no_place(binp: BINP, join: Any, db: str) -> None:
    """Where no folder can be made the action is not started, and it is said which file cannot be kept, and why."""
    files_of(db).write_text("in the way")

    with pytest.raises(BinpError, match=r"a.txt cannot be kept: (Not a directory|File exists)"):
        await binp.action.start("join", one=File(b"1", name="a.txt"), two=File(b"2", name="b.txt"))
    assert await states(binp) == []

    files_of(db).unlink()
    started = await binp.action.start("join", one=File(b"1", name="a.txt"), two=File(b"23", name="b.txt"))
    assert await started.result() == 3


async def test_the_second_of_two_files_for_which_there_is_no_room(binp: BINP, join: Any, db: str) -> None:
    """Nothing is left of the first one, and nothing was started."""
    await binp.home.ensure()
    binp.home.runs.files.shelf.limits = type(binp.home.runs.files.shelf.limits)(100, 100)

    with pytest.raises(FilesFull):
        await binp.action.start("join", one=File(b"x" * 60, name="a"), two=File(b"x" * 60, name="b"))

    assert await states(binp) == []
    assert kept(db) == []


async def test_a_file_that_is_returned_and_cannot_be_kept(binp: BINP, db: str) -> None:
    """The run has failed, and says why: its function did what it was to do, and nobody has the file."""

    @binp.action(name="export")
    async def export() -> File:
        files_of(db).write_text("in the way")
        return File(b"content", name="out.csv")

    started = await binp.action.start("export")
    with pytest.raises(Exception, match=r"Not a directory|File exists"):
        await started.result()

    run = (await binp.home.store.find_runs(RunQuery())).runs[0]
    assert run.state is State.FAILED
    assert "Not a directory" in (run.error or "") or "File exists" in (run.error or "")


async def test_the_second_of_two_files_that_are_returned(binp: BINP, db: str) -> None:
    """Where one of several cannot be kept none is, and the run has failed."""

    @binp.action(name="export")
    async def export() -> dict[str, File]:
        return {"a": File(b"x" * 60, name="a"), "b": File(b"y" * 60, name="b")}

    await binp.home.ensure()
    binp.home.runs.files.shelf.limits = type(binp.home.runs.files.shelf.limits)(100, 100)
    started = await binp.action.start("export")
    with pytest.raises(FilesFull):
        await started.result()

    assert await states(binp) == [State.FAILED]
    assert kept(db) == []
