"""What blocks the loop is named while it does."""

from __future__ import annotations

import asyncio
import json
import re
import selectors
import socket
import threading
import time

import pytest

from binp.runs import _watchdog


@pytest.fixture
def loop_limit():
    """As it is."""
    return _watchdog._LIMIT


@pytest.fixture
async def serving(binp):
    """A BINP that is served."""
    await binp.home.open(serving=True)
    binp.home.lead()
    return binp


def guilty(seconds: float) -> None:
    time.sleep(seconds)  # the line


async def test_the_line_that_blocks_is_named_in_its_run(serving, caplog):
    """P8: a loop that is blocked for 4 s is reported while it is, with the line, in the log and in the run."""

    @serving.action
    async def work() -> None:
        guilty(4)

    run = await (await serving.action.start(work)).wait()
    # where the machine is busy the loop may be late for another reason as well
    (record,) = [one for one in await serving.home.store.get_records(run.id) if "by guilty" in one.message]
    line = guilty.__code__.co_firstlineno + 1
    assert re.fullmatch(
        rf"the event loop is blocked since [0-9.]+ s by guilty at \S+test_watchdog.py:{line}; "
        r"nothing else goes on meanwhile",
        record.message,
    )
    assert (record.level, record.source) == ("warning", "log")
    # what called it is the same for all, and says nothing
    calls = [line.split() for line in json.loads(record.fields)["traceback"].splitlines() if " in " in line]
    assert [call[-1] for call in calls] == ["work", "guilty"]
    # said while it was blocked, not afterwards
    assert record.at < run.ended
    assert f", in run {run.id} of " in caplog.text
    assert caplog.text.count("by guilty") == 1


async def test_a_loop_that_goes_on_is_left_alone(serving, caplog):
    """Waiting is not blocking, and neither is much work in small pieces, nor a thread that takes long."""

    @serving.action
    async def work() -> None:
        end = time.monotonic() + 1
        while time.monotonic() < end:
            await asyncio.sleep(0)

    @serving.action
    def thread() -> None:
        time.sleep(1)

    for _ in range(20):
        caplog.clear()
        handles = [await serving.action.start(work), await serving.action.start(thread)]
        await asyncio.gather(*(handle.result() for handle in handles))
        # where the machine is busy the loop may be late for once
        if "is blocked" not in caplog.text:
            break
    assert "is blocked" not in caplog.text


async def test_what_is_no_run_is_named_in_the_log(serving, caplog):
    """A route, or a callback, that blocks the loop is in the log."""
    asyncio.get_running_loop().call_soon(guilty, 4)
    await asyncio.sleep(0.1)
    assert "by guilty at " in caplog.text
    assert "in run" not in caplog.text


async def test_it_ends_with_what_is_served(serving):
    """No thread is left behind."""
    assert [thread for thread in threading.enumerate() if thread.name == "binp-watchdog"]
    await serving.home.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "binp-watchdog"]


async def test_a_loop_that_waits_is_not_woken(serving, monkeypatch):
    """P8: to look whether it is blocked costs a loop nothing that has nothing to do."""
    loop = asyncio.get_running_loop()
    woken = []
    wake = loop.call_soon_threadsafe

    def count(callback, *args, **options):
        woken.append(callback)
        return wake(callback, *args, **options)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    for _ in range(20):
        woken.clear()
        await asyncio.sleep(1)
        # where the machine is busy it may be caught at work now and then
        if not woken:
            break

    assert woken == []


async def test_a_selector_of_ones_own_blocks_as_anything_else(serving, caplog):
    """P8: to wait for a child by a selector on the loop is no waiting of the loop."""

    @serving.action
    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as other, selectors.DefaultSelector() as selector:
            selector.register(other, selectors.EVENT_READ)
            selector.select(4)

    await (await serving.action.start(work)).wait()

    assert "by work at " in caplog.text
