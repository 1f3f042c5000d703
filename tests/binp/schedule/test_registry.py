"""Schedules as they are defined, listed and commanded."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from binp import BINP
from binp.operations import InvalidArguments, UnknownOperation
from binp.schedule import BadSchedule
from binp.store.contract import RunQuery


async def nothing() -> None:
    """Does nothing."""


@pytest.mark.parametrize("outside", ["action", "schedule"])
async def test_an_action_is_started_by_time(binp, outside):
    """Whatever the order of the decorators: the action is what runs, and a schedule alone starts the function."""

    async def heat(room: str) -> str:
        return room

    if outside == "action":
        binp.action(name="heating")(binp.schedule("0 6 * * *", args={"room": "bath"})(heat))
    else:
        binp.schedule("0 6 * * *", args={"room": "bath"})(binp.action(name="heating")(heat))
    (info,) = await binp.schedule.schedules()
    assert (info.operation, info.arguments) == ("heating", {"room": "bath"})
    handle = await binp.schedule.fire(info.name)
    assert await handle.result() == "bath"
    (run,) = (await binp.home.store.find_runs(RunQuery())).runs
    assert (run.operation, run.trigger, run.due) == ("heating", "call", None)


async def test_what_is_shown(binp):
    """A schedule shows its rules, its words, and its next moments in both zones with notes on the clock."""

    @binp.schedule("30 2 * * *", tz="Europe/Berlin", missed="all", overlap="queue", jitter=timedelta(seconds=9))
    async def night() -> None:
        """Tidy up."""

    (info,) = await binp.schedule.schedules()
    assert (info.description, info.words) == ("Tidy up.", "At 02:30 every day (Europe/Berlin)")
    assert (info.spec, info.zone) == ("30 2 * * * Europe/Berlin", "Europe/Berlin")
    assert (info.missed, info.overlap, info.grace, info.jitter) == ("all", "queue", 3600.0, 9.0)
    assert (info.paused, info.paused_by, info.paused_at) == (False, None, None)
    assert len(info.next) == 10
    assert [fire.at for fire in info.next] == [fire.local.astimezone(UTC) for fire in info.next]
    assert {fire.local.strftime("%H:%M") for fire in info.next} <= {"02:30", "03:00"}


async def test_names(binp, caplog):
    """A function's second schedule is numbered; another function of the name takes it over, with a warning."""

    async def sweep() -> None: ...

    def again():
        async def sweep() -> None: ...

        return sweep

    for _ in range(2):
        binp.schedule("@daily")(sweep)
    names = [info.name for info in await binp.schedule.schedules()]
    assert names == ["test_names.<locals>.sweep", "test_names.<locals>.sweep#2"]
    binp.schedule("@daily", name="night")(sweep)
    assert not caplog.records
    binp.schedule("@hourly", name="night")(again())
    assert "redefining schedule 'night'" in caplog.text
    assert [info.spec for info in await binp.schedule.schedules()][2] == "@hourly UTC"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ((), "a schedule has one timing"),
        (("@daily", {"every": timedelta(hours=1)}), "a schedule has one timing"),
        (({"every": timedelta(hours=1), "tz": "UTC"},), "tz is for an expression"),
        (("@daily", {"missed": "lates"}), "did you mean 'latest'?"),
        (("@daily", {"overlap": "sometimes"}), "write one of 'skip', 'queue', 'parallel'"),
        (
            ("@daily", {"grace": timedelta(seconds=-1)}),
            "is not a time of zero or more\n  fix:   write seconds, as grace=600",
        ),
        (("@daily", {"jitter": timedelta(seconds=-1)}), "is not a time of zero or more"),
        (("whenever",), "'whenever' is not a cron expression"),
        ((nothing,), "instead of a timing\n  fix:   write @binp.schedule('30 2 * * *')"),
        (({"every": 0.5},), "too short"),
        (({"every": "soon"},), "every='soon' is not a time of zero or more\n  fix:   write seconds, as every=600, or"),
        (({"every": float("inf")},), "every=inf is not a time of zero or more"),
        (({"every": 10**400},), "0 is not a time of zero or more"),
        (("@daily", {"tz": timezone(timedelta(hours=1))}), "has no name\n  fix:   write an IANA name"),
        (({"at": "12:00"},), "at='12:00' is not a moment\n  fix:   write at=datetime("),
        (("@daily", {"args": [1]}), "args=[1] has no names\n  fix:   write args={'parameter': value}"),
        (("@daily", {"jitter": True}), "jitter=True is not a time of zero or more"),
    ],
)
def test_what_means_nothing_is_refused_where_it_is_written(given, text):
    """A schedule that means nothing is refused when the file is read, with what to write."""
    options = given[-1] if given and isinstance(given[-1], dict) else {}
    with pytest.raises(BadSchedule) as caught:
        BINP().schedule(*(one for one in given if one is not options), **options)
    assert text in str(caught.value)


async def test_times_and_zones_are_written_as_one_likes(binp):
    """A time is a timedelta, seconds or ``1h30min``, as in the options of an action; a zone its name or a ZoneInfo."""

    async def work() -> None: ...

    for every in (timedelta(minutes=90), 5400, "90min", "1h 30m"):
        binp.schedule(every=every, grace="2h", jitter=30)(work)
    for tz in ("Europe/Berlin", ZoneInfo("Europe/Berlin")):
        binp.schedule("30 2 * * *", tz=tz)(work)
    binp.schedule("30 2 * * *", tz=UTC)(work)

    found = await binp.schedule.schedules()
    assert [(one.spec, one.grace, one.jitter) for one in found[:4]] == [("every 5400 s", 7200, 30)] * 4
    assert [one.zone for one in found[4:]] == ["Europe/Berlin", "Europe/Berlin", "UTC"]


async def test_arguments_that_do_not_fit_are_told_at_the_start(binp):
    """What would fail at three in the morning fails when the app is started."""

    @binp.schedule("@daily", args={"level": "high"})
    async def adjust(level: int) -> None: ...

    await binp.home.open(serving=True)
    with pytest.raises(InvalidArguments, match="level: Input should be a valid integer"):
        binp.home.lead()
    (info,) = await binp.schedule.schedules()
    assert (info.arguments, "level: Input should" in info.problem) == ({}, True)


async def test_unknown_schedules(binp):
    """A name that is not there is an error with a suggestion, whatever is asked of it."""
    binp.schedule("@daily", name="night")(nothing)
    for command in (binp.schedule.pause, binp.schedule.resume, binp.schedule.fire):
        with pytest.raises(UnknownOperation, match="did you mean 'night'"):
            await command("nihgt")


async def test_pausing_twice_keeps_who_was_first(binp):
    """Pausing what is paused changes nothing."""
    binp.schedule("@daily", name="night")(nothing)
    await binp.schedule.pause("night", actor="ann")
    await binp.schedule.pause("night", actor="bob")
    (info,) = await binp.schedule.schedules()
    assert (info.paused, info.paused_by) == (True, "ann")
    await binp.schedule.resume("night", actor="bob")
    (info,) = await binp.schedule.schedules()
    assert (info.paused, info.paused_by) == (False, "bob")


async def test_included_files(binp):
    """The schedules of an included file are among those of the host, and both names mean the same."""
    other = BINP()
    other.schedule("@daily", name="night")(nothing)
    binp.schedule("@hourly", name="tick")(nothing)
    binp.include(other)
    assert [info.name for info in await binp.schedule.schedules()] == ["tick", "night"]
    assert [info.name for info in await other.schedule.schedules()] == ["tick", "night"]


async def test_a_single_moment(binp):
    """A single moment is shown once, and not any more when it is over."""
    soon = datetime.now(UTC) + timedelta(days=1)
    binp.schedule(at=soon, name="soon")(nothing)
    binp.schedule(at=soon - timedelta(days=2), name="over")(nothing)
    shown = {info.name: [fire.at for fire in info.next] for info in await binp.schedule.schedules()}
    assert shown == {"soon": [soon], "over": []}
