"""The pytest plugin, in test runs of their own: strict, auto, anyio, and other people's projects."""

import asyncio

import pytest

pytest_plugins = ["pytester"]

SNIPPET = """
import pytest


async def prepare():
    from buvar import context

    context.add("foobar")


@pytest.mark.asyncio
@pytest.mark.buvar_plugins("tests.test_testing")
async def test_wrapped_stage_context():
    from buvar import context, plugin

    assert context.get(str) == "foobar"
    assert context.get(plugin.Cancel)


@pytest.mark.asyncio
@pytest.mark.buvar_plugins()
async def test_wrapped_stage_context_load(buvar_load):
    from buvar import context, plugin

    await buvar_load(prepare)
    assert context.get(str) == "foobar"
    assert context.get(plugin.Cancel)
"""


@pytest.fixture
def run(pytester):
    """Run pytest on a file in a process of its own, with warnings as errors."""

    def call(text, *arguments, file="tests/test_testing.py"):
        path = pytester.path / file
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text)
        if "no:asyncio" not in arguments:
            arguments = ("-o", "asyncio_default_fixture_loop_scope=function", *arguments)
        return pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", *arguments)

    return call


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_the_snippet_runs_as_printed(run, mode):
    """TST-01, TST-02: the pytest snippet of the reference runs verbatim, in both modes (snippet B7, B-18)."""
    run(SNIPPET, f"--asyncio-mode={mode}").assert_outcomes(passed=2)


def test_under_anyio(run):
    """TST-02: the same tests under anyio's plugin, without pytest-asyncio."""
    text = SNIPPET.replace("mark.asyncio", "mark.anyio") + (
        "\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'\n"
    )
    run(text, "-p", "no:asyncio").assert_outcomes(passed=2)


def test_a_foreign_project_notices_nothing(run):
    """TST-04: a foreign project runs as before, without pytest-mock or pytest-asyncio (B-18)."""
    text = (
        "import sys\n"
        "def test_sum(request):\n"
        "    assert 1 + 1 == 2\n"
        "    assert not [name for name in request.fixturenames if 'buvar' in name or 'reset' in name]\n"
        "    loaded = {name for name in sys.modules if name.startswith('buvar')}\n"
        "    assert loaded == {'buvar', 'buvar.testing'}, loaded\n"
    )
    result = run(
        text,
        "-p",
        "no:asyncio",
        "-p",
        "no:anyio",
        "-p",
        "no:hypothesispytest",
        "-p",
        "no:cov",
        "-p",
        "no:buvar_aiohttp",
    )
    result.assert_outcomes(passed=1)


def test_sync_tests_and_teardown(run):
    """TST-02: a synchronous test may be marked too; markers add up; everything is torn down after the test."""
    run(
        """
import pytest
from buvar import context, plugin

seen = []


async def outer(teardown: plugin.Teardown):
    context.add("outer")
    teardown.add(lambda: seen.append("torn down"))


async def inner():
    context.add(len(context.get(str)))


@pytest.mark.buvar_plugins.with_args(outer)
class TestIt:
    @pytest.mark.buvar_plugins.with_args(inner)
    def test_sync(self, buvar_plugin_context):
        assert (context.get(str), context.get(int)) == ("outer", 5)
        assert context.current_context() is buvar_plugin_context

    @pytest.mark.asyncio
    async def test_fails(self):
        assert context.get(int, default=None) is None
        raise LookupError


def test_after():
    assert seen == ["torn down", "torn down"]
    assert context.get(str, default=None) is None
"""
    ).assert_outcomes(passed=2, failed=1)


def test_loading_fails(run):
    """TST-02: when a marked plugin cannot be loaded, the test fails with its error."""
    result = run(
        "import pytest\n"
        "async def broken():\n    raise LookupError('no luck')\n"
        "@pytest.mark.buvar_plugins.with_args(broken)\ndef test_it():\n    pass\n"
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*LookupError: no luck*"])


def test_sections_are_free_in_marked_tests(run):
    """TST-03: two marked tests may take the same section."""
    run(
        """
import pytest
from buvar import config


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.buvar_plugins()
def test_it(number):
    class X(config.Config, section="x"):
        pass
"""
    ).assert_outcomes(passed=2)


def test_leak_check(run):
    """TST-01: with `leak_check`, a test that leaves a task behind fails, one that does not passes."""
    result = run(
        """
import asyncio
import pytest


@pytest.mark.asyncio
async def test_leaks(leak_check):
    test_leaks.task = asyncio.create_task(asyncio.Event().wait())


@pytest.mark.asyncio
@pytest.mark.buvar_plugins()
async def test_is_clean(leak_check):
    await asyncio.create_task(asyncio.sleep(0))
    test_is_clean.task = asyncio.create_task(asyncio.sleep(0))


def test_sync(leak_check):
    pass
"""
    )
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*Failed: the test left tasks behind: <coroutine object Event.wait at *"])


def test_stage_fixture_blocks_and_is_torn_down(buvar_stage, buvar_plugin_context, buvar_load, buvar_context):
    """TST-01: the stage can be used by its blocking methods; what is left open is torn down after the test."""
    from buvar import context

    async def prepare():
        context.add("inside")

    buvar_stage.load(prepare)
    assert buvar_plugin_context.get(str) == "inside"
    assert buvar_load is buvar_stage.loader
    assert buvar_context.get(str, default=None) is None


def test_stage_fixture_without_marker(run):
    """TST-01: a stage that a test used by itself is torn down when the test has ended; a given loop is left open."""
    run(
        """
import asyncio
import pytest
from buvar import plugin

seen = []


async def prepare(teardown: plugin.Teardown):
    teardown.add(lambda: seen.append("torn down"))


def test_first(buvar_stage):
    buvar_stage.load(prepare)
    assert seen == []


class TestLoop:
    @pytest.fixture
    def buvar_stage_loop(self):
        loop = asyncio.new_event_loop()
        yield loop
        loop.close()

    def test_second(self, buvar_stage, buvar_stage_loop):
        assert seen == ["torn down"]
        buvar_stage.load(prepare)
        assert buvar_stage.loop is buvar_stage_loop


def test_third():
    assert seen == ["torn down"] * 2
"""
    ).assert_outcomes(passed=3)


@pytest.mark.buvar_plugins("buvar.config")
async def test_config_fixture(config, buvar_config_source, override):
    """TST-01: `config` sets values of the source in the context, `override` what injection gives."""
    import attrs

    from buvar import context, di
    from buvar.config import Config

    @attrs.define
    class Db(Config, section="db"):
        url: str = "default"
        size: int = 1

    assert config(**{"db.url": "x", "db.size": 2, "top": 3}) is buvar_config_source
    assert buvar_config_source == {"db": {"url": "x", "size": 2}, "top": 3}
    assert context.get(type(buvar_config_source)) is buvar_config_source
    assert await di.nject(Db) == Db("x", 2)
    assert override(Db, Db("overridden")) == Db("overridden")
    assert await di.nject(Db) == Db("overridden")


async def test_fresh_registry_and_context(buvar_adapters_setup_contextvars, reset_buvar_context):
    """TST-03: an empty registry of adapters and an empty context for one test."""
    from buvar import context, di

    assert di.buvar_adapters.get() is buvar_adapters_setup_contextvars
    assert context.current_context() is reset_buvar_context
    assert len(reset_buvar_context.layers) == 1


def test_wrapping():
    """TST-03: `wrap_in_buvar_plugin_context` installs a context around functions of both kinds."""
    from buvar import context, testing

    components = context.push()
    components.add("inside")

    def sync(key):
        return context.get(key)

    async def asynchronous(key):
        return context.get(key)

    assert testing.wrap_in_buvar_plugin_context(components, sync)(str) == "inside"
    assert asyncio.run(testing.wrap_in_buvar_plugin_context(components, asynchronous)(str)) == "inside"
    assert context.get(str, default=None) is None


async def test_clock(clock):
    """The clock stands still until it is moved; what is due is run at its own time and in order."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    seen = []

    async def tick(name, seconds):
        while True:
            await asyncio.sleep(seconds)
            seen.append((name, loop.time() - start))

    tasks = [asyncio.create_task(tick("hour", 3600)), asyncio.create_task(tick("half", 1800))]
    loop.call_later(10, lambda: None).cancel()
    await clock.advance(3599.5)
    assert seen == [("half", 1800)]
    await clock.advance(0.5)
    assert sorted(seen[1:]) == [("half", 3600), ("hour", 3600)]
    assert loop.time() == clock.time() == start + 3600
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.gather(clock.advance(6), asyncio.Event().wait())
    with pytest.raises(ValueError, match="^time does not go back$"):
        await clock.advance(-1)
    for task in tasks:
        task.cancel()


async def test_the_clock_goes_again():
    """Behind the test that had the clock the time goes on as ever."""
    assert "time" not in vars(asyncio.get_running_loop())


async def test_something_that_never_rests(clock):
    """What runs all the time without waiting does not hold the clock."""

    async def busy():
        while True:
            await asyncio.sleep(0)

    task = asyncio.create_task(busy())
    await clock.advance(1)
    task.cancel()


def test_clock_in_a_synchronous_test(clock):
    """A synchronous test may have the clock, which never moves by itself."""
    assert clock.time() == clock.time()


def test_the_clock_of_another_loop(clock):
    """A loop whose time cannot be moved is refused."""
    uvloop = pytest.importorskip("uvloop")

    async def body():
        pass

    loop = uvloop.new_event_loop()
    try:
        with pytest.raises(pytest.fail.Exception, match="^the clock cannot move the time of uvloop"):
            loop.run_until_complete(clock.around(body)())
    finally:
        loop.close()


def test_a_clock_of_another_make(run):
    """A project's own fixture called clock is left alone."""
    text = (
        "import pytest\n"
        "@pytest.fixture\n"
        "def clock():\n"
        "    return 17\n"
        "@pytest.mark.asyncio\n"
        "async def test_it(clock):\n"
        "    assert clock == 17\n"
    )
    run(text).assert_outcomes(passed=1)


@pytest.mark.parametrize("runner", ["asyncio", "anyio"])
def test_a_task_that_dies(run, runner):
    """A task that fails while a test runs inside the stage fails that test at once and names its plugin."""
    result = run(
        """
import asyncio
import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def dying():
    async def work():
        await asyncio.sleep(0.01)
        raise LookupError("no luck")
    yield work()
    yield work()


@pytest.mark.RUNNER
@pytest.mark.buvar_plugins.with_args(dying)
async def test_waits(buvar_stage):
    async with buvar_stage.running():
        await asyncio.sleep(50)


@pytest.mark.RUNNER
async def test_swallows(buvar_stage):
    async with buvar_stage.running(dying):
        try:
            await asyncio.sleep(50)
        except asyncio.CancelledError:
            pass


@pytest.mark.RUNNER
@pytest.mark.buvar_plugins(may_fail=True)
async def test_may_fail(buvar_stage):
    async with buvar_stage.running(dying):
        await asyncio.sleep(0.1)
        (name, error), _ = buvar_stage.failed
        assert (name, type(error)) == ("tests.test_testing:dying", LookupError)


@pytest.mark.RUNNER
@pytest.mark.buvar_plugins.with_args(dying)
async def test_sees_the_results(buvar_stage):
    result, _ = await buvar_stage.arun_tasks()
    assert isinstance(result, LookupError)


@pytest.mark.RUNNER
async def test_afterwards():
    await asyncio.sleep(0.05)
""".replace("RUNNER", runner),
        *(("-p", "no:asyncio") if runner == "anyio" else ()),
    )
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.re_match_lines(["E +Failed: a task of the plugin .*:dying failed: LookupError: no luck"])
