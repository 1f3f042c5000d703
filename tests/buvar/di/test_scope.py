"""Scopes, the application, and how everything opened in them ends."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator

import pytest

from buvar import context, di
from buvar.components import Components
from buvar.di import _adapters


class Pool:
    pass


class Session:
    def __init__(self, pool=None):
        self.pool = pool


class Span:
    pass


class Handler:
    def __init__(self, session: Session, span: Span):
        self.session, self.span = session, span


class Log(list):
    """What happened, in order."""

    def agen(self, type_, name, *, eats=False, fails=None, late=None):
        async def make() -> AsyncIterator[type_]:
            self.append(f"open {name}")
            try:
                yield type_()
            except BaseException as error:
                self.append(f"{name} sees {error!r}")
                if late:
                    raise late from None
                if not eats:
                    raise
            self.append(f"close {name}")
            if fails:
                raise fails

        make.__annotations__["return"] = AsyncIterator[type_]
        return make

    def gen(self, type_, name, *, eats=False, fails=None):
        def make() -> Iterator[type_]:
            self.append(f"open {name}")
            try:
                yield type_()
            except BaseException as error:
                self.append(f"{name} sees {error!r}")
                if not eats:
                    raise
            self.append(f"close {name}")
            if fails:
                raise fails

        make.__annotations__["return"] = Iterator[type_]
        return make


@pytest.fixture
def log():
    return Log()


async def test_generators_are_closed_in_reverse(log):
    """Brief of scopes: synchronous and asynchronous generators live until the scope ends, then end in reverse."""
    di.register(log.agen(Session, "session"), log.gen(Span, "span"), Handler)

    async with di.scope() as scope:
        handler = await di.nject(Handler)
        other = await scope.nject(Handler)
        assert handler.session is not other.session
        log.append("body")

    assert log == [
        "open session", "open span", "open session", "open span", "body",
        "close span", "close session", "close span", "close session",
    ]  # fmt: skip


async def test_context_managers(log):
    """Functions of contextlib are entered and left like generators."""

    @contextlib.asynccontextmanager
    async def session() -> AsyncGenerator[Session, None]:
        log.append("open session")
        try:
            yield Session()
        finally:
            log.append("close session")

    @contextlib.contextmanager
    def span() -> Generator[Span, None, None]:
        log.append("open span")
        try:
            yield Span()
        finally:
            log.append("close span")

    di.register(session, span, Handler)

    async with di.scope() as scope:
        assert type((await scope.nject(Handler)).span) is Span
    with pytest.raises(RuntimeError, match="^of the body$"):
        async with di.scope() as scope:
            await scope.nject(Handler)
            raise RuntimeError("of the body")

    assert log == ["open session", "open span", "close span", "close session"] * 2


async def test_the_error_of_the_body_is_thrown_in(log):
    """The error that leaves the block is seen by each generator, cannot be swallowed and stays the error."""
    di.register(log.agen(Session, "session", eats=True), log.gen(Span, "span", eats=True), Handler)
    error = ValueError("x")

    with pytest.raises(ValueError) as info:
        async with di.scope() as scope:
            await di.nject(Handler)
            raise error

    assert info.value is error
    assert scope.teardown_errors == ()
    assert log[2:] == ["span sees ValueError('x')", "close span", "session sees ValueError('x')", "close session"]


async def test_a_failing_teardown_hides_no_error(log, caplog):
    """With an error of the body, failed teardowns become notes on it, are logged, and the rest is still closed."""
    di.register(
        log.agen(Session, "session", eats=True),
        log.gen(Span, "span", eats=True, fails=OSError("span broke")),
        Handler,
    )

    with caplog.at_level(logging.ERROR, "buvar.di"), pytest.raises(ValueError) as info:
        async with di.scope() as scope:
            await di.nject(Handler)
            raise ValueError("x")

    assert info.value.__notes__ == ["teardown in scope failed as well: OSError: span broke"]
    assert [repr(error) for error in scope.teardown_errors] == ["OSError('span broke')"]
    assert log[-1] == "close session"
    assert [record.message for record in caplog.records] == ["teardown in scope failed"]


async def test_one_failing_teardown_is_raised_as_it_is(log):
    """Without an error of the body, a single failure is raised, after all others were closed with it thrown in."""
    error = OSError("span broke")
    di.register(log.agen(Session, "session"), log.gen(Span, "span", fails=error), Handler)

    with pytest.raises(OSError) as info:
        async with di.scope():
            await di.nject(Handler)

    assert info.value is error
    assert log[2:] == ["close span", "session sees OSError('span broke')"]


async def test_several_failing_teardowns_are_a_group(log):
    """Without an error of the body, several failures are one group, in the order of happening."""
    di.register(
        log.agen(Session, "session", eats=True, fails=KeyError("session broke")),
        log.gen(Span, "span", fails=OSError("span broke")),
        Handler,
    )

    with pytest.raises(ExceptionGroup) as info:
        async with di.scope():
            await di.nject(Handler)

    assert info.value.message == "2 teardowns in scope failed"
    assert [repr(error) for error in info.value.exceptions] == ["OSError('span broke')", "KeyError('session broke')"]


async def test_a_cancelled_teardown_stays_a_cancellation(log, caplog):
    """A cancellation that arrives in a teardown is raised as such; the rest is closed and failures are noted."""
    started = asyncio.Event()

    async def span() -> AsyncIterator[Span]:
        yield Span()
        started.set()
        await asyncio.sleep(60)

    di.register(log.agen(Session, "session", eats=True, fails=OSError("late")), span, Handler)

    async def work():
        async with di.scope():
            await di.nject(Handler)

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as info:
        await task

    assert log[1:] == ["session sees CancelledError()", "close session"]
    assert info.value.__notes__ == ["teardown in scope failed as well: OSError: late"]


@pytest.mark.parametrize("error", [StopIteration("s"), StopAsyncIteration("s"), GeneratorExit()])
async def test_awkward_errors_of_the_body(log, error):
    """StopIteration and its like, which generators cannot raise, leave the block as they are."""
    di.register(log.agen(Session, "session"), log.gen(Span, "span"), Handler)

    try:
        async with di.scope() as scope:
            await di.nject(Handler)
            raise error
    except BaseException as seen:
        caught = seen

    assert caught is error or caught.__cause__ is error
    assert scope.teardown_errors == ()


async def test_replacing_the_error_is_a_failed_teardown(log, caplog):
    """A generator that raises another error instead of the thrown one does not replace it."""
    di.register(log.agen(Session, "session", late=OSError("other")))

    with pytest.raises(ValueError) as info:
        async with di.scope():
            await di.nject(Session)
            raise ValueError("x")

    assert info.value.__notes__ == ["teardown in scope failed as well: OSError: other"]


@pytest.mark.parametrize("throws", [False, True])
async def test_yielding_twice(throws, caplog):
    """A generator that yields a second time is closed, and that is an error."""

    async def session() -> AsyncIterator[Session]:
        try:
            yield Session()
        except (ValueError, RuntimeError):
            pass
        yield Session()

    def span() -> Iterator[Span]:
        try:
            yield Span()
        except (ValueError, RuntimeError):
            pass
        yield Span()

    di.register(session, span, Handler)

    with pytest.raises(ValueError if throws else ExceptionGroup):
        async with di.scope() as scope:
            await di.nject(Handler)
            if throws:
                raise ValueError

    assert [str(error) for error in scope.teardown_errors][:1] == [
        "test_yielding_twice.span yielded a second time instead of ending"
    ]
    assert len(scope.teardown_errors) == 2


async def test_failing_to_close_one_that_yields_twice():
    """When closing a generator that yields too often fails, that error is the one."""

    async def session() -> AsyncIterator[Session]:
        yield Session()
        try:
            yield Session()
        finally:
            raise OSError("stuck")

    di.register(session)

    with pytest.raises(OSError, match="^stuck$"):
        async with di.scope():
            await di.nject(Session)


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_yielding_never(kind):
    """A generator that ends without a value is an error that names it."""

    async def agen() -> AsyncIterator[Session]:
        if False:
            yield

    def gen() -> Iterator[Session]:
        if False:
            yield

    di.register(agen if kind == "async" else gen)

    async with di.scope():
        with pytest.raises(di.AdapterError) as info:
            await di.nject(Session)
    name = f"{__name__}.test_yielding_never.{'agen' if kind == 'async' else 'gen'}"
    assert str(info.value) == (
        f"{name} ended without yielding anything\n"
        "  fix:   yield the value once; what comes behind the yield is the teardown"
    )


async def test_no_scope(log):
    """Without a scope, what needs a teardown is refused with the way out, even where another adapter could serve."""

    def older() -> Session:
        return Session()

    di.register(older, Handler, log.gen(Span, "span"))

    with pytest.raises(di.ResolveError) as info:
        await di.nject(Handler)
    assert str(info.value) == (
        "Span has a teardown, and no scope is open that could run it\n"
        "  where: Handler\n"
        f"         └─ by Handler(session: Session, span: Span) in {__name__}\n"
        f"            └─ by make() in {__name__}\n"
        "  fix:   open one around the call: async with di.scope():\n"
        '         or keep it for the whole application: register(..., scope="app")'
    )
    assert log == []


async def test_no_application():
    """Without an application, what lives in one is refused with the way out."""
    di.register(Pool, scope="app")

    with pytest.raises(di.ResolveError) as info:
        await di.nject(Pool)
    assert str(info.value) == (
        "Pool lives as long as the application, and none is open\n"
        "  where: Pool\n"
        f"         └─ by Pool() in {__name__}\n"
        "  fix:   open one around the program: async with di.application():"
    )


async def test_no_scope_to_keep_it():
    """Without a scope, what is kept by one is refused with the way out."""
    di.register(Pool, scope="scope")

    with pytest.raises(di.ResolveError) as info:
        await di.nject(Pool)
    assert str(info.value) == (
        "Pool lives as long as a scope, and none is open\n"
        "  where: Pool\n"
        f"         └─ by Pool() in {__name__}\n"
        "  fix:   open one around the call: async with di.scope():"
    )


async def test_unknown_lifetime(adapters):
    """A lifetime that does not exist is refused."""
    with pytest.raises(ValueError, match=r"^scope='request': expected 'call', 'scope' or 'app'$"):
        di.register(Pool, scope="request")


async def test_scopes_nest(log):
    """An inner scope closes what was opened in it, and no more; its layer goes with it."""
    di.register(log.agen(Session, "session"))

    async with di.scope() as outer:
        context.add("outer")
        await di.nject(Session)
        async with di.scope() as inner:
            context.add("inner")
            await di.nject(Session)
            assert context.get(str) == "inner"
            log.append("inner ends")
        assert context.get(str) == "outer"
        assert context.current_context() is outer.components
        assert inner.is_closed
        log.append("outer ends")

    assert log == [
        "open session", "open session", "inner ends", "close session", "outer ends", "close session",
    ]  # fmt: skip
    assert context.find(str) == {}


async def test_a_scope_on_given_components():
    """A scope may stand on components other than the current ones."""
    components = Components()
    pool = components.add(Pool())

    async with di.scope(components) as scope:
        assert await scope.nject(Pool) is pool
        assert await di.nject(Pool) is pool


async def test_kept_by_the_scope(log):
    """scope="scope": made once in each scope, also by two who ask at once, closed with it."""
    made = log.agen(Session, "session")
    di.register(made, scope="scope")
    di.register(log.gen(Span, "span"), Handler)

    async with di.scope() as scope:
        one, other = await asyncio.gather(di.nject(Session), di.nject(Session))
        assert one is other is (await scope.nject(Handler)).session
        async with di.scope():
            assert await di.nject(Session) is not one
    assert log.count("open session") == log.count("close session") == 2

    async def slow() -> Pool:
        await asyncio.sleep(0)
        return Pool()

    di.register(slow, scope="scope")
    async with di.scope():
        one, other = await asyncio.gather(di.nject(Pool), di.nject(Pool))
        assert one is other


async def test_who_waits_in_a_scope_takes_over():
    """When the one who makes a kept value is cancelled, the next one makes it; errors reach all and are forgotten."""
    calls = 0
    go = asyncio.Event()

    async def make() -> Session:
        nonlocal calls
        calls += 1
        number = calls
        await go.wait()
        if number == 2:
            raise OSError("broken")
        return Session()

    di.register(make, scope="scope")

    async with di.scope():
        first = asyncio.create_task(di.nject(Session))
        second = asyncio.create_task(di.nject(Session))
        third = asyncio.create_task(di.nject(Session))
        impatient = asyncio.create_task(di.nject(Session))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        impatient.cancel()
        first.cancel()
        await asyncio.sleep(0.01)
        go.set()
        results = await asyncio.gather(first, second, third, impatient, return_exceptions=True)
        assert [type(one) for one in results] == [
            asyncio.CancelledError, OSError, OSError, asyncio.CancelledError,
        ]  # fmt: skip
        assert type(await di.nject(Session)) is Session
    assert calls == 3


async def test_kept_by_the_application(log):
    """scope="app": made once, also by two who ask at once and in several scopes; closed when the application ends."""
    di.register(log.agen(Pool, "pool"), scope="app")

    class Users:
        def __init__(self, pool: Pool):
            self.pool = pool

    di.register(Users)

    async with di.application() as application:
        one, other = await asyncio.gather(di.nject(Pool), di.nject(Users))
        async with di.scope() as scope:
            third = await scope.nject(Users)
        assert one is other.pool is third.pool
        assert await application.nject(Pool) is one
        log.append("end")

    assert log == ["open pool", "end", "close pool"]
    with pytest.raises(di.ResolveError):
        await di.nject(Pool)


async def test_a_failed_build_is_not_kept():
    """An application value whose build fails is made again by the next who asks; all who wait get the error."""
    calls = 0

    async def make() -> Pool:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if calls == 1:
            raise OSError("not yet")
        return Pool()

    di.register(make, scope="app")

    async with di.application():
        results = await asyncio.gather(di.nject(Pool), di.nject(Pool), return_exceptions=True)
        assert [repr(one) for one in results] == ["OSError('not yet')"] * 2
        assert type(await di.nject(Pool)) is Pool
    assert calls == 2


async def test_a_cancelled_waiter_does_not_cancel_the_build():
    """Who waits for an application value can leave; the others still get it."""
    go = asyncio.Event()
    calls = 0

    async def make() -> Pool:
        nonlocal calls
        calls += 1
        await go.wait()
        return Pool()

    di.register(make, scope="app")

    async with di.application():
        first = asyncio.create_task(di.nject(Pool))
        second = asyncio.create_task(di.nject(Pool))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        go.set()
        assert type(await second) is Pool
    assert calls == 1


async def test_closing_while_something_is_built():
    """An application that closes cancels what is being built, and says so to those who wait."""
    closed = []

    async def make() -> AsyncIterator[Pool]:
        try:
            await asyncio.sleep(60)
            yield Pool()
        finally:
            closed.append(1)

    di.register(make, scope="app")

    async with di.application() as application:
        waiter = asyncio.create_task(di.nject(Pool))
        await asyncio.sleep(0.01)
    with pytest.raises(di.ResolveError) as info:
        await waiter
    assert str(info.value) == (
        "Pool cannot be opened: the application that it would live in is closed\n"
        "  fix:   finish the work inside the application, or open one for it: async with di.application():"
    )
    assert closed == [1]
    with pytest.raises(di.ResolveError, match="^Pool cannot be opened"):
        await application.once(_adapters.Key.of(_candidate(Pool), ()), None)


def _candidate(type_):
    from buvar.di._adapters import Candidate

    return Candidate(di.lookup(type_)[0], None)


async def test_closing_is_cancelled(log):
    """An application whose closing is cancelled while it waits for builds still closes everything."""

    async def stubborn() -> Pool:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
        return Pool()

    di.register(log.agen(Session, "session"), stubborn, scope="app")
    left = asyncio.Event()

    async def work():
        async with di.application():
            await di.nject(Session)
            waiting = asyncio.create_task(di.nject(Pool))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            left.set()
        del waiting

    task = asyncio.create_task(work())
    await left.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["open session", "session sees CancelledError()"]
    await asyncio.sleep(0.1)


async def test_a_build_that_became_impossible():
    """What a value is made of may go between asking and building: that is an error like any other."""

    class Part: ...

    class Whole:
        def __init__(self, part: Part): ...

    async def first() -> Pool:
        def part(missing: set) -> Part: ...

        di.register(part, replace=True)
        return Pool()

    di.register(Part, first)
    di.register(Whole, scope="scope")

    async with di.scope():
        with pytest.raises(di.ResolveError, match="^cannot build Whole: nobody provides missing: set\n"):
            await di.nject(Pool, Whole)


async def test_waiting_for_several():
    """Who waits for several others is found among them."""

    class Other: ...

    go = asyncio.Event()

    async def other() -> Other:
        await go.wait()
        return Other()

    class Fourth: ...

    async def fourth() -> Fourth:
        await go.wait()
        return Fourth()

    async def pool() -> Pool:
        await asyncio.gather(di.nject(Other), di.nject(Span), di.nject(Fourth), di.nject(Session))
        return Pool()

    async def span() -> Span:
        await go.wait()
        return Span()

    async def session() -> Session:
        await di.nject(Pool)
        return Session()

    di.register(other, pool, span, fourth, session, scope="app")

    async with di.application():
        with pytest.raises(di.ResolveError, match="^Pool is needed to build itself"):
            await asyncio.wait_for(di.nject(Pool), 200)
        go.set()


async def test_an_application_value_sees_the_application_only():
    """An application value does not capture what belongs to one call: no keyword, no component of a scope."""

    class Users:
        def __init__(self, pool: Pool | None = None, name: str = ""):
            self.pool, self.name = pool, name

    di.register(Users, scope="app")

    async with di.application():
        context.add("app", name="name")
        async with di.scope():
            context.add(Pool())
            users = await di.nject(Users, name="call")
    assert (users.pool, users.name) == (None, "app")


async def test_the_context_of_a_build():
    """A body that builds an application value runs in the application's context, not in that of who asks."""
    seen = []

    async def make() -> Pool:
        seen.append(context.get(str))
        return Pool()

    di.register(make, scope="app")

    async with di.application():
        context.add("app")
        async with di.scope():
            context.add("scope")
            await di.nject(Pool)
    assert seen == ["app"]


async def test_generators_inside_an_application_value(log):
    """What an application value is made of lives as long as it, also what would else live in a scope."""
    di.register(log.agen(Session, "session"))
    di.register(log.gen(Span, "span"), scope="scope")
    di.register(Handler, scope="app")

    async with di.application():
        async with di.scope():
            handler = await di.nject(Handler)
        log.append("scope ended")
        assert await di.nject(Handler) is handler
    assert log == ["open session", "open span", "scope ended", "close span", "close session"]


async def test_a_scoped_value_of_a_scoped_value_inside_an_application_value(log):
    """What would live in a scope and needs another such, or a generator, lives in the application all the same."""

    def span(session: Session) -> Iterator[Span]:
        log.append("open span")
        yield Span()
        log.append("close span")

    di.register(log.agen(Session, "session"), span, scope="scope")
    di.register(Handler, scope="app")

    async with di.application():
        async with di.scope():
            handler = await di.nject(Handler)
            assert await di.nject(Span) is not handler.span
        assert await di.nject(Handler) is handler
    assert log == [
        "open session", "open span", "open session", "open span", "close span", "close session",
        "close span", "close session",
    ]  # fmt: skip


async def test_what_nothing_keeps_sees_no_more_than_who_asks():
    """A scope's value is not refused because of what an application could make only of the newest layers."""

    class Users:
        def __init__(self, pool: Pool):
            self.pool = pool

    class Page:
        def __init__(self, users: Users | None = None):
            self.users = users

    di.register(Users, scope="app")
    di.register(Page, scope="scope")

    async with di.scope() as scope:
        with context.child():
            context.add(Pool())
            with pytest.raises(di.ResolveError, match="^Users lives as long as the application"):
                await di.nject(Users)
            assert (await di.nject(Page)).users is None
        assert (await scope.nject(Page)).users is None


async def test_refused_when_it_is_made():
    """What turns out to need an application only when it is made on its own is refused with the way out."""

    class Request:
        def __init__(self, page: "Page | None" = None): ...

    class Users:
        def __init__(self, request: Request, pool: Pool): ...

    class Page:
        def __init__(self, users: Users | None = None): ...

    di.register(Pool, scope="app")
    di.register(Request, Users)
    di.register(Page, scope="scope")

    async with di.scope():
        # a part of the request, it could do without users, who need the request
        with pytest.raises(di.ResolveError, match="^Pool lives as long as the application, and none is open") as caught:
            await di.nject(Request)
    assert "Page" in str(caught.value)


@pytest.mark.parametrize("lifetime", ["scope", "app"])
@pytest.mark.parametrize("kind", ["async", "sync", "manager"])
async def test_every_kind_is_finished(lifetime, kind):
    """What ends as it must is finished alike in a scope and in an application; one that yields again is an error."""
    seen = []

    async def asynchronous() -> AsyncIterator[Pool]:
        yield Pool()
        seen.append("closed")
        yield Pool()

    def synchronous() -> Iterator[Pool]:
        yield Pool()
        seen.append("closed")
        yield Pool()

    @contextlib.contextmanager
    def manager() -> Iterator[Pool]:
        yield Pool()
        seen.append("closed")

    di.register({"async": asynchronous, "sync": synchronous, "manager": manager}[kind], scope=lifetime)
    if kind == "manager":
        expected = contextlib.nullcontext()
    else:
        expected = pytest.raises(RuntimeError, match="nous yielded a second time instead of ending")
    with expected:
        async with di.scope() if lifetime == "scope" else di.application():
            await di.nject(Pool)
    assert seen == ["closed"]


async def test_applications_are_independent():
    """Applications on different components each have their own values; nested ones too."""
    di.register(Pool, scope="app")
    one, other = Components(), Components()

    async with di.application(one) as first, di.application(other) as second:
        assert first.components is one
        assert await first.nject(Pool) is not await second.nject(Pool)
        assert await first.nject(Pool) is await first.nject(Pool)
        async with di.application(one) as nested:
            assert nested.components is not one
            assert await nested.nject(Pool) is not await first.nject(Pool)
    async with di.application(one) as again:
        assert again.components is one


async def test_children_of_given_components():
    """Who runs with a child of the components that an application stands on, is in the application."""
    di.register(Pool, scope="app")
    components = Components()
    child = components.push()

    async with di.application(components) as application:
        token = context.buvar_context.set(child)
        pool = await di.nject(Pool)
        context.buvar_context.reset(token)
        assert pool is await application.nject(Pool)


async def test_a_scope_around_the_application_does_not_count(log):
    """What needs a scope inside of an application, needs one inside of it."""
    di.register(log.agen(Session, "session"))

    async with di.scope():
        async with di.application():
            with pytest.raises(di.ResolveError, match="^Session has a teardown"):
                await di.nject(Session)


async def test_left_in_another_task(log):
    """An application may be entered in one task and left in another."""
    di.register(log.agen(Pool, "pool"), scope="app")
    application = di.application(Components())

    await asyncio.create_task(application.__aenter__())
    await application.nject(Pool)
    await asyncio.create_task(application.__aexit__(None, None, None))

    assert log == ["open pool", "close pool"]
    assert context.current_context() is not application.components


async def test_another_loop(adapters):
    """An application value is built in the loop of its application only."""
    di.register(Pool, scope="app")

    async with di.application() as application:

        async def ask():
            return await application.nject(Pool)

        with pytest.raises(di.ResolveError) as info:
            await asyncio.to_thread(asyncio.run, ask())
        assert str(info.value) == (
            "Pool lives in an application of another event loop\n"
            "  fix:   ask for it in the loop that opened the application, or open one here: "
            "async with di.application():"
        )
        pool = await application.nject(Pool)
        assert await asyncio.to_thread(asyncio.run, ask()) is pool


@pytest.mark.parametrize("lifetime", ["scope", "app"])
async def test_bodies_that_need_each_other(lifetime):
    """Kept values whose bodies ask for each other are an error, not a deadlock."""

    async def make_pool() -> Pool:
        await di.nject(Session)
        return Pool()

    async def make_session() -> Session:
        await asyncio.sleep(0)
        await di.nject(Pool)
        return Session()

    di.register(make_pool, make_session, scope=lifetime)

    async with di.application(), di.scope():
        with pytest.raises(di.ResolveError) as info:
            await asyncio.wait_for(di.nject(Pool), 200)
        assert str(info.value) == (
            "Pool is needed to build itself\n"
            "  where: Session -> Pool -> Session\n"
            "  fix:   ask for it in a parameter instead of inside the body, and break the cycle"
        )
        results = await asyncio.wait_for(asyncio.gather(di.nject(Pool), di.nject(Session), return_exceptions=True), 200)
        assert [type(one) for one in results] == [di.ResolveError] * 2


async def test_a_body_that_needs_itself():
    """A kept value whose body asks for itself is an error, not a deadlock."""

    async def make() -> Pool:
        return await di.nject(Pool)

    di.register(make, scope="app")

    async with di.application():
        with pytest.raises(di.ResolveError) as info:
            await asyncio.wait_for(di.nject(Pool), 200)
    assert info.value.where == "Pool -> Pool"


async def test_outliving_the_scope(log):
    """A task that outlives its scope can open nothing there any more."""
    di.register(log.agen(Session, "session"))
    di.register(log.gen(Span, "span"), scope="scope")
    go = asyncio.Event()

    async def late(type_):
        await go.wait()
        return await di.nject(type_)

    async with di.scope():
        await di.nject(Session)
        tasks = [asyncio.create_task(late(Session)), asyncio.create_task(late(Span))]
    go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert [str(error) for error in results] == [
        f"{what} cannot be opened: the scope that it would live in is closed\n"
        "  where: a task that has outlived it\n"
        "  fix:   finish the work inside the scope, or open one for it: async with di.scope():"
        for what in ("make", "Span")
    ]
    assert log == ["open session", "close session"]


async def test_opened_while_the_scope_closes(log):
    """What gets open while its scope is being closed, is closed at once."""
    go = asyncio.Event()

    async def session() -> AsyncIterator[Session]:
        await go.wait()
        log.append("open")
        yield Session()
        log.append("close")

    di.register(session)

    async with di.scope():
        task = asyncio.create_task(di.nject(Session))
        await asyncio.sleep(0)
    go.set()
    with pytest.raises(di.ResolveError, match="the scope that it would live in is closed"):
        await task
    assert log == ["open", "close"]


async def test_scopes_leave_no_garbage(log):
    """A scope is gone when it is left, without the garbage collector."""
    di.register(log.agen(Session, "session"), log.gen(Span, "span"), Handler)

    async def work():
        async with di.scope():
            await di.nject(Handler)

    await work()
    gc.collect()
    gc.disable()
    try:
        await work()
        assert gc.collect() == 0
    finally:
        gc.enable()


async def test_override(log):
    """An override goes before components, keywords and adapters, for its type and where its adapter would serve."""

    class Base: ...

    class Thing(Base): ...

    class User:
        def __init__(self, thing: Thing, base: Base):
            self.thing, self.base = thing, base

    di.register(Thing, User)
    context.add(Thing(), name="thing")
    fake = object()

    with di.override(Thing, fake) as given:
        assert given is fake
        user = await di.nject(User, thing=Thing())
        assert user.thing is fake
        assert await di.nject(Base) is fake
        assert await di.nject(Thing | None) is fake
        async with di.override(Thing, "second"):
            assert await di.nject(Thing) == "second"
        assert await di.nject(Thing) is fake
    assert type((await di.nject(User)).thing) is Thing


async def test_override_and_kept_values(log):
    """An override counts for values that are kept already, and for those made of it; the old ones come back."""

    class Users:
        def __init__(self, pool: Pool):
            self.pool = pool

    class Unrelated: ...

    di.register(log.agen(Pool, "pool"), Users, Unrelated, scope="app")

    async with di.application():
        users, unrelated, pool = await di.nject(Users, Unrelated, Pool)
        with di.override(Pool, "fake"):
            assert await di.nject(Pool) == "fake"
            faked = await di.nject(Users)
            assert faked.pool == "fake"
            assert await di.nject(Users) is faked
            assert await di.nject(Unrelated) is unrelated
        assert await di.nject(Users) is users
        assert await di.nject(Pool) is pool
        with di.override(Pool, "other"):
            assert (await di.nject(Users)).pool == "other"
    assert log == ["open pool", "close pool"]


async def test_a_kept_value_that_cannot_be_built():
    """A kept value whose parts are missing where it would live is an error that says so."""

    class Whole:
        def __init__(self, pool: Pool): ...

    di.register(Whole, scope="app")

    async with di.application():
        with pytest.raises(di.ResolveError, match="^cannot build Whole: nobody provides pool: Pool\n"):
            async with di.scope():
                context.add(Pool())
                await di.nject(Whole)


async def test_keywords_inside_a_scope():
    """DI-05: a keyword of the scope's own `nject` wins there as well."""
    adapters = di.Adapters()
    adapters.register(lambda_of(Session))
    async with adapters.scope() as scope:
        given = Session()
        assert await scope.nject(Session, session=given) is not None
        assert (await scope.nject(Holder, session=given, holder=Holder(given))).session is given


class Holder:
    def __init__(self, session: Session):
        self.session = session


def lambda_of(cls):
    def make() -> cls:
        return cls()

    return make


async def test_a_scope_that_is_left_elsewhere():
    """A scope may be left by another task than the one that entered; that task's context stays as it is."""
    scope = di.scope()
    await asyncio.create_task(scope.__aenter__())
    before = context.current_context()
    await asyncio.create_task(scope.__aexit__(None, None, None))
    assert context.current_context() is before
    assert scope.is_closed
