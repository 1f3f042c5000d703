"""A disk that refuses for a while, as SQLite's own calls of the system see it."""

import asyncio
import contextlib
import ctypes
import ctypes.util
import errno
import os
import sqlite3

import pytest

from binp.store import open_store
from binp.store.contract import BeginRun, EndRun, SetKeys, State, StoreError
from binp.store.sqlite import _checkpoint, _writer


def key(name="k", value="1"):
    return SetKeys(namespace="n", items=((name, value),), at=1)


class Vfs(ctypes.Structure):
    """What https://www.sqlite.org/c3ref/vfs.html says."""

    _fields_ = (
        *((name, ctypes.c_int) for name in ("version", "size", "longest")),
        *((name, ctypes.c_void_p) for name in ("next", "name", "data", "open", "delete", "access", "full")),
        *((name, ctypes.c_void_p) for name in ("dlopen", "dlerror", "dlsym", "dlclose", "random", "sleep", "time")),
        *((name, ctypes.c_void_p) for name in ("last_error", "time64", "set_call", "get_call", "next_call")),
    )


#: write, pwrite: they take a file, a place in memory, a size, and the latter an offset
_WRITE = ctypes.CFUNCTYPE(ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, use_errno=True)
_PWRITE = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64, use_errno=True
)
_TRUNCATE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int64, use_errno=True)


class Disk:
    """Stands between SQLite and the system."""

    def __init__(self, library):
        self.error = None
        #: refuse only files whose names end so
        self.ending = ""
        #: calls that were refused
        self.refused = 0
        self._libc = ctypes.CDLL(None, use_errno=True)
        library.sqlite3_vfs_find.restype = ctypes.POINTER(Vfs)
        self._vfs = library.sqlite3_vfs_find(None)
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Vfs), ctypes.c_char_p, ctypes.c_void_p)
        self._set = kind(self._vfs.contents.set_call)
        self._kept = []
        for name, shape in (("write", _WRITE), ("pwrite", _PWRITE), ("pwrite64", _PWRITE), ("ftruncate", _TRUNCATE)):
            self._stand_before(name, shape)

    def _stand_before(self, name, shape):
        honest = getattr(self._libc, name)
        honest.argtypes, honest.restype = shape._argtypes_, shape._restype_

        def call(file, *arguments):
            if self.error is not None and os.readlink(f"/proc/self/fd/{file}").endswith(self.ending):
                self.refused += 1
                ctypes.set_errno(self.error)
                return -1
            return honest(file, *arguments)

        function = shape(call)
        self._kept.append(function)
        # it is not there where SQLite was built without it
        self._set(self._vfs, name.encode(), ctypes.cast(function, ctypes.c_void_p))

    def end(self):
        for name in ("write", "pwrite", "pwrite64", "ftruncate"):
            self._set(self._vfs, name.encode(), None)


@pytest.fixture
def disk():
    import _sqlite3

    name = ctypes.util.find_library("sqlite3")
    if name is None or not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs a SQLite that is a library of the system, and /proc")
    with open("/proc/self/maps") as maps:
        loaded = maps.read()
    if "libsqlite3" not in loaded:
        pytest.skip(f"SQLite is inside of {_sqlite3.__file__}, where its calls cannot be seen")
    made = Disk(ctypes.CDLL(name))
    yield made
    made.end()


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(_writer, "_PROBE", 0.01)


@pytest.mark.parametrize("error", [errno.EROFS, errno.EIO, errno.ENOSPC])
async def test_a_disk_that_refuses_for_a_while(path, disk, hurry, writes_of, error, until):
    """Writes wait and are done when it takes them again, without a restart; reads go on; nothing is lost or twice."""
    store = open_store(str(path))
    await store.open()
    writes = writes_of(store)
    before = writes.begin()
    await store.write(before)
    await store.write(key("kept"))
    disk.error = error
    begin = writes.begin()
    acks = [store.write(begin), store.write(writes.record(begin.id, 1)), store.write(writes.end(begin.id))]
    await until(lambda: store.health.is_degraded)

    assert store.health.passes
    assert disk.refused
    assert (await store.get_key("n", "kept")).value == "1"
    assert (await store.get_run(before.id)).state is State.RUNNING
    assert await store.get_run(begin.id) is None
    disk.error = None
    assert [await ack for ack in acks] == [True, True, True]
    await until(lambda: not store.health.reason)
    found = await store.get_run(begin.id)
    assert (found.state, found.records) == (State.SUCCEEDED, 1)
    await store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*), max(version) FROM kv").fetchone() == (1, 1)


@pytest.mark.parametrize("by", ["this", "another"])
async def test_a_run_that_ends_while_the_disk_refuses(path, disk, hurry, monkeypatch, there, until, by):
    """Whoever waits is told that its end is not written; it is as soon as the disk takes it, and not open for ever."""
    monkeypatch.setattr(_writer, "PATIENCE", 0.0)
    store = open_store(str(path), group="g")
    await store.open()
    node = await asyncio.to_thread(there.ask, "open", str(path)) if by == "another" else store.node
    run = store.new_id()
    await store.write(BeginRun(id=run, operation="o", trigger="call", node=node, at=1))
    end = EndRun(id=run, state=State.FAILED, at=2, duration=1, error="it was so")

    disk.error = errno.ENOSPC
    if by == "another":
        told = await asyncio.to_thread(there.ask, "refused", end)
    else:
        with pytest.raises(StoreError) as caught:
            await store.write(end)
        told = caught.value.what
    assert "there is no space left for the database" in told
    assert (await store.get_run(run)).state is State.RUNNING

    disk.error = None
    async with asyncio.timeout(200):
        while (found := await store.get_run(run)).state is State.RUNNING:
            await asyncio.sleep(0.01)
    assert (found.state, found.error) == (State.FAILED, "it was so")
    await store.close()


async def test_closing_while_the_disk_refuses(path, disk, hurry, until):
    """It ends with what it could not do told, and what was acknowledged is there at the next start."""
    store = open_store(str(path))
    await store.open()
    await store.write(key("kept"))
    disk.error = errno.EROFS
    ack = store.write(key("lost"))
    await until(lambda: store.health.is_degraded)
    await store.close()

    with pytest.raises(StoreError):
        await ack
    disk.error = None
    await store.open()
    assert [(row.key, row.value) for row in await store.list_keys("n")] == [("kept", "1")]
    await store.close()


async def test_a_log_that_cannot_be_brought_into_the_file(path, disk, hurry, monkeypatch, caplog, until):
    """Where only the file cannot grow, the log keeps what is acknowledged; that it grows is said until it is over."""
    monkeypatch.setattr(_checkpoint, "_PAGES", 10)
    monkeypatch.setattr(_checkpoint, "_AGAIN", 0.05)
    monkeypatch.setattr(_checkpoint, "_LOOK", 0.01)
    store = open_store(str(path))
    await store.open()
    disk.error, disk.ending = errno.ENOSPC, "data.db"
    size = path.stat().st_size
    for number in range(50):
        assert await store.write(key(f"k{number}", f'"{"x" * 5000}"')) is True
    await until(lambda: disk.refused)
    await until(lambda: "stays in the write-ahead log, which grows" in caplog.text)

    assert "there is no space left for the database" in caplog.text
    assert path.stat().st_size == size
    assert not store.health.reason
    assert (await store.get_usage()).problem.startswith("what is committed stays in the write-ahead log, which grows: ")
    assert len(await store.list_keys("n")) == 50
    disk.error = None
    await until(lambda: path.stat().st_size > size)
    await until(lambda: store._engine.problem is None)
    await store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM kv").fetchone() == (50,)


async def test_a_disk_that_has_room_for_the_log_alone(small_disk, hurry, monkeypatch, caplog, until):
    """What fits into the log is acknowledged although the file cannot grow, and kept; what is beyond is refused."""
    monkeypatch.setattr(_checkpoint, "_PAGES", 10)
    monkeypatch.setattr(_checkpoint, "_AGAIN", 0.05)
    monkeypatch.setattr(_checkpoint, "_LOOK", 0.01)
    monkeypatch.setattr(_writer, "PATIENCE", 0.0)
    path = small_disk / "data.db"
    store = open_store(str(path))
    await store.open()
    large = '"' + "x" * 20_000 + '"'
    for number in range(12):
        await store.write(key("same", large[:-1] + f'{number}"'))
    # all of the log is in the file, so that its own room is used again
    await until(lambda: store._engine._writer._housekeeping.indexing.due is None)
    await asyncio.to_thread(store._engine._writer._checkpoints.carry)
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    kept, error = [], None
    while error is None:
        try:
            await store.write(key(f"k{len(kept)}", large))
            kept.append(f"k{len(kept)}")
        except StoreError as refused:
            error = refused
    assert "there is no space left for the database" in error.what
    assert kept
    (small_disk / "filler").unlink()
    await until(lambda: not store.health.reason)
    assert await store.write(key("last")) is True
    await until(lambda: store._engine.problem is None)
    await store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = {name for (name,) in connection.execute("SELECT key FROM kv")}
    assert found == {"same", "last", *kept}
