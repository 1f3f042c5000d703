"""What is left when the process is killed."""

import random
import sqlite3
import time

from binp.store import open_store


async def test_nothing_acknowledged_is_lost_when_the_process_is_killed(path, worker, told):
    """20 kills at random moments: what was acknowledged is there, whole, and what was cut off is interrupted (N-13)."""
    moments = random.Random(11)
    for _ in range(20):
        child = worker(path, "-")
        child.read(2)
        time.sleep(moments.uniform(0.0, 0.08))
        told.add(child.kill())

    store = open_store(str(path))
    await store.open()
    lost = await told.lost(store)
    await store.close()

    assert lost == []
    assert len(told) > 500
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_the_kills_would_find_an_early_acknowledgement(path, worker, told):
    """The same kills find the loss when writes are acknowledged before their commit."""
    moments = random.Random(11)
    for _ in range(20):
        child = worker(path, "-", "lying")
        child.read(2)
        time.sleep(moments.uniform(0.0, 0.08))
        told.add(child.kill())
        store = open_store(str(path))
        await store.open()
        lost = await told.lost(store)
        await store.close()
        if lost:
            return
    raise AssertionError("the planted bug was not found")
