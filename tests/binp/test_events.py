"""The emitter keeps the original's promises, and the ring neither grows nor waits."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from dataclasses import dataclass

import pytest

from binp.events import Emitter, Ring


async def test_subscriber_gets_events_in_order() -> None:
    """EVT-01: a subscriber gets what is emitted inside its block, in order; emitting neither waits nor yields."""
    emitter: Emitter[int] = Emitter()
    emitter.emit(0)
    with emitter.subscribe() as queue:
        for number in (1, 2, 3):
            emitter.emit(number)
        got = [queue.get_nowait() for _ in range(3)]
    emitter.emit(4)

    assert got == [1, 2, 3]
    assert queue.empty()


async def test_own_queue() -> None:
    """EVT-01: a subscriber may bring its own queue."""
    emitter: Emitter[str] = Emitter()
    own: asyncio.Queue[str] = asyncio.Queue()
    with emitter.subscribe(own) as queue:
        emitter.emit("x")

    assert queue is own
    assert own.get_nowait() == "x"


async def test_slow_subscriber_loses_the_oldest(caplog: pytest.LogCaptureFixture) -> None:
    """EVT-01: nobody holds the emitter up: a full queue loses its oldest events, which is said once."""
    emitter: Emitter[int] = Emitter(capacity=2)
    with emitter.subscribe() as queue, emitter.subscribe(asyncio.Queue()) as other:
        for number in range(5):
            emitter.emit(number)

    assert [queue.get_nowait() for _ in range(2)] == [3, 4]
    assert other.qsize() == 5
    assert len([record for record in caplog.records if "loses events" in record.getMessage()]) == 1


async def test_decorator_gets_all_events() -> None:
    """EVT-01: a decorated function gets every event, in order, those of the same tick included (N-02)."""
    emitter: Emitter[int] = Emitter()
    got: list[int] = []

    @emitter
    async def handler(event: int) -> None:
        await asyncio.sleep(0)
        got.append(event)

    for number in range(5):
        emitter.emit(number)
    await asyncio.sleep(0.01)
    emitter.emit(5)
    await emitter.settle()

    assert got == [0, 1, 2, 3, 4, 5]


def test_decorator_before_a_loop_runs() -> None:
    """EVT-01: what is emitted before a loop runs is delivered with the first event inside of one (N-02)."""
    emitter: Emitter[int] = Emitter()
    got: list[int] = []
    emitter(got.append)
    emitter.emit(1)
    emitter.emit(2)
    assert got == []

    async def main() -> None:
        emitter.emit(3)
        await emitter.settle()

    asyncio.run(main())
    assert got == [1, 2, 3]

    asyncio.run(main())
    assert got == [1, 2, 3, 3]


def test_loop_that_ended_in_the_middle() -> None:
    """EVT-01: events that waited when a loop ended are handled in the next one; the call under way ends with it."""
    emitter: Emitter[int] = Emitter()
    got: list[int] = []

    @emitter
    async def handler(event: int) -> None:
        await asyncio.sleep(0.001)
        got.append(event)

    async def main(event: int, *, wait: bool) -> None:
        emitter.emit(event)
        emitter.emit(event + 1)
        if wait:
            await emitter.settle()

    asyncio.run(main(1, wait=False))
    asyncio.run(main(3, wait=True))
    assert got == [2, 3, 4]


async def test_failing_handler_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """EVT-01: what a handler raises is logged with its traceback, and the next events are delivered (N-03)."""
    emitter: Emitter[str] = Emitter()
    got: list[str] = []

    @emitter
    def broken(event: str) -> None:
        raise ValueError(f"no {event} %v")

    emitter(got.append)
    emitter.emit("a")
    emitter.emit("b")
    await emitter.settle()

    assert got == ["a", "b"]
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info and record.exc_info[1]] == [
        ("no a %v",),
        ("no b %v",),
    ]
    assert "--- Logging error ---" not in caplog.text
    assert "failed on the event 'a'" in caplog.text


async def test_handler_has_its_own_context() -> None:
    """EVT-01: a handler sees the context of its emitter, never that of whoever emits."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    given = contextvars.copy_context()
    given.run(variable.set, "given")
    got: list[str] = []
    fresh: Emitter[int] = Emitter()
    explicit: Emitter[int] = Emitter(context=given)
    for emitter in (fresh, explicit):
        emitter(lambda _: got.append(variable.get()))
    variable.set("emitter's")

    for emitter in (fresh, explicit):
        emitter.emit(1)
        await emitter.settle()

    assert got == ["none", "given"]


async def test_emit_from_a_thread() -> None:
    """EVT-01: a function in a thread may emit: who waits is woken on its own loop."""
    emitter: Emitter[int] = Emitter()
    handled = asyncio.Event()
    where: list[int] = []

    @emitter
    def handler(event: int) -> None:
        where.append(threading.get_ident())
        handled.set()

    with emitter.subscribe() as queue:
        waiting = asyncio.ensure_future(queue.get())
        await asyncio.sleep(0)
        await asyncio.to_thread(emitter.emit, 7)
        async with asyncio.timeout(60):
            assert await waiting == 7
            await handled.wait()
    assert where == [threading.get_ident()]


async def test_idle_emitter_keeps_no_task() -> None:
    """EVT-01: a worker is owned, lives while there are events, and is ended by close."""
    emitter: Emitter[int] = Emitter()
    entered = asyncio.Event()

    @emitter
    async def handler(event: int) -> None:
        entered.set()
        await asyncio.sleep(100 * event)

    before = len(asyncio.all_tasks())
    emitter.emit(0)
    await emitter.settle()
    assert len(asyncio.all_tasks()) == before

    entered.clear()
    emitter.emit(1)
    gc.collect()
    await entered.wait()
    await emitter.close()
    emitter.emit(1)
    assert len(asyncio.all_tasks()) == before


# -- the ring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    seq: int


def items(*places: int) -> list[Item]:
    return [Item(place) for place in places]


@pytest.fixture
def ring() -> Ring[Item]:
    made: Ring[Item] = Ring(4)
    made.open("feed")
    return made


def places(ring: Ring[Item], cursor: int) -> list[int] | None:
    """What is read behind *cursor*; None for a gap."""
    reading = ring.after(cursor)
    assert reading.cursor == ring.last
    return None if reading.is_gap else [item.seq for item in reading.items]


def test_ring_reads_behind_a_cursor(ring: Ring[Item]) -> None:
    """A reader gets what came after its cursor, in order, and nothing twice."""
    ring.publish(items(101, 102))
    ring.publish(items(103))

    assert [places(ring, cursor) for cursor in (100, 101, 102, 103)] == [[101, 102, 103], [102, 103], [103], []]


def test_ring_says_gap(ring: Ring[Item]) -> None:
    """A reader that is too far behind, or comes from another time, gets a gap and goes on from there."""
    ring.publish(items(*range(101, 108)))

    assert places(ring, 103) == [104, 105, 106, 107]
    assert [places(ring, cursor) for cursor in (0, 50, 102, 108)] == [None, None, None, None]


def test_ring_of_a_new_process(ring: Ring[Item]) -> None:
    """A cursor from before this ring was opened gets a gap unless nothing can have been missed."""
    assert places(ring, 0) == []
    assert places(ring, 50) is None

    ring.publish(items(61, 62))

    # 0 is where a reader began that was there before the first change
    assert places(ring, 0) == [61, 62]
    assert places(ring, 50) is None
    assert places(ring, 60) == [61, 62]


def test_ring_is_bounded(ring: Ring[Item]) -> None:
    """It holds no more than its capacity, also of one great batch."""
    ring.publish(items(*range(1, 1000)))

    assert places(ring, 995) == [996, 997, 998, 999]
    assert places(ring, 994) is None


async def test_ring_wakes_all_readers(ring: Ring[Item]) -> None:
    """Every reader that waits is woken by one change, and none is left over."""
    waiting = [asyncio.ensure_future(ring.wait(0)) for _ in range(100)]
    await asyncio.sleep(0)
    assert ring.waiting == 100

    ring.publish(items(1))

    assert await asyncio.gather(*waiting) == [True] * 100
    assert ring.waiting == 0
    assert await ring.wait(0) is True


async def test_closing_ends_all_readers_at_once(ring: Ring[Item]) -> None:
    """Closing wakes every reader; what came before can still be read, later waits end at once."""
    ring.publish(items(1))
    waiting = [asyncio.ensure_future(ring.wait(1)) for _ in range(3)]
    await asyncio.sleep(0)

    ring.close()
    ring.close()
    ring.publish(items(2))

    assert await asyncio.gather(*waiting) == [False] * 3
    assert await ring.wait(1) is False
    assert await ring.wait(0) is True
    assert places(ring, 0) == [1]


async def test_cancelled_reader_leaves_nothing(ring: Ring[Item]) -> None:
    """A reader that is cancelled leaves nothing behind (N-11)."""
    waiting = asyncio.ensure_future(ring.wait(0))
    await asyncio.sleep(0)

    waiting.cancel()
    await asyncio.wait([waiting])

    assert ring.waiting == 0


def test_ring_opens_again(ring: Ring[Item]) -> None:
    """Opened again it holds nothing of before."""
    ring.publish(items(1, 2))
    ring.close()
    assert not ring.is_open

    ring.open("other")

    assert (ring.is_open, ring.feed, ring.last) == (True, "other", 0)
    assert places(ring, 2) is None
