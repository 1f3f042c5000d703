"""The facade: BNP rows, and several files as one."""

from __future__ import annotations

import asyncio
import dataclasses
import types

import pytest

from binp import BINP, KV, Action, Journals, Service
from binp.errors import BinpError


def test_parts_are_replaceable_by_keyword():
    """BNP-01: a frozen dataclass whose parts are of the documented types, and replaceable."""
    kv, journal, action, service = KV("mine"), Journals(), Action(), Service()
    binp = BINP(kv=kv, journal=journal, action=action, service=service)

    assert (binp.kv, binp.journal, binp.action, binp.service) == (kv, journal, action, service)
    assert dataclasses.is_dataclass(binp)
    with pytest.raises(dataclasses.FrozenInstanceError):
        binp.kv = kv
    fresh = BINP()
    assert tuple(map(type, (fresh.kv, fresh.journal, fresh.action, fresh.service))) == (KV, Journals, Action, Service)
    assert fresh.kv.namespace == "default"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("acton", "a BINP has no 'acton'; did you mean binp.action?"),
        ("get", "a BINP has no 'get'; did you mean binp.app.get?"),
        ("xyz", "a BINP has no 'xyz'"),
    ],
)
def test_a_part_that_is_not_there(name, text):
    """BNP-01: what is misspelt, or belongs to the application, is told with what was meant."""
    with pytest.raises(AttributeError) as caught:
        getattr(BINP(), name)

    assert str(caught.value) == text
    assert not hasattr(BINP(), name)


def test_an_app_that_cannot_be_made_tells_why(monkeypatch):
    """BNP-02: what goes wrong while the application is made is not said to be missing."""
    import binp.app._application

    def broken(*_, **__):
        return object().nothing

    monkeypatch.setattr(binp.app._application, "Application", broken)
    with pytest.raises(AttributeError, match="'object' object has no attribute 'nothing'"):
        _ = BINP().app


def test_the_app_is_made_once():
    """BNP-02: the application is made at first use, and is the same object later."""
    binp = BINP()
    app = binp.app

    @binp.app.get("/hello")
    async def hello():
        return {}

    assert binp.app is app
    assert any(getattr(route, "path", "") == "/hello" for route in app.routes)


async def test_what_was_registered_before_comes_along(db):
    """BNP-01: parts that have registered something before they get into a BINP keep it."""
    action, journal, service = Action(), Journals(), Service()

    @action(name="a")
    @journal(operation="j")
    async def op():
        return 1

    binp = BINP(action=action, journal=journal, service=service, db=db)
    handle = await binp.action.start("a")
    assert await handle.result() == 1
    [headline] = await binp.journal.history()
    assert headline.operation == "j"
    await binp.home.close()


async def test_include(db):
    """Two files as one: actions, journals, services, keys and routes of the included are those of the host."""
    host, guest = BINP(db=db), BINP()

    @guest.action(name="g")
    @guest.journal(operation="gj")
    async def op():
        await guest.kv.set(x=1)

    @guest.service(name="s", autostart=False)
    async def service():
        pass

    @guest.app.get("/guest")
    async def route():
        return {}

    host.include(guest)

    @guest.action(name="later")
    async def later():
        pass

    assert [info.name for info in host.action.actions] == ["g", "later"]
    assert [info.name for info in host.service.services] == ["s"]
    assert guest.app is host.app
    assert any(getattr(route, "path", "") == "/guest" for route in host.app.routes)
    await (await host.action.start("g")).result()
    assert await host.kv.get("x") == 1
    assert [h.operation for h in await host.journal.history()] == ["gj"]
    assert [h.operation for h in await guest.journal.history()] == ["gj"]
    await host.home.close()


def _three(tmp_path):
    """Three files: the first says where the database is, the others have something of everything."""
    files = [BINP(db=f"sqlite:///{tmp_path}/main.db"), BINP(), BINP()]
    for number, file in enumerate(files):

        @file.action(name=f"action {number}")
        @file.journal(operation=f"journal {number}")
        async def op():
            pass

        @file.service(name=f"service {number}", autostart=False)
        async def service():
            await asyncio.Event().wait()

    return files


@pytest.mark.parametrize("order", ["the outer first", "the inner first"])
async def test_include_what_includes(tmp_path, monkeypatch, order):
    """Files that include files, in whatever order, are one: what was taken from one of them before comes along."""
    monkeypatch.chdir(tmp_path)
    outer, middle, inner = files = _three(tmp_path)
    shop, journaled = inner.kv.select("shop"), []

    @inner.journal.journal_updated
    def heard(number):
        journaled.append(number)

    pairs = [(outer, middle), (middle, inner)]
    for host, guest in pairs if order == "the outer first" else reversed(pairs):
        host.include(guest)

    @inner.action(name="later")
    async def later():
        pass

    for file in files:
        assert {each.name for each in file.action.actions} == {"action 0", "action 1", "action 2", "later"}
        assert {each.name for each in file.service.services} == {"service 0", "service 1", "service 2"}
        assert file.app is outer.app
    assert outer.family == files
    await inner.kv.set(x=1)
    await shop.set(y=2)
    await (await middle.action.start("action 2")).result()
    await inner.journal.journal_updated.settle()
    assert journaled
    assert await outer.kv.get("x") == 1
    assert await outer.kv.select("shop").get("y") == 2
    assert [each.operation for each in await outer.journal.history()] == ["journal 2"]
    assert {each.name.split(".")[0] for each in tmp_path.iterdir()} == {"main"}
    await middle.home.close()
    assert not any(file.home.is_open for file in files)


@pytest.mark.parametrize("order", ["the outer first", "the inner first"])
async def test_handlers_of_included_services_hear(tmp_path, order):
    """Who listens to the services of an included file, from before or later, hears of them, once."""
    outer, middle, inner = _three(tmp_path)
    heard = []
    for name, file in (("outer", outer), ("middle", middle), ("inner", inner)):
        file.service.service_changed(lambda info, name=name: heard.append((name, info.status)))
    emitter = inner.service.service_changed
    with emitter.subscribe() as queue:
        pairs = [(outer, middle), (middle, inner)]
        for host, guest in pairs if order == "the outer first" else reversed(pairs):
            host.include(guest)
        emitter(lambda info: heard.append(("later", info.status)))
        inner.service.start("service 2")
        async with asyncio.timeout(60):
            while (await queue.get()).status != "running":
                pass
        for each in (emitter, middle.service.service_changed, outer.service.service_changed):
            await each.settle()
    running = sorted(name for name, status in heard if status == "running")
    assert running == ["inner", "later", "middle", "outer"]
    await outer.home.close()


def test_include_on_another_database_changes_nothing(tmp_path):
    """Included parts that are bound to another database: nothing of them has been taken in."""
    outer, middle, inner = _three(tmp_path)
    middle.include(inner)
    other = BINP(kv=KV(db=f"sqlite:///{tmp_path}/other.db"))
    with pytest.raises(BinpError, match="different databases"):
        outer.include(other)
    assert other.family == [other]
    assert outer.family == [outer]
    other.include(middle)
    assert [each.name for each in other.action.actions] == ["action 1", "action 2"]
    with pytest.raises(BinpError, match="different databases"):
        outer.include(other)
    assert [each.name for each in outer.action.actions] == ["action 0"]


def test_include_refuses_nonsense():
    """A BINP cannot include itself, nor be included twice."""
    host, guest = BINP(), BINP()
    host.include(guest)
    with pytest.raises(BinpError, match="included already"):
        BINP().include(guest)
    with pytest.raises(BinpError, match="cannot include itself"):
        host.include(host)
    with pytest.raises(BinpError, match="cannot include itself"):
        guest.include(host)


async def test_include_refuses_what_is_in_use(db):
    """A BINP that is open, or being opened, can neither include nor be included."""
    used, other = BINP(db=db), BINP()
    opening = asyncio.ensure_future(used.kv.get("x"))
    await asyncio.sleep(0)
    for _ in range(2):
        for host, guest in ((used, other), (other, used)):
            with pytest.raises(BinpError, match="is open cannot be included"):
                host.include(guest)
        await opening
    await used.home.close()


def test_include_on_another_database_is_refused(tmp_path):
    """Included parts that are bound to another database are an error naming both."""
    host, guest = BINP(db=f"sqlite:///{tmp_path}/a.db"), BINP(db=f"sqlite:///{tmp_path}/b.db")
    with pytest.raises(BinpError, match="different databases"):
        host.include(guest)


def test_prepare_of_the_file_is_a_plugin(monkeypatch):
    """A served file may define prepare(load): it is among the plugins, behind the given ones."""
    import sys

    module = types.ModuleType("ops_file")
    monkeypatch.setitem(sys.modules, "ops_file", module)
    source = "from binp import BINP\nbinp = BINP(plugins=['some.plugin'])\nasync def prepare(load):\n    pass\n"
    exec(compile(source, "ops_file.py", "exec"), module.__dict__)

    assert module.binp.all_plugins() == ["some.plugin", module.prepare]


def test_nothing_runs_when_the_app_is_only_made(db):
    """BNP-02: asking for the app starts nothing."""
    binp = BINP(db=db)
    started = []

    async def main():
        @binp.service
        async def service():
            started.append(1)

        _ = binp.app
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert started == []


async def test_a_binp_is_not_its_app():
    """A server that is pointed at the BINP instead of its app is told so, when it starts and when it is asked."""
    binp = BINP()
    sent = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        sent.append(message)

    await binp({"type": "lifespan"}, receive, send)
    assert sent == [
        {
            "type": "lifespan.startup.failed",
            "message": "this is a BINP, and what can be served is its app\n"
            "  fix:   name the app: `uvicorn ops:binp.app`",
        }
    ]
    with pytest.raises(BinpError, match="what can be served is its app"):
        await binp({"type": "http"}, receive, send)
