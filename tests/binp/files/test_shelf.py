"""Files in their folder: how much there may be, whose they are, and what goes."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from binp.files import File, FilesFull, Limits, Shelf
from binp.files import _room as room

#: a process that takes a file in and says so
TAKING = """
import asyncio, pathlib, sys, time
from binp.files import File, Limits, Shelf
shelf = Shelf(pathlib.Path(sys.argv[1]), Limits(100, 1000))
draft = shelf.receive("x", None)
asyncio.run(draft.write(b"half"))
asyncio.run(shelf.keep(File(b"whole", name="y")))
print("here", flush=True)
time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "data.db.files"


def shelf_at(place: Path, size: int = 100, total: int = 1000) -> Shelf:
    return Shelf(place, Limits(size, total))


def left(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def age(place: Path, seconds: float = 1e6) -> None:
    for path in place.rglob("*"):
        os.utime(path, (time.time() - seconds,) * 2)


async def test_room_is_for_all_together(place: Path) -> None:
    """Files that come in at the same time have together no more bytes than there may be."""
    shelf = shelf_at(place, size=100, total=250)
    drafts = [shelf.receive("x", None) for _ in range(5)]
    taken, refused = [], []
    for draft in drafts:
        await draft.write(b"x" * 50)
    for draft in drafts:
        try:
            await draft.write(b"x" * 50)
            taken.append(await shelf.take(draft))
        except FilesFull:
            draft.discard()
            refused.append(draft)

    assert (len(taken), len(refused)) == (2, 3)
    # there is room again where some have gone
    for file in taken:
        shelf.forget(file.token or "")
    assert (await shelf.keep(File(b"x" * 100, name="x"))).size == 100


async def test_what_comes_in_elsewhere_takes_room(place: Path) -> None:
    """What another process takes in meanwhile is seen, also while a file is written."""
    here, there = shelf_at(place, total=100), shelf_at(place, total=100)
    draft = here.receive("x", None)
    await draft.write(b"x" * 20)
    await there.keep(File(b"x" * 70, name="x"))

    with pytest.raises(FilesFull):
        await draft.write(b"x" * 20)
    draft.discard()
    await there.keep(File(b"x" * 30, name="x"))


#: a process that takes files in until there is no room, and says how many bytes it has
FILLING = """
import asyncio, pathlib, sys
from binp.files import File, FilesFull, Limits, Shelf

async def main():
    shelf = Shelf(pathlib.Path(sys.argv[1]), Limits(2**20, int(sys.argv[2])))
    size = 0
    while True:
        draft = shelf.receive("x", None)
        try:
            for part in range(7):
                await draft.write(b"%d" % part * 60_000)
                await asyncio.sleep(0)
            size += (await shelf.take(draft)).size
        except FilesFull:
            break
    print(size, flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


@pytest.mark.parametrize("total", [5_000_000, 50_000_000])
async def test_several_processes_stay_within_the_limit(place: Path, total: int) -> None:
    """However many take files in at the same time: never are there more bytes than there may be."""
    filling = [sys.executable, "-c", FILLING, str(place), str(total)]
    processes = [subprocess.Popen(filling, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = asyncio.gather(*(asyncio.to_thread(one.stdout.readline) for one in processes if one.stdout))
    seen = []
    while not told.done():
        seen.append(sum(size for _, size, _ in room.look(place / "new")))
        await asyncio.sleep(0.001)
    sizes = [int(line) for line in await told]
    for one in processes:
        one.communicate()

    assert max(seen) <= total
    # nobody gave up while there was room for one more, besides what others were writing then
    assert total - 4 * 7 * 60_000 - 4 * room._AHEAD * (total > room._SCARCE) <= sum(sizes) <= total


async def test_one_that_is_stopped_holds_up_nobody(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who looks at the folder, and stays there, is not waited for without an end."""
    monkeypatch.setattr(room, "_PATIENCE", 0.05)
    shelf = shelf_at(place)
    await shelf.keep(File(b"x", name="x"))
    held = os.open(place / "new", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)

    assert (await shelf.keep(File(b"y", name="y"))).size == 1
    os.close(held)


async def test_what_is_had_in_advance_is_given_back(place: Path) -> None:
    """A file has the length of its content when it is taken."""
    shelf = Shelf(place, Limits(2**30, 2**30))
    draft = shelf.receive("x", None)
    await draft.write(b"x")

    assert draft.path.stat().st_size > 1
    file = await shelf.take(draft)
    assert (file.path.read_bytes(), file.size) == (b"x", 1)


async def test_what_goes_gives_room_at_once(place: Path) -> None:
    """A file that is being written has the room of those that have gone since it was begun."""
    shelf = shelf_at(place, total=100)
    old = await shelf.keep(File(b"x" * 60, name="x"))
    shelf.claim(old, 1)
    draft = shelf.receive("x", None)
    await draft.write(b"x" * 40)
    shelf.release(1)

    await draft.write(b"x" * 60)
    assert (await shelf.take(draft)).size == 100


@pytest.mark.parametrize("why", ["full", "elsewhere"])
async def test_what_cannot_be_moved_stays_for_its_run(
    place: Path, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a file cannot go to those of runs its run has it all the same, however long it takes, and it goes then."""
    shelf = shelf_at(place)
    file = await shelf.keep(File(b"x", name="x.txt"))
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if target.parent.name == "in":
            raise OSError(28, "No space left on device") if why == "full" else OSError(18, "Invalid cross-device link")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    shelf.claim(file, 7)
    age(place)
    shelf.sweep_new()
    shelf_at(place).sweep_new()

    assert file.read_bytes() == b"x"
    assert caplog.records[0].message.startswith("x.txt stays at ")
    shelf.release(8)
    assert file.read_bytes() == b"x"
    shelf.release(7)
    assert left(place) == []


async def test_nothing_is_taken_from_another_process(place: Path) -> None:
    """What another process has taken in, or is taking in, is its own however old it is; that of a dead one goes."""
    process = subprocess.Popen([sys.executable, "-c", TAKING, str(place)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "here\n"
    before = left(place)
    shelf = shelf_at(place)
    mine = await shelf.keep(File(b"x", name="x"))
    age(place)
    shelf.sweep_new()
    # two files and a lock of each
    assert len(before) == 3
    assert left(place) == sorted([*before, f"new/{mine.token}", f"new/{(mine.token or '').partition('.')[0]}.here"])

    process.kill()
    process.wait()
    process.stdout.close()
    shelf.sweep_new()
    assert [name for name in left(place) if not name.endswith(".here")] == [f"new/{mine.token}"]
    shelf.forget(mine.token or "")
    assert left(place) == []


async def test_what_this_process_has_forgotten_goes(place: Path) -> None:
    """A file of this process that nothing leads to is taken away when it is old."""
    shelf = shelf_at(place)
    mine = await shelf.keep(File(b"x", name="x"))
    lost = mine.path.with_name(f"{mine.path.name}0")
    lost.write_bytes(b"y")
    shelf.sweep_new()
    assert lost.is_file()
    age(place)
    shelf.sweep_new()
    assert not lost.exists()
    assert mine.read_bytes() == b"x"


async def test_sweeping_meets_those_who_come(place: Path) -> None:
    """While others sweep all the time no file that comes in is lost."""
    is_over = threading.Event()

    def sweep() -> None:
        other = shelf_at(place)
        while not is_over.is_set():
            other.sweep_new()

    sweeping = threading.Thread(target=sweep)
    sweeping.start()
    shelf = shelf_at(place)
    try:
        for number in range(100):
            file = await shelf.keep(File(b"x", name="x"))
            assert file.read_bytes() == b"x"
            shelf.claim(file, number)
            await asyncio.sleep(0)
            assert file.read_bytes() == b"x"
    finally:
        is_over.set()
        sweeping.join()
    assert left(place / "new") == []


async def test_a_result_that_cannot_be_kept_leaves_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run returned and cannot be moved to where results are is taken away."""
    shelf = shelf_at(place)

    def replace(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="No space"):
        await shelf.keep_result(File(b"x", name="x"), 1)
    assert left(place) == []
