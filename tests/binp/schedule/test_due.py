"""What becomes of the ticks that have come."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binp.schedule._cron import Cron
from binp.schedule._due import MOST_COUNTED, PUNCTUAL, Missed, jitter_of, plan
from binp.schedule._timing import At, BadSchedule, Every, in_words

MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTELY = Every(MINUTE)


def ago(**given):
    return NOON - timedelta(**given)


def test_a_tick_in_time_is_started():
    """What has just come is started, whatever is done about missed ones."""
    for missed in Missed:
        found = plan(MINUTELY, ago(minutes=1), NOON, missed=missed)
        assert (found.left_out, found.starts) == (None, (NOON,))


def test_nothing_has_come():
    """Between two ticks there is nothing to do."""
    found = plan(MINUTELY, NOON, NOON + timedelta(seconds=59))
    assert (found.left_out, found.starts) == (None, ())


def test_the_latest_makes_up_for_all():
    """After a pause of the process one start makes up for what was missed, and the others are counted."""
    found = plan(MINUTELY, ago(minutes=10), NOON)
    assert found.starts == (NOON,)
    assert (found.left_out.first, found.left_out.last, found.left_out.count) == (ago(minutes=9), ago(minutes=1), 9)
    assert found.left_out.because("missed") == "missed: 9 ticks from 2026-11-21 11:51:00 to 2026-11-21 11:59:00 UTC"


def test_the_latest_is_not_made_up_for_when_it_is_too_old():
    """A report of three in the morning is not wanted at noon, if its grace says so."""
    daily = Cron("0 3 * * *")
    found = plan(daily, ago(days=2), NOON, grace=timedelta(hours=1))
    assert found.starts == ()
    assert found.left_out.count == 2
    assert plan(daily, ago(days=2), NOON, grace=timedelta(hours=9)).starts == (ago(hours=9),)


def test_all_are_made_up_for_within_the_grace():
    """With missed="all" each missed tick that is young enough is started, oldest first."""
    found = plan(MINUTELY, ago(minutes=10), NOON, missed=Missed.ALL, grace=timedelta(minutes=3))
    assert found.starts == (ago(minutes=3), ago(minutes=2), ago(minutes=1), NOON)
    assert found.left_out.count == 6
    assert len(plan(MINUTELY, ago(hours=10), NOON, missed=Missed.ALL, grace=timedelta(days=1)).starts) == 100


def test_missed_ticks_are_left_out():
    """With missed="skip" only what is in time is started."""
    found = plan(MINUTELY, ago(minutes=10), NOON + PUNCTUAL / 2, missed=Missed.SKIP)
    assert found.starts == (NOON,)
    found = plan(Every(timedelta(hours=1)), ago(hours=3), NOON + 2 * PUNCTUAL, missed=Missed.SKIP)
    assert (found.starts, found.left_out.count) == ((), 3)


def test_a_very_long_pause_is_counted_to_a_bound():
    """A year of missed minutes is not walked through one by one."""
    found = plan(MINUTELY, ago(days=365), NOON)
    assert found.starts == (NOON,)
    assert (found.left_out.count, found.left_out.is_more) == (MOST_COUNTED, True)
    assert found.left_out.last == ago(minutes=1)
    assert found.left_out.because("missed").startswith("missed: more than 1000 ticks from 2025-11-21 12:01:00 to")


def test_a_clock_that_was_set_back_starts_nothing_again():
    """What is dealt with stays so."""
    found = plan(MINUTELY, NOON, ago(hours=1))
    assert (found.left_out, found.starts) == (None, ())


def test_what_is_put_off_has_not_come_yet():
    """A tick with jitter is started by that much later, and not before."""
    off = timedelta(seconds=20)
    assert plan(MINUTELY, ago(minutes=1), NOON, late=lambda due: off).starts == ()
    assert plan(MINUTELY, ago(minutes=1), NOON + off, late=lambda due: off).starts == (NOON,)
    found = plan(MINUTELY, ago(minutes=2), NOON, late=lambda due: off)
    assert found.starts == (ago(minutes=1),)


def test_more_may_be_put_off_than_one():
    """Where ticks are put off by more than lies between them, the older ones come all the same."""
    found = plan(MINUTELY, ago(hours=1), NOON, late=lambda due: timedelta(minutes=10))
    assert found.starts == (ago(minutes=10),)


def test_jitter_is_the_same_everywhere_and_bounded():
    """Two processes put a tick off by the same time; different ticks by different ones."""
    most = timedelta(seconds=30)
    found = [jitter_of("night", NOON + MINUTE * step, most) for step in range(50)]
    assert found == [jitter_of("night", NOON + MINUTE * step, most) for step in range(50)]
    assert len(set(found)) == 50
    assert min(found) >= timedelta()
    assert max(found) < most
    assert jitter_of("night", NOON, timedelta()) == timedelta()
    assert jitter_of("night", NOON, most) != jitter_of("day", NOON, most)


def test_once():
    """A single moment is started once; if it was missed by more than its grace it is left out."""
    at = At(NOON)
    assert at.next(NOON) is None
    beginning = datetime(1970, 1, 1, tzinfo=UTC)
    assert plan(at, beginning, NOON - MINUTE).starts == ()
    assert plan(at, beginning, NOON + MINUTE).starts == (NOON,)
    assert plan(at, beginning, NOON + timedelta(hours=2)).left_out.count == 1


@settings(max_examples=300)
@given(
    missed=st.sampled_from(Missed),
    steps=st.lists(st.integers(1, 5000), min_size=1, max_size=20),
    grace=st.integers(0, 7200),
    every=st.integers(1, 900),
)
def test_every_tick_is_dealt_with_once(missed, steps, grace, every):
    """However the process is paused: each tick is started once or left out once, and none before its time."""
    timing = Every(timedelta(seconds=every))
    until = now = NOON
    dealt = []
    for seconds in steps:
        now += timedelta(seconds=seconds)
        found = plan(timing, until, now, missed=missed, grace=timedelta(seconds=grace))
        if found.left_out is not None:
            due = timing.next(until)
            assert due == found.left_out.first
            while due <= found.left_out.last:
                dealt.append(due)
                due = timing.next(due)
        dealt.extend(found.starts)
        until = dealt[-1] if dealt else until
    expected, due = [], timing.next(NOON)
    while due <= now:
        expected.append(due)
        due = timing.next(due)
    assert dealt == expected


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (timedelta(minutes=1), "minute"),
        (timedelta(minutes=90), "90 minutes"),
        (timedelta(hours=2), "2 hours"),
        (timedelta(days=1), "day"),
        (timedelta(seconds=2.5), "2.5 seconds"),
    ],
)
def test_intervals_in_words(interval, words):
    """An interval is said in the largest unit that fits."""
    assert in_words(interval) == words
    assert Every(interval).words() == f"Every {words}"


def test_what_cannot_be_obeyed_is_refused():
    """An interval below a second and a moment without a zone are refused."""
    with pytest.raises(BadSchedule, match="too short"):
        Every(timedelta(milliseconds=10))
    with pytest.raises(BadSchedule, match="no time zone"):
        At(datetime(2026, 1, 1))
