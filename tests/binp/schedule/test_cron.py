"""Cron expressions when clocks are changed, against a clock that is simulated minute by minute."""

import os
import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from binp.schedule._cron import Cron
from binp.schedule._timing import BadSchedule

MINUTE = timedelta(minutes=1)

#: by hand: SCHEDULE_CASES=100000
CASES = int(os.environ.get("SCHEDULE_CASES", "10000"))

#: zone and a moment near which its clocks are changed
CHANGES = [
    ("Europe/Berlin", "2026-03-29T01:00"),
    ("Europe/Berlin", "2026-10-25T01:00"),
    ("America/New_York", "2026-03-08T07:00"),
    ("America/New_York", "2026-11-01T06:00"),
    ("Australia/Lord_Howe", "2026-10-03T15:30"),
    ("Australia/Lord_Howe", "2026-04-04T15:00"),
    ("America/Sao_Paulo", "2018-11-04T03:00"),
    ("America/Sao_Paulo", "2018-02-18T02:00"),
    ("Africa/Cairo", "2026-04-23T22:00"),
    ("Asia/Beirut", "2026-03-28T22:00"),
    ("Asia/Kathmandu", "1985-12-31T18:30"),
    ("Pacific/Apia", "2011-12-30T10:00"),
    ("UTC", "2026-03-29T01:00"),
]


def numbers(text, low, high):
    """What a field means: the oracle's own reading."""
    found = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            first, last = low, high
        elif not last:
            last = high if step else first
        found.update(range(int(first), int(last) + 1, int(step or 1)))
    return found


class Oracle:
    """Debian's rule, lived through: a clock that is looked at every minute."""

    def __init__(self, expression):
        minute, hour, day, month, weekday = expression.split()
        self.is_wild = minute.startswith("*") or hour.startswith("*")
        self.minutes, self.hours = numbers(minute, 0, 59), numbers(hour, 0, 23)
        self.days, self.months = numbers(day, 1, 31), numbers(month, 1, 12)
        self.weekdays = {number % 7 for number in numbers(weekday, 0, 7)}
        self.either = not day.startswith("*") and not weekday.startswith("*")

    def matches(self, wall):
        if wall.minute not in self.minutes or wall.hour not in self.hours or wall.month not in self.months:
            return False
        on_day, on_weekday = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        return (on_day or on_weekday) if self.either else (on_day and on_weekday)

    def fires(self, timeline):
        """The instants at which it is started; *timeline* is (instant, wall, is_second_pass, skipped walls)."""
        if self.is_wild:
            return [instant for instant, wall, _, _ in timeline if self.matches(wall)]
        return [
            instant
            for instant, wall, is_second_pass, skipped in timeline
            if (not is_second_pass and self.matches(wall)) or any(map(self.matches, skipped))
        ]


def timeline(zone, around, hours=30):
    """Every minute around a moment: what the wall clock shows, whether it did before, and what it jumped over."""
    tz = ZoneInfo(zone)
    middle = datetime.fromisoformat(around).replace(tzinfo=UTC)
    instant, end = middle - timedelta(hours=hours), middle + timedelta(hours=hours)
    before, furthest, found = None, None, []
    while instant <= end:
        wall = instant.astimezone(tz).replace(tzinfo=None)
        skipped = []
        if before is not None and MINUTE < wall - before <= timedelta(hours=3, minutes=1):
            skipped = [before + MINUTE * step for step in range(1, (wall - before) // MINUTE)]
        is_second_pass = furthest is not None and wall <= furthest
        found.append((instant, wall, is_second_pass, skipped))
        before, furthest = wall, wall if furthest is None else max(furthest, wall)
        instant += MINUTE
    return found


def some_expression(choose, walls):
    """An expression that has something to do with the hours of *walls*."""
    wall = choose.choice(walls)
    minute = choose.choice(
        [str(choose.randrange(60)), str(wall.minute), "0", "0,30", "*/15", "*/7", "5/15", "10-40/10", "59", "*/20"]
    )
    hour = choose.choice(
        [str(wall.hour), str((wall.hour + choose.randrange(-3, 4)) % 24), "*", "*/2", "1-3", "0-6/2", "0,2,3", "23,0,1"]
    )
    day = choose.choice(["*", "*", "*", str(wall.day), "1-15", "*/2"])
    weekday = choose.choice(["*", "*", "*", "0", "7", "1-5", str(wall.isoweekday() % 7)])
    return f"{minute} {hour} {day} * {weekday}"


def starts(cron, after, end):
    """What a schedule that is asked again and again says."""
    found = []
    due = cron.next(after)
    while due is not None and due <= end:
        found.append(due)
        due = cron.next(due)
    return found


def differences(make, cases, seed=7):
    """Cases in which what *make* makes differs from the oracle."""
    choose = random.Random(seed)
    lines = [(zone, timeline(zone, around)) for zone, around in CHANGES]
    found = []
    for _ in range(cases):
        zone, line = choose.choice(lines)
        expression = some_expression(choose, [wall for _, wall, _, _ in line[600:-600:7]])
        # begin anywhere, also inside an hour that comes twice: nothing depends on when a process was started
        first = choose.randrange(300, len(line) // 2 + 100)
        expected = [instant for instant in Oracle(expression).fires(line) if instant > line[first][0]]
        if starts(make(expression, zone), line[first][0], line[-1][0]) != expected:
            found.append((expression, zone, line[first][0]))
    return found


def test_no_start_differs_from_a_clock_that_is_looked_at_every_minute():
    """What is due around changes of the clock is what Debian's cron would start, wherever one begins to look."""
    assert differences(Cron, CASES) == []


def test_the_oracle_catches_an_hour_too_many():
    """The comparison can fail: a schedule that is an hour off for one zone is found out."""

    class HourOff(Cron):
        def next(self, after):
            due = super().next(after)
            jumped = due is not None and self._offset(due) != self._offset(due - timedelta(hours=1))
            return due + timedelta(hours=1) if jumped else due

    assert differences(HourOff, 300) != []


def test_the_oracle_catches_a_start_in_both_passes():
    """The comparison can fail: a fixed time that is started in both passes of an hour is found out."""

    class Twice(Cron):
        def __init__(self, expression, zone):
            super().__init__(expression, zone)
            self._is_wild = True

    assert differences(Twice, 300) != []


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T01:15", "2026-10-26T01:30"),
        ("0 * * * *", "Europe/Berlin", "2026-10-25T00:30", "2026-10-25T01:00"),
        ("45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:45", "2026-04-04T15:15"),
        ("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00", "2018-11-04T03:00"),
        ("0 12 * * *", "Pacific/Apia", "2011-12-29T22:00", "2011-12-30T22:00"),
        ("0 0 13 * 5", "UTC", "2026-11-01T00:00", "2026-11-06T00:00"),
        ("0 0 29 2 *", "UTC", "2026-11-01T00:00", "2028-02-29T00:00"),
        ("*/10 * * * * *", "UTC", "2026-11-01T00:00:05", "2026-11-01T00:00:10"),
        ("@daily", "UTC", "2026-11-01T00:00", "2026-11-02T00:00"),
        ("0 9 * * mon#1", "UTC", "2026-11-01T00:00", "2026-11-02T09:00"),
        ("0 9 L * *", "UTC", "2026-02-01T00:00", "2026-02-28T09:00"),
    ],
)
def test_what_comes_next(expression, zone, after, expected):
    """Known cases: gaps, folds, midnights that do not exist, a lost day, ORed days, seconds, names and aliases."""
    after, expected = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (after, expected))
    assert Cron(expression, zone).next(after) == expected


@pytest.mark.parametrize(
    ("expression", "zone", "due", "note"),
    [
        (
            "30 2 * * *",
            "Europe/Berlin",
            "2026-03-29T01:00",
            "02:30 does not exist on 2026-03-29: it starts when the clock has jumped to 03:00",
        ),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30", "02:30 comes twice on 2026-10-25: it starts at the first"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-26T01:30", None),
        ("0 * * * *", "Europe/Berlin", "2026-10-25T00:00", None),
    ],
)
def test_a_change_of_the_clock_is_noted(expression, zone, due, note):
    """Who looks at what comes next is told where a change of the clock moves it."""
    cron, due = Cron(expression, zone), datetime.fromisoformat(due).replace(tzinfo=UTC)
    assert cron.next(due - timedelta(seconds=1)) == due
    assert cron.note(due) == note


def test_words():
    """An expression is said in words, with its zone."""
    assert Cron("30 2 * * 1-5", "Europe/Berlin").words() == "At 02:30 on Monday through Friday (Europe/Berlin)"
    assert Cron("@daily").words() == "At 00:00 every day (UTC)"


@pytest.mark.parametrize(
    ("expression", "zone", "text"),
    [
        ("61 * * * *", "UTC", "'61 * * * *' is not a cron expression: Bad minute"),
        ("* * * *", "UTC", "write five fields, minute hour day-of-month month day-of-week"),
        ("0 0 31 2 *", "UTC", "'0 0 31 2 *' is not a cron expression"),
        ("@dayly", "UTC", "did you mean '@daily'?"),
        ("@reboot", "UTC", "known: @hourly"),
        ("0 6 * * *", "Europe/Berln", "there is no time zone 'Europe/Berln'"),
        ("0 6 * * *", "Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("0 6 * * *", "../etc", "there is no time zone '../etc'"),
        ("0 6 * * *", "", "there is no time zone ''"),
    ],
)
def test_what_means_nothing_is_refused(expression, zone, text):
    """An expression or a zone that means nothing is refused with what is wrong and what to write."""
    with pytest.raises(BadSchedule) as caught:
        Cron(expression, zone)
    assert text in str(caught.value)
