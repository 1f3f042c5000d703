"""The stage: its phases, its contexts, its loop, and its life in the background."""

import asyncio
import concurrent.futures
import gc
import sys

import pytest

from buvar import components, context, plugin


async def value(it, delay=0.0):
    await asyncio.sleep(delay)
    return it


async def prepare_value():
    yield value(1)


async def for_ever():
    await asyncio.Future()


def test_bootstrap(tmp_path, monkeypatch):
    """PLG-01: the bootstrap of the reference runs, once `asyncio` is imported and Ctrl-C comes (snippet B1)."""
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "__init__.py").write_text("")
    (tmp_path / "some" / "another").mkdir()
    (tmp_path / "some" / "another" / "__init__.py").write_text("")
    (tmp_path / "some" / "another" / "plugin.py").write_text("async def prepare(): pass\n")
    (tmp_path / "some" / "module.py").write_text(BOOTSTRAP)
    monkeypatch.syspath_prepend(str(tmp_path))

    async def stop(cancel: plugin.Cancel):
        async def later():
            await asyncio.sleep(0.1)
            cancel.set()

        yield later()

    results = plugin.stage("some.module", stop)
    assert results[0] is None
    assert isinstance(results[1], asyncio.CancelledError)


# as printed, but for the import of asyncio and the await of its sleep, without which it warns
BOOTSTRAP = """
import asyncio
from buvar import context, plugin

class Foo:
    ...


async def task():
    await asyncio.sleep(0)


async def server():
    my_component = context.get(Foo)
    await asyncio.Future()


# there is also plugin.Teardown and plugin.Cancel
async def prepare(load: plugin.Loader):
    await load('.another.plugin')

    # create some long lasting components
    my_component = context.add(Foo())

    # you may run simple tasks
    yield task()

    # you may run server tasks
    yield server()
"""


def test_phases():
    """PLG-10: load, run_tasks and run_teardown one by one, on a loop that lasts until the end."""
    seen = []

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        seen.append("loaded")
        yield value("result")

    stage = plugin.Stage()
    assert stage.loop is None
    stage.load(prepare)
    loop = stage.loop
    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert seen == ["loaded"]
    assert stage.run_tasks() == stage.results == ["result"]
    assert stage.loop is loop
    stage.run_teardown()
    assert seen == ["loaded", "torn down"]
    assert loop.is_closed()
    assert stage.loop is None
    assert stage.context.get(plugin.Cancel) is stage.cancel
    assert stage.context.get(plugin.Loader) is stage.loader
    assert stage.context.get(plugin.Teardown) is stage.teardown
    assert stage.context.get(plugin.Signals) is stage.signals


def test_uvloop_is_used_when_it_is_installed(monkeypatch):
    """PLG-10: the stage's own loop is one of uvloop, or of asyncio where uvloop is missing."""
    kinds = []

    async def prepare():
        kinds.append(type(asyncio.get_running_loop()).__module__.partition(".")[0])

    monkeypatch.setitem(sys.modules, "uvloop", None)
    plugin.stage(prepare)
    monkeypatch.delitem(sys.modules, "uvloop")
    pytest.importorskip("uvloop")
    plugin.stage(prepare)
    assert kinds == ["asyncio", "uvloop"]


def test_given_loop():
    """PLG-10: a loop that is given is used and left open."""
    loop = asyncio.new_event_loop()
    try:
        stage = plugin.Stage(loop=loop)
        assert stage.run(prepare_value) == [1]
        assert plugin.stage(prepare_value, loop=loop) == [1]
        assert stage.loop is loop
        assert not loop.is_closed()
    finally:
        loop.close()


def test_after_asyncio_run():
    """PLG-10: a stage after `asyncio.run` makes its own loop (B-16)."""
    asyncio.run(value(1))
    assert plugin.stage(prepare_value) == [1]


@pytest.mark.parametrize("method", ["load", "run_tasks", "run_teardown", "run"])
async def test_blocking_methods_refuse_a_running_loop(method):
    """PLG-10: the blocking methods raise while a loop runs, and say what to do instead."""
    with pytest.raises(plugin.LoopRunningError) as caught:
        getattr(plugin.Stage(), method)()
    assert isinstance(caught.value, RuntimeError)
    assert caught.value.method == method
    assert str(caught.value) == (
        f"{method}() blocks, and an event loop is running in this thread\n"
        "  fix:   await Stage.arun(...) or one of its siblings, or enter `async with Stage().running(...)`"
    )


async def test_stage_refuses_a_running_loop():
    """PLG-01: `stage` raises while a loop runs."""
    with pytest.raises(plugin.LoopRunningError, match=r"^stage\(\) blocks"):
        plugin.stage(prepare_value)


def test_contexts():
    """PLG-06: layers of components, then the stage's own, then one for plugins and tasks; nothing leaks outside."""
    seen = {}
    layer = components.Layer({str: {None: "outer"}})

    async def adds():
        context.add("from a task")

    async def reads(ready):
        await asyncio.sleep(0.01)
        seen["task"] = context.get(str)

    async def prepare():
        seen["plugin"] = context.get(str)
        context.add(5)
        yield adds()
        yield reads(seen)

    async def other():
        seen["number"] = context.get(int)

    before = context.current_context().stack
    plugin.stage(prepare, other, components=components.Components(layer))
    assert seen == {"plugin": "outer", "number": 5, "task": "from a task"}
    assert dict(layer) == {str: {None: "outer"}}
    assert context.get(int, default=None) is None
    assert context.current_context().stack == before


def test_components_on_top_of_the_current_context():
    """PLG-06: components that stand on the current context already are not put on it a second time."""
    stage = plugin.Stage(components=context.push())
    assert len(stage.context.layers) == len(context.current_context().layers) + 3
    stage = plugin.Stage(components=context.current_context())
    assert len(stage.context.layers) == len(context.current_context().layers) + 2


async def test_awaited_twins():
    """PLG-10: aload, arun_tasks, arun_teardown and arun, in a running loop."""
    seen = []

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        context.add("inside")
        yield value(1)

    stage = plugin.Stage()
    await stage.aload(prepare)
    assert context.get(str, default=None) is None
    assert stage.context.get(str) == "inside"
    assert await stage.arun_tasks() == [1]
    await stage.arun_teardown()
    assert seen == ["torn down"]
    assert await plugin.Stage().arun(prepare) == [1]


async def test_tasks_that_are_never_run():
    """PLG-11: what was loaded and never run is closed by the teardown (B-21)."""
    stage = plugin.Stage()
    await stage.aload(prepare_value)
    await stage.arun_teardown()
    del stage
    gc.collect()


async def test_cancelling_arun():
    """PLG-10: a stage whose caller is cancelled ends its tasks and is torn down before it is left."""
    seen = []

    async def waits():
        limit.reschedule(0)
        await for_ever()

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        yield waits()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            await plugin.Stage().arun(prepare)
    assert seen == ["torn down"]


async def test_cancelling_while_loading():
    """PLG-10: a cancellation while plugins are loaded tears down and is raised."""
    seen = []

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        limit.reschedule(0)
        await asyncio.Future()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            await plugin.Stage().arun(prepare)
    assert seen == ["torn down"]


async def test_running():
    """PLG-10: inside the block tasks run; leaving it sets Cancel, gives grace and tears down."""
    seen = []

    async def watch(cancel):
        seen.append("runs")
        await cancel.wait()
        await asyncio.sleep(0.01)
        return "graceful"

    async def prepare(cancel: plugin.Cancel, teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        yield watch(cancel)
        yield for_ever()

    async with plugin.Stage().running(prepare) as stage:
        await asyncio.sleep(0)
        assert seen == ["runs"]
        assert not stage.cancel.is_set()
    assert stage.results[0] == "graceful"
    assert seen == ["runs", "torn down"]


async def test_running_left_by_another_task():
    """PLG-10: one task may enter the block and another leave it; what plugins enter belongs to one task."""
    tasks = []

    class Manager:
        async def __aenter__(self):
            tasks.append(asyncio.current_task())
            return self

        async def __aexit__(self, *details):
            tasks.append(asyncio.current_task())

    async def prepare(teardown: plugin.Teardown):
        await teardown.enter(Manager())
        await teardown.enter(asyncio.timeout(200))
        yield for_ever()

    running = plugin.Stage().running(prepare)
    await asyncio.create_task(running.__aenter__())
    await asyncio.create_task(running.__aexit__(None, None, None))
    assert tasks[0] is tasks[1]


async def test_running_shows_failures():
    """PLG-08: a task that fails in the background is observable, and with `fail_fast` sets Cancel (B-07)."""
    error = LookupError("no luck")

    async def fail():
        raise error

    async def prepare():
        yield fail()
        yield for_ever()

    async with plugin.Stage(fail_fast=True).running(prepare) as stage:
        await asyncio.wait_for(stage.cancel.wait(), 200)
        assert stage.failed == [(f"{__name__}:test_running_shows_failures.<locals>.prepare", error)]
    assert stage.results[0] is error


async def test_running_when_loading_fails():
    """PLG-11: an error of loading is raised on entering, after the teardown."""
    seen = []

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        raise LookupError("no luck")

    with pytest.raises(LookupError, match="no luck"):
        async with plugin.Stage().running(prepare):
            raise AssertionError
    assert seen == ["torn down"]


async def test_running_when_the_block_fails(caplog):
    """PLG-09: the block's error is raised, whatever the teardown does; without one, the teardown's is."""

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: 1 / 0)

    with pytest.raises(LookupError, match="no luck"):
        async with plugin.Stage().running(prepare):
            raise LookupError("no luck")
    with pytest.raises(plugin.TeardownError):
        async with plugin.Stage().running(prepare):
            pass


async def test_running_cancelled_while_loading():
    """PLG-10: cancelling whoever enters ends the loading and tears down."""
    seen = []

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        limit.reschedule(0)
        await asyncio.Future()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit, plugin.Stage().running(prepare):
            raise AssertionError
    assert seen == ["torn down"]


@pytest.mark.parametrize("where", ["prepare", "task"])
async def test_leaving_the_process_in_the_background(where):
    """PLG-08: SystemExit in a plugin or a task is raised by the block, after the teardown."""
    seen = []

    async def leave():
        raise SystemExit(3)

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        if where == "prepare":
            await leave()
        else:
            yield leave()

    with pytest.raises(SystemExit) as caught:
        async with plugin.Stage().running(prepare) as stage:
            await stage.cancel.wait()
    assert caught.value.code == 3
    with pytest.raises(SystemExit):
        await plugin.Stage().arun(prepare)
    stage = plugin.Stage()
    with pytest.raises(SystemExit):
        await asyncio.to_thread(stage.run, prepare)
    assert seen == ["torn down"] * 3


async def test_leaving_the_process_step_by_step():
    """PLG-08: SystemExit of a task is raised by `run_tasks` and by `arun_tasks`."""

    async def leave():
        raise SystemExit(3)

    async def prepare():
        yield leave()

    def step_by_step():
        stage = plugin.Stage()
        stage.load(prepare)
        try:
            stage.run_tasks()
        finally:
            stage.run_teardown()

    with pytest.raises(SystemExit):
        await asyncio.to_thread(step_by_step)
    stage = plugin.Stage()
    await stage.aload(prepare)
    with pytest.raises(SystemExit):
        await stage.arun_tasks()
    await stage.arun_teardown()


def test_own_loop_is_cleaned_up():
    """PLG-10: tasks that nobody owns are cancelled and generators closed before the stage's loop is."""
    seen = []

    async def stray():
        try:
            await asyncio.Future()
        finally:
            seen.append("cancelled")

    async def prepare():
        prepare.task = asyncio.create_task(stray())
        await asyncio.sleep(0)

    plugin.stage(prepare)
    assert seen == ["cancelled"]


def test_a_stray_task_that_ignores_its_cancellation(monkeypatch, caplog):
    """PLG-10: a task that nobody owns and that does not end does not keep the stage from ending."""
    monkeypatch.setattr("buvar.plugin._loop.PATIENCE", 0.05)

    async def stray():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue

    async def prepare():
        prepare.task = asyncio.create_task(stray(), name="stray")
        await asyncio.sleep(0)

    plugin.stage(prepare)
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["The task stray was left behind: it ignores its cancellation"]
    prepare.task._log_destroy_pending = False
    del prepare.task
    gc.collect()


def test_stages_in_many_threads():
    """PLG-10: stages in several threads do not disturb each other (B-17)."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: plugin.stage(prepare_value), range(8))) == [[1]] * 8


async def test_a_stage_lives_once():
    """PLG-10: a stage that was torn down refuses to load, to run and to be entered again, in place of doing nothing."""

    async def shop():
        pass

    stage = plugin.Stage()
    await stage.arun(shop)

    for again in (stage.arun(shop), stage.aload(shop), stage.arun_tasks()):
        with pytest.raises(plugin.StageOverError, match="a stage lives once"):
            await again
    with pytest.raises(plugin.StageOverError):
        async with stage.running(shop):
            pass
    await stage.arun_teardown()


def test_a_misspelt_section_is_told_once(caplog):
    """CFG-02: once plugins are loaded, sections that are most likely misspelt are warned about, each once."""
    import dataclasses

    from buvar import config, context

    @dataclasses.dataclass
    class Easy:
        size: int = 1

    async def prepare():
        source = context.add(config.ConfigSource({"databse": {}, "others": {}}, environ={}))
        source.load(Easy, "database")

    async def more():
        pass

    stage = plugin.Stage()
    stage.load(prepare)
    assert caplog.messages == [
        "Unused setting: databse: is loaded into no class, did you mean 'database'? (from dict #1)"
    ]
    stage.load(more)
    stage.run_teardown()
    assert len(caplog.messages) == 1
