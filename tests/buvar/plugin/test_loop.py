"""The loop that a stage makes for itself."""

import asyncio
import threading

from buvar import plugin


def test_a_thread_that_works_on_is_named(monkeypatch, caplog):
    """PLG-10: the end waits for threads, which nobody can end, and says where those are that it waits for."""
    monkeypatch.setattr("buvar.plugin._loop.PATIENCE", 0.05)
    begun, end = threading.Event(), threading.Event()

    def block():
        begun.set()
        end.wait(60)

    async def stop(cancel: plugin.Cancel):
        while not begun.is_set():
            await asyncio.sleep(0.01)
        cancel.set()

    async def shop(cancel: plugin.Cancel):
        yield asyncio.to_thread(block)
        yield stop(cancel)

    def release():
        if "waits for threads" in caplog.text:
            end.set()
        else:
            threading.Timer(0.01, release).start()

    threading.Timer(0.01, release).start()
    cancelled, _ = plugin.stage(shop, cancel_timeout=0.05)

    assert isinstance(cancelled, asyncio.CancelledError)
    (record,) = [record for record in caplog.records if "threads" in record.message]
    assert "threading.py line" in record.message, record.message


def test_nothing_is_said_where_nothing_works(caplog):
    """PLG-10: threads that have done their work are no reason to wait."""

    async def shop():
        yield asyncio.to_thread(int)

    assert plugin.stage(shop) == [0]
    assert "threads" not in caplog.text
