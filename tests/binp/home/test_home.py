"""The home: one database for all parts, opened late, closed in order."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import warnings

import pytest

from binp import BINP, KV, Journals
from binp.home import DifferentDatabases, HomeClosed


def test_construction_opens_nothing(tmp_path, monkeypatch):
    """Construction and decoration open no file, thread, socket or environment variable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_URL", "nonsense")
    before = set(threading.enumerate())
    binp = BINP()

    @binp.action
    @binp.journal
    async def op(x: int):
        pass

    @binp.service
    async def poller():
        pass

    binp.kv.select("other")

    assert list(tmp_path.iterdir()) == []
    assert set(threading.enumerate()) <= before


def test_parts_on_different_databases():
    """Parts bound to different databases are an error that names both."""
    with pytest.raises(DifferentDatabases) as caught:
        BINP(kv=KV(db="sqlite:////a/one.db"), journal=Journals("sqlite:////a/two.db"))
    assert "one.db" in str(caught.value)
    assert "two.db" in str(caught.value)
    BINP(kv=KV(db="/a/one.db"), journal=Journals("sqlite:////a/one.db"))


async def test_two_of_one_database_share_the_store(db):
    """One store for each process and database: two BINPs on it work side by side, and the last one closes it."""
    one, two = BINP(db=db), BINP(db=db)
    await asyncio.gather(one.kv.set(a=1), two.kv.set(b=2))
    assert await two.kv.get("a") == 1
    assert one.home.store is two.home.store
    await one.home.close()
    assert await two.kv.get("b") == 2
    await two.home.close()


async def test_two_loops_at_once(db):
    """A BINP that is open on a running loop refuses another one, clearly."""
    binp = BINP(db=db)
    await binp.kv.set(x=1)

    def other():
        asyncio.run(binp.kv.get("x"))

    with pytest.raises(HomeClosed, match="open on another event loop"):
        await asyncio.to_thread(other)
    await binp.home.close()


def test_asyncio_run_twice(db):
    """A script that never closes its store: committed data, no thread alive, no ResourceWarning, twice."""
    before = set(threading.enumerate())
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        for value in (1, 2):
            binp = BINP(db=db)

            async def main(binp=binp, value=value):
                assert await binp.kv.get("x") == (None if value == 1 else 1)
                await binp.kv.set(x=value)

            asyncio.run(main())
            assert set(threading.enumerate()) <= before
            del binp, main
            gc.collect()


def test_a_loop_that_is_closed_without_ceremony(db):
    """A loop closed without shutting down its generators: the next loop finds the data all the same."""
    binp = BINP(db=db)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(binp.kv.set(x=1))
    loop.close()

    assert asyncio.run(binp.kv.get("x")) == 1


async def test_opening_fails_clearly_and_can_be_tried_again(tmp_path):
    """When the database cannot be opened, everybody who waits gets the error, and a later try may succeed."""
    binp = BINP(db=f"sqlite:///{tmp_path}/missing/data.db")
    results = await asyncio.gather(*(binp.kv.get("x") for _ in range(3)), return_exceptions=True)
    assert all("missing" in str(result) for result in results)
    (tmp_path / "missing").mkdir()
    assert await binp.kv.get("x") is None
    await binp.home.close()


async def test_close_is_idempotent_and_can_be_opened_again(db):
    """Closing twice is no error; the next await opens it again."""
    binp = BINP(db=db)
    await binp.home.close()
    await binp.kv.set(x=1)
    await binp.home.close()
    await binp.home.close()
    assert await binp.kv.get("x") == 1
    await binp.home.close()


def test_a_second_process_is_refused(db):
    """A second process on the same file is refused, naming the owner."""
    binp = BINP(db=db)
    code = f"import asyncio; from binp import BINP; b = BINP(db={db!r}); asyncio.run(b.kv.set(x=2))"

    async def main():
        await binp.kv.set(x=1)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        _, err = await process.communicate()
        assert await binp.kv.get("x") == 1
        return process.returncode, err.decode()

    status, err = asyncio.run(main())
    assert status == 1
    assert "StoreOwned" in err
    assert str(os.getpid()) in err


async def test_settings_of_the_original(tmp_path, monkeypatch):
    """ENV-01: DB_URL names the database where nothing else does; BINP_DB goes before it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_URL", "sqlite:///one.db")
    binp = BINP()
    await binp.kv.set(x=1)
    await binp.home.close()
    assert (tmp_path / "one.db").exists()

    monkeypatch.setenv("BINP_DB", "sqlite:///two.db")
    binp = BINP()
    await binp.kv.set(x=1)
    await binp.home.close()
    assert (tmp_path / "two.db").exists()


async def test_the_database_of_the_original(tmp_path, monkeypatch):
    """ENV-01: where nothing names a database it is data.db in the directory in which a part is first awaited."""
    for name in ("DB_URL", "BINP_DB"):
        monkeypatch.delenv(name, raising=False)
    binp, alone = BINP(), Journals()
    monkeypatch.chdir(tmp_path)

    await binp.kv.set(x=1)
    assert await alone.history() == []

    assert {path.name.partition(".")[0] for path in tmp_path.iterdir()} == {"data"}
    assert (tmp_path / "data.db").exists()
    await binp.home.close()


async def test_each_reads_the_environment_when_it_is_opened(tmp_path, monkeypatch):
    """ENV-01, JRN-09, N-21: what names the database is read when one is opened, by each BINP and each part of its own.

    The original read it once for the whole process.
    """
    binp, journals = BINP(), Journals()
    monkeypatch.setenv("DB_URL", f"sqlite:///{tmp_path}/one.db")
    await binp.kv.set(x=1)
    monkeypatch.setenv("DB_URL", f"sqlite:///{tmp_path}/two.db")

    @journals
    async def op():
        pass

    await op()
    later = BINP()

    assert len(await later.journal.history()) == 1
    assert await later.kv.get("x") is None
    assert (await binp.kv.get("x"), await binp.journal.history()) == (1, [])
    for each in (binp, later):
        await each.home.close()


def test_first_calls_at_once_on_any_loop(db):
    """N-22: a BINP made outside of any loop is opened by several first calls at once, on one loop after the other."""
    binp = BINP(db=db)

    @binp.journal
    async def op():
        return await binp.kv.update("n", lambda n: (n or 0) + 1)

    async def main():
        return await asyncio.gather(op(), binp.kv.set(x=1), binp.journal.history(), op())

    loops = (asyncio.new_event_loop, asyncio.SelectorEventLoop, None)
    for factory in loops:
        with asyncio.Runner(loop_factory=factory, debug=True) as runner:
            runner.run(main())

    assert asyncio.run(binp.kv.get("n")) == 2 * len(loops)
    assert [headline.error for headline in asyncio.run(binp.journal.history())] == [None] * 2 * len(loops)


def test_a_misspelt_variable_is_told(monkeypatch, caplog):
    """What looks like a setting and is none is logged when the settings are read."""
    monkeypatch.setenv("BINP_GRAZE", "3")
    assert BINP().home.settings.grace == 25.0

    said = [record.getMessage() for record in caplog.records if record.name == "binp"]
    assert said == ["the environment variable BINP_GRAZE is read by nothing, did you mean BINP_GRACE?"]
