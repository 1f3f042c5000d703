"""Signs of life cost the disk nothing, and are found when their giver was killed."""

import os

import pytest

from binp.store import open_store
from binp.store.contract import StoreError
from binp.store.sqlite import _sign
from binp.store.sqlite._owner import OwnerLock
from binp.store.sqlite._sign import Sign

LONG_AGO = 1_000_000_000 * 10**9


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """A folder that stands for the memory."""
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr(_sign, "_MEMORY", folder)
    return folder


@pytest.fixture
def lock(tmp_path):
    """The file of a lock, last written long ago."""
    path = tmp_path / "data.db.owner"
    path.write_text("{}")
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return path


@pytest.fixture
def opened(lock):
    """Opens the lock's file, as each process does for itself."""
    files = []

    def again():
        files.append(os.open(lock, os.O_RDWR))
        return files[-1]

    yield again
    for file in files:
        os.close(file)


def test_a_sign_is_found_by_another_and_not_written_to_the_disk(memory, lock, opened):
    """N-13: who comes after one that was killed knows when it was alive, and no file was touched for it."""
    giver = Sign(opened())
    giver.give()

    assert lock.stat().st_mtime_ns == LONG_AGO
    (file,) = memory.iterdir()
    assert Sign(opened()).read() == file.stat().st_mtime_ns // 1000
    giver.abandon()
    assert list(memory.iterdir()) == [file]


def test_nothing_is_left_of_one_that_ended(memory, lock, opened):
    """The sign goes with the lock; the next one begins anew."""
    sign = Sign(opened())
    sign.give()
    sign.end()

    assert list(memory.iterdir()) == []
    assert Sign(opened()).read() == LONG_AGO // 1000

    # one that was killed, and one that came after it and had no time to give a sign
    killed = Sign(opened())
    killed.give()
    killed.abandon()
    Sign(opened()).end()
    assert list(memory.iterdir()) == []


def test_the_disk_has_one_now_and_then(memory, lock, opened, monkeypatch):
    """What is in memory is gone after a power cut: about a minute is not known then."""
    monkeypatch.setattr(_sign, "_RARELY", 0.0)
    sign = Sign(opened())
    sign.give()

    assert lock.stat().st_mtime_ns > LONG_AGO
    sign.end()


def test_without_memory_it_is_on_the_disk(memory, lock, opened):
    """Where a system has no files in memory, each sign is one of the file."""
    memory.rmdir()
    sign = Sign(opened())
    sign.give()

    assert lock.stat().st_mtime_ns > LONG_AGO
    assert sign.read() == lock.stat().st_mtime_ns // 1000
    sign.end()


def test_what_somebody_else_put_there_is_not_used(memory, lock, opened, tmp_path):
    """In a folder that all may write to, a link to another file changes nothing there, and tells nothing."""
    first = Sign(opened())
    first.give()
    (file,) = memory.iterdir()
    first.end()
    other = tmp_path / "other"
    other.touch()
    os.utime(other, ns=(2 * LONG_AGO, 2 * LONG_AGO))
    file.symlink_to(other)

    sign = Sign(opened())
    assert sign.read() == LONG_AGO // 1000
    sign.give()

    assert other.stat().st_mtime_ns == 2 * LONG_AGO
    assert lock.stat().st_mtime_ns > LONG_AGO
    sign.end()


def test_one_that_was_cleared_away_is_made_again(memory, lock, opened):
    """What takes away the files of a user who logs out does not end the signs."""
    sign = Sign(opened())
    sign.give()
    (file,) = memory.iterdir()
    file.unlink()
    sign.give()

    assert file.exists()
    sign.end()
    assert not file.exists()


def test_a_lock_that_nobody_noted_has_no_sign(memory, lock, opened):
    """An empty file was just made: nobody was alive."""
    lock.write_text("")

    assert Sign(opened()).read() == 0


def test_who_only_passes_by_leaves_the_last_sign(memory, lock, opened):
    """`binp migrate` and its like hold the lock for a moment, and are not the one who ends what was left behind."""
    giver = Sign(opened())
    giver.give()
    sign = giver.read()
    giver.abandon()
    for _ in range(2):
        passing = OwnerLock(lock.with_name("data.db"))
        assert passing.take()
        assert passing.last_sign == sign
        passing.release()


async def test_an_opening_that_fails_leaves_the_last_sign(memory, lock):
    """N-13: on a disk that is full for a while, runs that were interrupted still end when their process did."""
    database = lock.with_name("data.db")
    database.write_bytes(b"this is no database, and is longer than the header of one is" * 20)
    for _ in range(2):
        store = open_store(str(database))
        with pytest.raises(StoreError, match="not a database"):
            await store.open()
        assert lock.stat().st_mtime_ns == LONG_AGO

    database.unlink()
    await store.open()
    assert store._engine._lock.last_sign == LONG_AGO // 1000
    await store.close()
    assert not lock.exists()
    assert list(memory.iterdir()) == []


def test_what_nobody_takes_over_is_taken_away(memory, lock, opened):
    """Signs of databases that are no more do not pile up; other files, and young signs, stay."""
    old, young = (memory / f"binp-{os.geteuid()}-1-{name}" for name in ("old", "young"))
    other = memory / "other"
    for file in (old, young, other):
        file.touch()
    for file in (old, other):
        os.utime(file, ns=(LONG_AGO, LONG_AGO))
    sign = Sign(opened())
    sign.give()
    sign.end()

    assert sorted(memory.iterdir()) == sorted([young, other])
