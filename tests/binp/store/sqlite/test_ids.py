"""Ids of runs."""

import time

from binp.store.sqlite._ids import EPOCH, Ids, slot_of


def test_an_id_tells_the_time_and_the_slot():
    """An id begins with milliseconds since 2024."""
    ids = Ids()
    ids.start(5, 0)
    before = time.time_ns() // 1_000_000 - EPOCH

    made = ids.new()

    assert before <= made >> 12 <= before + 1000
    assert slot_of(made) == 5


def test_ids_go_on_from_the_database_when_the_clock_is_behind():
    """A clock that was set back makes no id twice and none smaller."""
    ids = Ids()
    future = (time.time_ns() // 1_000_000 - EPOCH + 10**9) << 12 | 63 << 6 | 63
    ids.start(0, future)

    made = [ids.new() for _ in range(200)]

    assert made[0] > future
    assert made == sorted(set(made))


def test_ids_rise_above_those_of_another_process(monkeypatch):
    """An id is larger than one that another process has made, in the same millisecond or with a clock that is ahead."""
    monkeypatch.setattr(time, "time_ns", lambda: (EPOCH + 7) * 1_000_000)
    one, other = Ids(), Ids()
    one.start(0, 0)
    other.start(63, 0)
    for above in (other.new(), other.new(), 10**6 << 12 | 63 << 6 | 5, 5):
        before = one.new()
        one.rise(above)
        assert one.new() > max(above, before)


def test_a_millisecond_that_is_used_up_borrows_from_the_next(monkeypatch):
    """Thousands of ids in one millisecond stay in order."""
    monkeypatch.setattr(time, "time_ns", lambda: (EPOCH + 7) * 1_000_000)
    ids = Ids()
    ids.start(1, 0)

    made = [ids.new() for _ in range(1000)]

    assert made == sorted(set(made))
    assert made[-1] >> 12 == 7 + 999 // 64
    assert {slot_of(run) for run in made} == {1}


def test_slots_do_not_meet():
    """Two processes never make the same id."""
    one, other = Ids(), Ids()
    one.start(0, 0)
    other.start(63, 0)

    assert not {one.new() for _ in range(1000)} & {other.new() for _ in range(1000)}
