"""What a run may say while it is alive, and what happens when that cannot be kept."""

from __future__ import annotations

import logging
import threading

import pytest

from binp.runs import ActiveRun
from binp.store.contract import RunQuery, StoreClosed, StoreError


class SlowAck:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.waited = 0

    def __await__(self):
        yield from ()
        if self.error:
            raise self.error
        return True

    def wait(self, timeout=None):
        self.waited += 1
        if self.error:
            raise self.error
        return True


class Recording:
    """A store that is only written to."""

    def __init__(self, error: Exception | None = None, closed: bool = False) -> None:
        self.acks: list[SlowAck] = []
        self.error = error
        self.closed = closed

    def write(self, write):
        if self.closed:
            raise StoreClosed("closed")
        self.acks.append(SlowAck(self.error))
        return self.acks[-1]


def active(store) -> ActiveRun:
    return ActiveRun(store=store, id=1, operation="op", trigger="call", journal=False)


def test_a_thread_goes_no_faster_than_the_disk():
    """Every queue has a bound: a thread that says very much waits now and then until it is committed."""
    store = Recording()
    run = active(store)
    for _ in range(2000):
        run.record("on the loop", {})
    assert sum(ack.waited for ack in store.acks) == 0

    thread = threading.Thread(target=lambda: [run.record("in a thread", {}) for _ in range(2000)])
    thread.start()
    thread.join()
    assert sum(ack.waited for ack in store.acks) == 2


@pytest.mark.parametrize("error", [StoreError("disk full"), TimeoutError("late")])
async def test_history_that_cannot_be_written_breaks_nothing(caplog, error):
    """N-09: awaiting a record that could not be written is False, with a warning, and raises nothing."""
    run = active(Recording(error))
    with caplog.at_level(logging.WARNING, "Journals"):
        if isinstance(error, StoreError):
            assert await run.record("x", {}) is False
        assert run.progress(1, None, None).wait() is False
    assert f"missing in the history: {error}" in caplog.text


def test_behind_the_end_of_everything(caplog):
    """A thread that goes on although the store is closed is warned once, and not broken."""
    run = active(Recording(closed=True))
    with caplog.at_level(logging.WARNING, "Journals"):
        assert run.record("late", {}).wait() is False
        assert run.label(("l",)).wait() is False
    assert [record.getMessage() for record in caplog.records] == [
        "record 'late' came after run 1 of 'op' had ended: nothing is kept"
    ]


async def test_a_chatty_thread_is_kept_whole(binp):
    """Twenty thousand records and lines of a thread are all kept, in order."""

    @binp.action(name="op")
    def op():
        for n in range(10_000):
            binp.journal.record("r", n=n)
            print(n)

    run = await (await binp.action.start("op")).wait()
    assert run.records == 20_000
    assert len((await binp.home.store.find_runs(RunQuery())).runs) == 1
