"""Services that come after others, and services that are disabled."""

from __future__ import annotations

import asyncio
import logging
import random

import pytest

from binp import BINP, Service
from binp.errors import BinpError
from binp.service._order import in_order

QUICK = 0.05


def states(service):
    return {info.name: str(info.status) for info in service.services}


def waits(service):
    return {info.name: info.waits_for for info in service.services if info.waits_for}


def define(service, name, log=None, **options):
    """A service that lives until it is stopped, and says that it is ready when that is wanted."""
    gate = asyncio.Event()

    @service(name=name, **options)
    async def body():
        if log is not None:
            log.append(f"+{name}")
        await gate.wait()
        service.ready()
        try:
            await asyncio.Event().wait()
        finally:
            if log is not None:
                log.append(f"-{name}")

    return gate


async def test_it_waits_until_the_others_are_ready(service, until):
    """It is waiting, and says for whom, until all it comes after are ready; then it starts."""
    define(service, "web", after=("db", "cache"))
    await until(lambda: states(service) == {"web": "waiting"})
    assert waits(service) == {"web": ("db", "cache")}
    gate = define(service, "db", ready=True)
    define(service, "cache")
    await until(lambda: waits(service) == {"web": ("db",)})
    assert states(service) == {"web": "waiting", "db": "starting", "cache": "running"}
    gate.set()
    await until(lambda: set(states(service).values()) == {"running"})
    assert waits(service) == {}


async def test_it_can_be_stopped_while_it_waits(service, until):
    """SVC-03: what waits is stopped at once, and waits again when it is started."""
    define(service, "db", autostart=False)
    define(service, "web", after="db")
    await until(lambda: states(service)["web"] == "waiting")
    service.stop("web")
    await until(lambda: states(service)["web"] == "stopped")
    assert waits(service) == {}
    service.start("web")
    await until(lambda: states(service)["web"] == "waiting")
    service.start("db")
    await until(lambda: set(states(service).values()) == {"running"})
    service.stop("db")
    await until(lambda: states(service) == {"db": "stopped", "web": "running"})


async def test_one_that_is_completed_was_ready(service, until):
    """A service that does its work once and returns lets those begin that come after it."""
    done = []

    @service(name="prepare", restart="on-failure")
    async def prepare():
        done.append(1)

    await until(lambda: states(service)["prepare"] == "completed")
    define(service, "web", after="prepare")
    await until(lambda: states(service)["web"] == "running")
    assert done == [1]


async def test_they_stop_before_what_they_come_after(db, until, served):
    """P7: a shutdown stops each before those that it comes after, in whatever order they are defined."""
    binp, log = BINP(db=db), []
    for name, after in (("c", "b"), ("a", ()), ("b", "a"), ("d", ())):
        define(binp.service, name, log, after=after).set()
    async with served(binp):
        await until(lambda: set(states(binp.service).values()) == {"running"})
    started, stopped = [one[1] for one in log if one[0] == "+"], [one[1] for one in log if one[0] == "-"]
    assert [one for one in started if one != "d"] == ["a", "b", "c"]
    assert stopped == ["d", "c", "b", "a"]


def test_order_of_many():
    """Each stands behind all that it comes after; what says nothing keeps its place."""
    assert in_order({"x": [], "y": [], "z": []}) == ["x", "y", "z"]
    assert in_order({"x": ["z"], "y": ["nobody"], "z": ["y"]}) == ["y", "z", "x"]


def test_a_circle_is_refused_where_it_is_closed():
    """The definition that closes a circle is refused, and changes nothing."""
    service = Service()
    for name, after in (("a", "b"), ("b", ("x", "c"))):
        define(service, name, after=after)
    with pytest.raises(BinpError) as caught:
        define(service, "c", after="a")
    assert str(caught.value) == (
        "service 'c' would wait for itself: c after a after b after c\n  fix:   take one of them out of after="
    )
    assert list(states(service)) == ["a", "b"]
    with pytest.raises(BinpError, match="'d' would wait for itself: d after d"):
        define(service, "d", after="d")


async def test_what_a_service_needs_is_given(db, served):
    """A service whose function needs what nobody gives it is refused before one is started, and not again and again."""
    binp = BINP(db=db)
    define(binp.service, "fine")

    @binp.service(name="reader")
    async def reader(host: str, port: int = 80) -> None: ...

    with pytest.raises(BinpError, match="service 'reader' is called without host") as caught:
        async with served(binp):
            raise AssertionError
    assert caught.value.fix == "write host: Inject[...] for a dependency, or give it a default"
    assert "test_order.py:" in caught.value.where
    assert states(binp.service) == {"fine": "stopped", "reader": "stopped"}


async def test_a_name_of_nobody_is_refused(db, served):
    """What comes after no service is refused when services are started, before one of them is."""
    binp = BINP(db=db)
    define(binp.service, "database")
    define(binp.service, "web", after="databse")
    with pytest.raises(BinpError, match="'web' comes after 'databse', which is not a service") as caught:
        async with served(binp):
            raise AssertionError
    assert caught.value.fix == "did you mean 'database'?"
    assert "test_order.py:" in caught.value.where
    assert states(binp.service) == {"database": "stopped", "web": "stopped"}
    with pytest.raises(BinpError, match="is not a service"):
        binp.service.start("web")
    binp.service.stop("web")


async def test_a_disabled_one_is_listed_and_started_by_hand(db, until, served):
    """enabled= decides when services are started; by hand it runs, and a disabled one is not waited for."""
    binp, asked = BINP(db=db), []

    def enabled():
        asked.append(1)
        return False

    define(binp.service, "web", after=("off", "asked"))
    define(binp.service, "off", enabled=False)
    define(binp.service, "asked", enabled=enabled)
    async with served(binp):
        await until(lambda: states(binp.service) == {"web": "running", "off": "stopped", "asked": "stopped"})
        assert [info.enabled for info in binp.service.services] == [True, False, False]
        assert asked == [1]
        binp.service.start("off")
        binp.service.start("asked")
        await until(lambda: set(states(binp.service).values()) == {"running"})
        assert [info.enabled for info in binp.service.services] == [True, False, False]


async def test_enabled_is_asked_where_nothing_is_served(service, until):
    """Without an app it is asked when the service would be started, and who waits goes on."""
    define(service, "web", after="off")
    define(service, "off", enabled=lambda: False)
    await until(lambda: states(service) == {"web": "running", "off": "stopped"})


async def test_an_answer_that_fails_disables(service, caplog, until):
    """What cannot be decided is not started, and says why; the others are."""

    def enabled():
        raise KeyError("MODE")

    define(service, "off", enabled=enabled)
    define(service, "web")
    await until(lambda: states(service) == {"off": "stopped", "web": "running"})
    assert service.services[0].error == "enabled= failed: KeyError: 'MODE'"
    assert caplog.messages == ["service 'off' is not started: enabled= failed"]


async def test_ten_thousand_commands_for_three(service, caplog, until):
    """P1, P3: with order, readiness and health there are never two copies, none starts too early, and none is left."""
    caplog.set_level(logging.CRITICAL)
    choose = random.Random(23)
    after = {"a": (), "b": ("a",), "c": ("a", "b")}
    alive, peak, lives = dict.fromkeys(after, 0), 0, 0
    ever_ready, early = set(), []

    def define_one(name):
        async def check():
            return choose.random() < 0.5

        @service(
            name=name,
            after=after[name],
            ready=True,
            start_timeout=0.02,
            health=check,
            health_every=0.01,
            health_failures=2,
            restart_delay=QUICK,
            max_delay=QUICK,
            stop_timeout=0.05,
        )
        async def body():
            nonlocal peak, lives
            alive[name] += 1
            lives += 1
            peak = max(peak, alive[name])
            if not ever_ready.issuperset(after[name]):
                early.append(name)
            try:
                for _ in range(choose.randrange(20)):
                    await asyncio.sleep(0)
                if choose.random() < 0.8:
                    ever_ready.add(name)
                    service.ready()
                if choose.random() < 0.2:
                    raise OSError("no")
                await asyncio.Event().wait()
            finally:
                alive[name] -= 1

    for name in after:
        define_one(name)
    wanted = dict.fromkeys(after, True)
    for _ in range(10_000):
        what, name = choose.random(), choose.choice(list(after))
        if what < 0.01:
            define_one(name)
        elif what < 0.5:
            service.start(name)
        else:
            service.stop(name)
        wanted[name] = what < 0.5
        if choose.random() < 0.3:
            await asyncio.sleep(0)
    off = {name for name in after if not wanted[name]}
    await until(lambda: {name for name, state in states(service).items() if state == "stopped"} == off)
    for name in after:
        service.stop(name)
    await until(lambda: set(states(service).values()) == {"stopped"} and not any(alive.values()))
    assert (peak, early) == (1, [])
    assert lives > 50
    await until(lambda: not [task for task in asyncio.all_tasks() if "service" in task.get_name()])
