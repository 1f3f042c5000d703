"""What is closed at the end, in which order, and what happens when closing fails."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator

import pytest

from buvar import context, di, plugin


async def note(seen, it):
    seen.append(it)


async def test_reverse_order_one_after_the_other():
    """PLG-09: entries run strictly in reverse order, each after the one before has ended (B-08)."""
    seen = []

    async def slow(name):
        seen.append(f"{name} begins")
        await asyncio.sleep(0.01)
        seen.append(f"{name} ends")

    teardown = plugin.Teardown()
    for name in "abc":
        teardown.add(slow(name))
    await teardown.run()
    assert seen == ["c begins", "c ends", "b begins", "b ends", "a begins", "a ends"]
    await teardown.run()
    assert len(seen) == 6


async def test_kinds_of_entries():
    """PLG-09: a coroutine, a future, a callable, a coroutine function, a decorated function."""
    seen = []
    teardown = plugin.Teardown()
    teardown.add(note(seen, "coroutine"))
    teardown.add(asyncio.get_running_loop().create_task(note(seen, "task")))
    teardown.add(lambda: seen.append("callable"))
    teardown.add(lambda: note(seen, "returned"))

    @teardown.add
    async def close():
        seen.append("function")

    assert asyncio.iscoroutinefunction(close)
    await teardown.run()
    assert seen == ["function", "returned", "callable", "task", "coroutine"] or seen[-1] == "coroutine"
    with pytest.raises(TypeError, match=r"^5 can neither be awaited nor called$"):
        teardown.add(5)


async def test_enter():
    """PLG-09: `enter` opens a context manager, asynchronous or not, and the teardown closes it."""
    seen = []

    @contextlib.asynccontextmanager
    async def pool():
        yield "pool"
        seen.append("pool closed")

    @contextlib.contextmanager
    def file():
        yield "file"
        seen.append("file closed")

    teardown = plugin.Teardown()
    assert await teardown.enter(pool()) == "pool"
    assert await teardown.enter(file()) == "file"
    with pytest.raises(TypeError, match="context manager"):
        await teardown.enter(5)
    await teardown.run()
    assert seen == ["file closed", "pool closed"]


async def test_every_entry_runs_and_all_errors_are_raised(caplog):
    """PLG-09: each entry runs whatever the others did; errors are logged and raised together (B-08)."""
    seen = []

    def fail(error):
        raise error

    errors = [LookupError("a"), ValueError("c")]
    teardown = plugin.Teardown()
    teardown.add(lambda: seen.append(1))
    teardown.add(lambda: fail(errors[1]))
    teardown.add(lambda: seen.append(2))
    teardown.add(lambda: fail(errors[0]))
    with pytest.raises(plugin.TeardownError) as caught:
        await teardown.run()
    assert seen == [2, 1]
    assert caught.value.exceptions == tuple(errors)
    assert str(caught.value) == "2 of the teardown's entries failed\n  - LookupError: a\n  - ValueError: c"
    assert [(r.levelno, r.exc_info[1]) for r in caplog.records] == [(logging.ERROR, each) for each in errors]
    rest = caught.value.split(LookupError)[1]
    assert str(rest) == "an entry of the teardown failed\n  - ValueError: c"
    with pytest.raises(plugin.TeardownError):
        kind, arguments = caught.value.__reduce__()
        raise kind(*arguments)


async def test_every_entry_is_bounded():
    """PLG-09: an entry that takes too long is cancelled, and the others run (B-08)."""
    seen = []
    teardown = plugin.Teardown(timeout=0.05)
    teardown.add(lambda: seen.append("first"))
    teardown.add(asyncio.Event().wait())
    with pytest.raises(plugin.TeardownError) as caught:
        await teardown.run()
    assert seen == ["first"]
    assert [repr(each) for each in caught.value.exceptions] == ["TimeoutError('took longer than 0.05 seconds')"]


async def test_a_timeout_of_the_entry_itself_is_kept():
    """PLG-09: a TimeoutError that an entry raises is raised as it is."""
    error = TimeoutError("mine")

    async def fail():
        raise error

    teardown = plugin.Teardown()
    teardown.add(fail())
    with pytest.raises(plugin.TeardownError) as caught:
        await teardown.run()
    assert caught.value.exceptions == (error,)


def test_a_teardown_that_is_never_run_warns_of_nothing():
    """PLG-09: coroutines of a teardown that never ran are closed (B-21)."""
    teardown = plugin.Teardown()
    teardown.add(note([], 1))
    teardown.add(lambda: None)
    del teardown
    gc.collect()


async def test_cancelling_the_teardown():
    """PLG-09: the entry at hand is cancelled, the others run, and the cancellation is raised."""
    seen = []
    teardown = plugin.Teardown()
    teardown.add(lambda: seen.append("rest"))
    teardown.add(asyncio.Event().wait())
    task = asyncio.create_task(teardown.run())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["rest"]


async def test_hurrying_the_teardown():
    """PLG-09: hurrying cancels the entry at hand and no more."""
    seen = []
    teardown = plugin.Teardown()
    teardown.hurry()
    teardown.add(lambda: seen.append("rest"))
    teardown.add(asyncio.Event().wait())
    task = asyncio.create_task(teardown.run())
    await asyncio.sleep(0.01)
    teardown.hurry()
    await task
    assert seen == ["rest"]


def test_teardown_runs_after_the_tasks_also_when_they_fail():
    """PLG-09: the teardown runs after the tasks, whatever became of them, and keeps their results (B-08)."""
    seen = []

    async def fail():
        seen.append("task")
        raise LookupError

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("teardown"))
        yield fail()

    plugin.stage(prepare)
    assert seen == ["task", "teardown"]

    async def broken(teardown: plugin.Teardown):
        teardown.add(lambda: 1 / 0)
        yield asyncio.sleep(0, "result")

    stage = plugin.Stage()
    with pytest.raises(plugin.TeardownError):
        stage.run(broken)
    assert stage.results == ["result"]


def test_a_failing_teardown_does_not_hide_what_went_wrong_first(caplog):
    """PLG-09: the error of loading is raised, that of the teardown is logged (B-08)."""

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: 1 / 0)
        raise LookupError("first")

    with pytest.raises(LookupError, match="first"):
        plugin.stage(prepare)
    assert [type(record.exc_info[1]) for record in caplog.records] == [ZeroDivisionError]


class Pool:
    """A component that a plugin opens."""

    is_open = True


class Repository:
    """Made once for the application; uses the pool until its end."""


async def test_one_order_with_dependency_injection(buvar_adapters_setup_contextvars):
    """PLG-09: what injection makes for the application is closed in the same order, by the moment of making."""
    seen = []

    async def repository(pool: Pool) -> AsyncIterator[Repository]:
        yield Repository()
        seen.append(f"repository closed, pool open: {pool.is_open}")

    def close(pool):
        pool.is_open = False
        seen.append("pool closed")

    async def farewell(repository):
        seen.append("farewell by the repository")

    async def prepare(teardown: plugin.Teardown):
        pool = context.add(Pool())
        teardown.add(lambda: close(pool))
        made = await di.nject(Repository)
        teardown.add(lambda: farewell(made))

    di.register(repository, scope="app")
    await plugin.Stage().arun(prepare)
    assert seen == ["farewell by the repository", "repository closed, pool open: True", "pool closed"]


async def test_application_values_in_arguments_and_tasks(buvar_adapters_setup_contextvars):
    """PLG-03: a value of scope "app" is one for arguments, plugins and tasks, and closed at the end of the stage."""
    seen = []

    async def repository() -> AsyncIterator[Repository]:
        seen.append("opened")
        yield Repository()
        seen.append("closed")

    async def task(first):
        assert await di.nject(Repository) is first
        seen.append("task")

    async def prepare(repository: Repository):
        yield task(repository)

    di.register(repository, scope="app")
    await plugin.Stage().arun(prepare)
    assert seen == ["opened", "task", "closed"]


async def test_a_hanging_generator(buvar_adapters_setup_contextvars, caplog):
    """PLG-09: a dependency that hangs at its end is cancelled in time, and the others are closed."""
    seen = []

    class Closing:
        def __init__(self, seen):
            self.seen = seen

        def close(self):
            self.seen.append("pool closed")

    async def pool() -> AsyncIterator[Pool]:
        with contextlib.closing(Closing(seen)):
            yield Pool()

    async def repository(pool: Pool) -> AsyncIterator[Repository]:
        yield Repository()
        await asyncio.Future()

    async def prepare(repository: Repository):
        """Make both."""

    di.register(pool, repository, scope="app")
    stage = plugin.Stage(teardown_timeout=-0.95)
    with pytest.raises(plugin.TeardownError) as caught:
        await stage.arun(prepare)
    assert [str(each) for each in caught.value.exceptions] == ["a dependency took longer than -0.95 seconds to close"]
    assert seen == ["pool closed"]


async def test_a_failing_generator(buvar_adapters_setup_contextvars, caplog):
    """PLG-09: a dependency that fails to close is logged and raised with the entries that failed."""

    async def pool() -> AsyncIterator[Pool]:
        yield Pool()
        raise LookupError("no luck")

    async def thing() -> AsyncIterator[Repository]:
        yield Repository()
        raise ValueError("none either")

    async def prepare(pool: Pool, teardown: plugin.Teardown, cancel: plugin.Cancel):
        teardown.add(lambda: 1 / 0)
        if cancel is both:
            await di.nject(Repository)

    both = None
    di.register(pool, thing, scope="app")
    with pytest.raises(plugin.TeardownError) as caught:
        await plugin.Stage().arun(prepare)
    assert [type(each) for each in caught.value.exceptions] == [ZeroDivisionError, LookupError]
    stage = plugin.Stage()
    both = stage.cancel
    with pytest.raises(plugin.TeardownError) as caught:
        await stage.arun(prepare)
    assert [type(each) for each in caught.value.exceptions] == [ZeroDivisionError, ValueError]
    assert {record.levelname for record in caplog.records} == {"ERROR"}


async def test_generators_see_what_ended_the_stage(buvar_adapters_setup_contextvars):
    """PLG-09: the error of loading is thrown into what injection opened."""
    seen = []

    async def pool() -> AsyncIterator[Pool]:
        try:
            yield Pool()
        except LookupError as error:
            seen.append(error)
            raise

    async def prepare(pool: Pool):
        raise LookupError("no luck")

    di.register(pool, scope="app")
    with pytest.raises(LookupError) as caught:
        await plugin.Stage().arun(prepare)
    assert seen == [caught.value]


async def test_generators_that_take_their_time_one_by_one(buvar_adapters_setup_contextvars, clock):
    """PLG-09: the limit is that of each dependency, not that of all together."""
    seen = []

    def slow(cls):
        async def make() -> AsyncIterator[cls]:
            yield cls()
            await asyncio.sleep(1.5)
            seen.append(cls)

        return make

    async def prepare(pool: Pool, repository: Repository):
        """Make both."""

    di.register(slow(Pool), slow(Repository), scope="app")
    await asyncio.gather(plugin.Stage(teardown_timeout=1).arun(prepare), clock.advance(10))
    assert seen == [Repository, Pool]
