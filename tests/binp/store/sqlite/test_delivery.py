"""What comes from the threads to the loop."""

import asyncio
import threading
import time

from binp.store.contract import AddRecord, SetKeys
from binp.store.sqlite import _delivery
from binp.store.sqlite._delivery import Delivery
from binp.store.sqlite._outbox import Outbox


async def test_a_loop_that_does_not_come_to_it_is_told_that_there_was_more(store, writes, monkeypatch):
    """While the loop is blocked threads go on; what it cannot be told of makes the feed another one."""
    monkeypatch.setattr(_delivery, "_MOST_CHANGES", 50)
    begin = writes.begin()
    await store.write(begin)
    told = []
    store.listen(lambda changes: told.append((store.feed, list(changes))))
    feed = store.feed
    acks = []

    def work():
        for seq in range(1, 201):
            ack = store.write(AddRecord(run=begin.id, seq=seq, at=1))
            if seq % 10 == 0:
                ack.wait()
        acks.append(ack.wait())

    thread = threading.Thread(target=work)
    thread.start()
    # the loop is not let go of meanwhile
    thread.join()
    delivery = store._listeners
    assert len(delivery._changes) <= 50
    assert told == []
    assert await store.write(SetKeys(namespace="n", items=(("k", "1"),), at=1)) is True

    assert acks == [True]
    assert store.feed != feed
    assert told[0] == (store.feed, [])
    assert told[-1][1][-1].id == "n/k"
    assert [seen for seen, _ in told] == [store.feed] * len(told)


async def test_commits_are_told_of_in_one_go(store, writes):
    """Of several commits that the loop did not come to, it is told once, in their order."""
    begin = writes.begin()
    await store.write(begin)
    told = []
    store.listen(told.append)
    thread = threading.Thread(target=lambda: [store.write(writes.record(begin.id, seq)).wait() for seq in range(1, 21)])
    thread.start()
    thread.join()
    # a thread that waits is woken a moment before that; the loop is not let go of meanwhile
    end = time.monotonic() + 200
    while len(store._listeners._changes) < 20 and time.monotonic() < end:
        time.sleep(0.001)
    assert told == []
    while not told:
        await asyncio.sleep(0)

    assert [change.rev for change in told[0]] == list(range(1, 21))
    assert len(told) == 1


async def test_nobody_is_told_of_a_write_that_changed_nothing(store, writes):
    """An acknowledgement alone is no change."""
    told = []
    store.listen(told.append)
    assert await store.write(writes.end(1)) is False
    await asyncio.sleep(0)

    assert told == []


async def test_a_loop_is_busy_when_it_never_waits(store):
    """The lock of the interpreter is only handed over by force when the loop gives nobody a chance to take it."""
    delivery = store._listeners

    def spins():
        until = time.perf_counter() + 0.005
        while time.perf_counter() < until:
            pass
        return delivery._is_busy()

    async def waits():
        await asyncio.sleep(0.005)
        return delivery._is_busy()

    delivery._is_busy()
    assert not await waits()
    # a page that is read from the disk is a wait as well
    assert any(spins() for _ in range(20))
    assert not await waits()


def test_what_never_arrived_on_a_loop_that_is_gone():
    """Those who wait on the next loop are told, whoever waited on one that was closed before it heard of its writes."""
    delivery = Delivery(Outbox(), lambda: None)
    first = asyncio.new_event_loop()
    delivery.bind(first)
    lost = first.create_future()
    lost.add_done_callback(lambda _: None)
    first.close()
    delivery.post([(lost, True)], ())

    async def wait():
        loop = asyncio.get_running_loop()
        delivery.bind(loop)
        future = loop.create_future()
        delivery.post([(future, True)], ())
        async with asyncio.timeout(60):
            return await future

    assert asyncio.run(wait()) is True
