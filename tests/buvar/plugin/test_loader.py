"""Plugins are resolved, get their arguments, and give their tasks."""

import asyncio
import contextlib
import functools
import types
import typing

import pytest

from buvar import components, context, di, plugin


async def value(it):
    return it


@pytest.fixture
def package(tmp_path, monkeypatch, request):
    """A package `shop_<test>` with modules a and b, on the path."""
    name = "shop_" + request.node.name.partition("[")[0]
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "a.py").write_text(
        "from buvar import plugin\n"
        "async def one(): return 'one'\n"
        "async def prepare(load: plugin.Loader):\n"
        "    yield one()\n"
        "    await load('.b', '.b:other')\n"
        "def start():\n"
        "    return plugin.stage('.b')\n"
        "def start_stage():\n"
        "    stage = plugin.Stage()\n"
        "    stage.load('.b')\n"
        "    try:\n"
        "        return stage.run_tasks()\n"
        "    finally:\n"
        "        stage.run_teardown()\n"
        "def start_run():\n"
        "    return plugin.Stage().run('.b')\n"
    )
    (folder / "b.py").write_text(
        "async def two(): return 'two'\nasync def prepare(): return two()\nasync def other(): return [two(), two()]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_names_modules_and_functions(package):
    """PLG-01: a plugin is a dotted name, "module:attr", a module or a function; relative names count too."""
    import importlib

    a = importlib.import_module(f"{package}.a")
    assert plugin.stage(f"{package}.a") == ["one", "two", "two", "two"]
    assert plugin.stage(f"{package}.b:other") == ["two", "two"]
    assert plugin.stage(a) == ["one", "two", "two", "two"]
    assert plugin.stage(a.prepare) == ["one", "two", "two", "two"]
    assert a.start() == ["two"]
    assert a.start_stage() == ["two"]
    assert a.start_run() == ["two"]


async def test_relative_names_in_the_awaited_twins(package):
    """PLG-01: `aload` and `arun` take relative names from where they are called."""
    space = {"__package__": package, "__name__": f"{package}.main"}
    exec("def aload(stage): return stage.aload('.b')\ndef arun(stage): return stage.arun('.b')", space)
    assert await space["arun"](plugin.Stage()) == ["two"]
    stage = plugin.Stage()
    await space["aload"](stage)
    assert await stage.arun_tasks() == ["two"]
    await stage.arun_teardown()


def test_names_that_lead_nowhere(package):
    """PLG-01: relative outside a package: ImportError; unknown: ModuleNotFoundError; two colons: ValueError."""
    space = {"__package__": None, "__name__": "script", "plugin": plugin}
    exec("def start(): plugin.stage('.b')", space)
    with pytest.raises(ImportError, match=r"^'\.b' is relative, but its caller is in no package$"):
        space["start"]()
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        plugin.stage("no_such_module")
    with pytest.raises(ValueError, match="is not a dotted name"):
        plugin.stage("a:b:c")


def not_async():
    """Is no plugin."""


def test_what_is_not_asynchronous(package):
    """PLG-01: a function that is not async is a ValueError that names it; so is a module without `prepare`."""
    with pytest.raises(plugin.PluginFunctionError) as caught:
        plugin.stage(not_async)
    assert isinstance(caught.value, ValueError)
    assert caught.value.plugin is not_async
    assert str(caught.value) == (
        f"the plugin {__name__}:not_async is not asynchronous\n  fix:   write it as `async def prepare(...)`"
    )
    with pytest.raises(plugin.PluginFunctionError) as caught:
        plugin.stage(package)
    assert str(caught.value) == (
        f"the module {package} has no function 'prepare'\n  fix:   write it as `async def prepare(...)`"
    )


async def called():
    """Is a plugin that somebody calls."""


def test_what_is_given_in_place_of_a_plugin():
    """PLG-01: a plugin that was called, a list and a number are told apart, and each with its remedy."""
    expected = {
        "the plugin called was called\n  fix:   give the function itself: called": called(),
        "a list is not a plugin\n  fix:   give each as an argument: *plugins": [called],
        "5 is not a plugin\n  fix:   give a dotted name, a module or a function": 5,
    }
    for text, given in expected.items():
        with pytest.raises(plugin.PluginFunctionError) as caught:
            plugin.stage(given)
        assert str(caught.value) == text


def test_a_name_that_is_no_module(package):
    """PLG-01: it is told which part is missing, what is there in its place, and who asked for it."""
    with pytest.raises(plugin.PluginNotFoundError) as caught:
        plugin.stage(f"{package}x:start")
    assert isinstance(caught.value, ModuleNotFoundError)
    assert (caught.value.plugin, caught.value.name) == (f"{package}x:start", f"{package}x")
    assert str(caught.value) == (
        f"there is no module '{package}x'\n  where: the plugin '{package}x:start'\n  fix:   did you mean '{package}'?"
    )
    with pytest.raises(plugin.PluginNotFoundError) as caught:
        plugin.resolve_plugin_func(f"{package}.bb")
    assert str(caught.value).endswith(f"fix:   did you mean '{package}.b'?")
    with pytest.raises(plugin.PluginNotFoundError) as caught:
        plugin.resolve_plugin_func(f"{package}.py")
    assert str(caught.value).endswith(f"fix:   name the module, not its file: {package}")
    with pytest.raises(plugin.PluginNotFoundError) as caught:
        plugin.resolve_plugin_func("zzz_nothing_like_it")
    assert str(caught.value).endswith("fix:   install it, or start the program where Python finds it")

    async def shop(load: plugin.Loader):
        await load(f"{package}.bb")

    with pytest.raises(plugin.PluginNotFoundError) as caught:
        plugin.stage(shop)
    assert caught.value.__notes__ == [
        f"while loading the plugin {__name__}:test_a_name_that_is_no_module.<locals>.shop"
    ]


def test_a_module_that_imports_what_is_not_there(tmp_path, monkeypatch):
    """PLG-01: what a plugin fails to import is not taken for the plugin; which plugin it is, is noted."""
    (tmp_path / "shop_that_imports.py").write_text("import zzz_nothing_like_it\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="zzz_nothing_like_it") as caught:
        plugin.stage("shop_that_imports")
    assert not isinstance(caught.value, plugin.PluginNotFoundError)
    assert caught.value.__notes__ == ["while importing the plugin shop_that_imports"]


def test_a_module_whose_function_has_another_name(tmp_path, monkeypatch):
    """PLG-01: a module without `prepare` that has another plugin is told with it."""
    (tmp_path / "shop_without.py").write_text("async def prepar(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(plugin.PluginFunctionError) as caught:
        plugin.stage("shop_without")
    assert str(caught.value) == (
        "the module shop_without has no function 'prepare'\n"
        "  fix:   write it as `async def prepare(...)`, or name another one: shop_without:prepar"
    )


async def test_a_plugin_that_fails_leaves_nothing_behind():
    """PLG-04, PLG-11: whoever catches its error does not get its tasks; the next who needs it gets its error, too."""
    ran = []

    async def task():
        ran.append("task")

    async def broken():
        yield task()
        raise OSError("the disk is gone")

    async def tolerant(load: plugin.Loader):
        with contextlib.suppress(OSError):
            await load(broken)

    async def needy(load: plugin.Loader):
        await load(broken)

    assert await plugin.Stage().arun(tolerant) == []
    assert ran == []
    with pytest.raises(OSError, match="the disk is gone"):
        await plugin.Stage().arun(tolerant, needy)


async def test_what_takes_long_to_load_is_told(monkeypatch, caplog):
    """PLG-04: a plugin that hangs while it is loaded is named, with those that wait for it, again and again."""
    monkeypatch.setattr("buvar.plugin._loading.SLOW", 0.01)

    async def slow():
        while caplog.text.count("Still loading") < 2:
            await asyncio.sleep(0.005)

    async def quick():
        pass

    async def shop(load: plugin.Loader):
        await load(quick, slow)

    await plugin.Stage().arun(shop)

    name = f"{__name__}:test_what_takes_long_to_load_is_told.<locals>"
    assert {record.message.partition(": ")[2] for record in caplog.records} == {f"{name}.shop -> {name}.slow"}
    assert "after 0.01 seconds" in caplog.text
    assert "after 0.02 seconds" in caplog.text


@pytest.fixture
def shared():
    """A plugin that takes its time, how often it began, and what lets it go on."""

    async def opening():
        opening.begun += 1
        await opening.go.wait()
        if opening.error is not None:
            raise opening.error
        context.add("open", name="shop")

    opening.begun, opening.go, opening.error = 0, asyncio.Event(), None
    return opening


async def side_by_side(load, *plugins):
    """Load plugins at once, and answer what each came to."""
    return await asyncio.gather(*map(load, plugins), return_exceptions=True)


async def test_loads_at_once_wait_for_what_they_share(shared):
    """PLG-04: of two plugins that are loaded at once and stand on a third, none goes on before that one is loaded."""
    found = []

    async def one(load: plugin.Loader):
        await load(shared)
        found.append(context.get(str, name="shop", default=None))

    async def other(load: plugin.Loader):
        asyncio.get_running_loop().call_soon(shared.go.set)
        await load(shared)
        found.append(context.get(str, name="shop", default=None))

    async def shop(load: plugin.Loader):
        await side_by_side(load, one, other)

    await plugin.Stage().arun(shop)
    assert found == ["open", "open"]
    assert shared.begun == 1


async def test_loads_at_once_of_what_fails(shared):
    """PLG-04, PLG-11: all who wait for a plugin that fails get its error, and it is not tried for each of them."""
    shared.error = OSError("the disk is gone")

    async def one(load: plugin.Loader):
        await load(shared)

    async def other(load: plugin.Loader):
        asyncio.get_running_loop().call_soon(shared.go.set)
        await load(shared)

    async def shop(load: plugin.Loader):
        assert await side_by_side(load, one, shared, other) == [shared.error] * 3

    await plugin.Stage().arun(shop)
    assert shared.begun == 1


async def test_who_waits_goes_on_when_the_first_is_cancelled(shared):
    """PLG-04: when whoever was first to load a plugin is cancelled, the next one who waits for it loads it."""

    async def one(load: plugin.Loader):
        await load(shared)

    async def other(load: plugin.Loader):
        await load(shared)

    async def shop(load: plugin.Loader):
        first = asyncio.create_task(load(one))
        second = asyncio.create_task(load(other))
        while not shared.begun:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        shared.go.set()
        await second
        assert context.get(str, name="shop") == "open"

    await plugin.Stage().arun(shop)
    assert shared.begun == 2


async def test_loads_at_once_that_need_each_other(caplog):
    """PLG-04: plugins that are loaded at once and need each other do not wait for ever, and the circle is told."""
    order = []

    async def one(load: plugin.Loader):
        await asyncio.sleep(0)
        await load(other)
        order.append("one")

    async def other(load: plugin.Loader):
        await asyncio.sleep(0)
        await load(third)
        order.append("other")

    async def third(load: plugin.Loader):
        await load(one)
        order.append("third")

    async def shop(load: plugin.Loader):
        assert await asyncio.wait_for(side_by_side(load, one, other, third), 60) == [None] * 3

    await plugin.Stage().arun(shop)
    assert sorted(order) == ["one", "other", "third"]
    (told,) = caplog.messages
    assert told.startswith("Plugins that are loaded at once need each other, ")
    assert told.count("<locals>.one") + told.count("<locals>.other") + told.count("<locals>.third") == 5


async def test_a_circle_is_seen_when_one_of_several_that_wait_has_left(caplog):
    """PLG-04: a plugin that waits twice for another waits for it still when one of the two gives up."""
    order = []
    has_left = asyncio.Event()

    async def one(load: plugin.Loader):
        await asyncio.sleep(0)
        waiting = asyncio.create_task(load(other))
        leaving = asyncio.create_task(load(other))
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.wait([leaving])
        has_left.set()
        await waiting
        order.append("one")

    async def other(load: plugin.Loader):
        await has_left.wait()
        await load(one)
        order.append("other")

    async def shop(load: plugin.Loader):
        assert await asyncio.wait_for(side_by_side(load, other, one), 60) == [None] * 2

    await plugin.Stage().arun(shop)
    assert order == ["other", "one"]
    (told,) = caplog.messages
    assert told.startswith("Plugins that are loaded at once need each other, ")


async def test_a_task_that_outlives_the_loading(shared):
    """PLG-04: what a plugin has left running may load others when the plugin is loaded."""
    late = []

    async def one(load: plugin.Loader):
        async def later():
            await shared.go.wait()
            await load(shared, one)

        late.append(asyncio.create_task(later()))

    async def shop(load: plugin.Loader):
        await load(one)
        shared.go.set()
        await late[0]
        assert context.get(str, name="shop") == "open"

    await plugin.Stage().arun(shop)


def test_resolve_plugin_func():
    """PLG-13: the function of a plugin, under another name too; partials, methods and callable objects count."""

    class Thing:
        async def method(self):
            """Do nothing."""

        async def __call__(self):
            """Do nothing."""

    module = types.ModuleType("made")
    module.start = Thing().method
    assert plugin.PLUGIN_FUNCTION_NAME == "prepare"
    assert plugin.resolve_plugin_func(module, function_name="start") == module.start
    thing = Thing()
    for func in (thing, functools.partial(value, 1), thing.method, functools.partial(thing)):
        assert plugin.resolve_plugin_func(func) is func
    assert plugin.stage(thing, functools.partial(value, None), thing.method) == []


def test_a_plugin_is_loaded_once_and_cycles_end():
    """PLG-04: each plugin is loaded once per stage, and plugins may load each other; `load` returns None."""
    loaded = []

    async def first(load: plugin.Loader):
        loaded.append("first")
        assert await load(second, second) is None
        yield value(1)

    async def second(load: plugin.Loader):
        loaded.append("second")
        await load(first)
        yield value(2)

    assert plugin.stage(first, second, first) == [1, 2]
    assert loaded == ["first", "second"]


def test_order_of_tasks():
    """PLG-05: plugins in the order in which loading begins, inside a plugin in the order of yielding."""

    async def child():
        yield value("child")

    async def parent(load: plugin.Loader):
        yield value("parent-before")
        await load(child)
        yield value("parent-after")

    assert plugin.stage(parent) == ["parent-before", "parent-after", "child"]


def test_shapes_of_prepare():
    """PLG-02: a coroutine function gives nothing, an awaitable or an iterable; an async generator yields."""

    async def nothing():
        """Give nothing."""

    async def one():
        return value(1)

    async def many():
        return (value(each) for each in (2, 3))

    async def future():
        return asyncio.get_running_loop().create_task(value(4))

    async def generator():
        yield value(5)
        yield value(6)

    assert plugin.stage(nothing, one, many, future, generator) == [1, 2, 3, 4, 5, 6]


def test_tasks_start_when_all_is_loaded():
    """PLG-02: code behind the last yield runs before the tasks (B-10)."""
    seen = []

    async def task():
        seen.append("task runs")

    async def prepare():
        seen.append("open resource")
        yield task()
        seen.append("close resource")

    plugin.stage(prepare)
    assert seen == ["open resource", "close resource", "task runs"]


class Thing:
    """A component."""


class Made:
    """Made by an adapter."""


def test_arguments():
    """PLG-03: arguments come by annotation; `-> None`, defaults and missing annotations are fine (B-11)."""
    given = {}
    thing, named = Thing(), Thing()

    async def before() -> None:
        context.add(thing)
        context.add(named, name="named")
        context.add(5, name="number")

    async def prepare(
        load: plugin.Loader,
        cancel: plugin.Cancel,
        teardown: plugin.Teardown,
        signals: plugin.Signals,
        it: Thing,
        named: Thing,
        maybe: Thing | None,
        nothing: Made | None,
        annotated: typing.Annotated[Thing, "nice"],
        text: "Thing",
        number,
        made: Made = "default",
        bare=7,
        *rest,
        key: Thing,
        **more,
    ) -> None:
        given.update(locals())

    stage = plugin.Stage()
    stage.run(before, prepare)
    assert given["load"] is stage.loader
    assert given["cancel"] is stage.cancel
    assert given["teardown"] is stage.teardown
    assert given["signals"] is stage.signals
    assert given["it"] is given["maybe"] is given["annotated"] is given["text"] is given["key"] is thing
    assert given["named"] is named
    assert given["nothing"] is None
    assert (given["number"], given["made"], given["bare"], given["rest"], given["more"]) == (5, "default", 7, (), {})


def test_return_annotation_of_a_generator():
    """PLG-03: an annotated async generator is a plugin like any other (B-11)."""

    async def prepare() -> typing.AsyncIterator[typing.Awaitable[int]]:
        yield value(1)

    assert plugin.stage(prepare) == [1]


def test_arguments_by_injection(buvar_adapters_setup_contextvars):
    """PLG-03: what the context does not hold is injected; without an adapter the error names argument and plugin."""

    def make(thing: Thing) -> Made:
        made = Made()
        made.thing = thing
        return made

    given = []

    async def before():
        context.add(Thing())

    async def prepare(made: Made):
        given.append(made)

    di.register(make)
    plugin.stage(before, prepare)
    assert isinstance(given[0].thing, Thing)

    async def lonely(other: Missing):
        """Never runs."""

    with pytest.raises(di.ResolveError) as caught:
        plugin.stage(lonely)
    where = f"{__name__}:test_arguments_by_injection.<locals>.lonely"
    assert caught.value.__notes__ == [
        f"for the argument 'other' of the plugin {where}",
        f"while loading the plugin {where}",
    ]


class Missing:
    """Nobody provides it."""

    def __init__(self, needed: "Nowhere"):
        """Never runs."""


class Nowhere(typing.Protocol):
    """Nobody provides it either."""


def test_argument_without_annotation():
    """PLG-03: no annotation, no default and no component of its name is a TypeError that says so."""

    async def prepare(what):
        """Never runs."""

    with pytest.raises(plugin.PluginArgumentError) as caught:
        plugin.stage(prepare)
    where = f"{__name__}:test_argument_without_annotation.<locals>.prepare"
    assert isinstance(caught.value, TypeError)
    assert (caught.value.plugin, caught.value.argument) == (where, "what")
    assert str(caught.value) == (
        f"the argument 'what' of the plugin {where} has no annotation and no default\n"
        "  fix:   annotate its type: what: Cancel"
    )


def test_argument_with_an_unknown_annotation():
    """PLG-03: an annotation that cannot be resolved is named."""

    async def prepare(what: "Unheard"):  # noqa: F821 - what is tested
        """Never runs."""

    with pytest.raises(plugin.PluginArgumentError) as caught:
        plugin.stage(functools.partial(prepare))
    where = f"{__name__}:test_argument_with_an_unknown_annotation.<locals>.prepare"
    assert str(caught.value) == (
        f"the argument 'what' of the plugin {where} has an annotation that cannot be resolved: "
        "name 'Unheard' is not defined\n  fix:   import the name at module level, outside `if TYPE_CHECKING`"
    )


def test_text_annotation_of_a_local_class():
    """PLG-03: a textual annotation finds a local class that the function closes over, also in a callable object."""

    class Local:
        """A component."""

    given = []

    async def before():
        context.add(Local())

    async def prepare(it: "Local"):
        given.append(isinstance(it, Local))

    class Plugin:
        async def __call__(self, it: "Thing"):
            given.append(it)

    async def thing():
        context.add("thing", namespace=Thing)

    plugin.stage(before, prepare, thing, Plugin())
    assert given == [True, "thing"]


async def test_collect_plugin_args():
    """PLG-13: the arguments of a plugin by name."""

    async def prepare(it: Thing, /, other: int = 3):
        """Never runs."""

    with context.child():
        thing = context.add(Thing())
        assert await plugin.collect_plugin_args(prepare) == {"it": thing}
    stage = plugin.Stage(components=components.Components({Thing: {None: thing}}))
    assert await stage.arun(prepare) == []


@pytest.mark.parametrize("wrong", [5, "abc", b"abc", [1]], ids=repr)
def test_what_is_no_task(wrong):
    """PLG-02: what cannot be awaited is a TypeError that names the plugin (B-22); the rest is closed (B-21)."""
    seen = wrong[0] if isinstance(wrong, list) else wrong

    async def prepare():
        return [value(1), *wrong] if isinstance(wrong, list) else wrong

    async def generator():
        yield value(1)
        yield seen

    for func in (prepare, generator):
        with pytest.raises(plugin.PluginResultError) as caught:
            plugin.stage(func)
        where = f"{__name__}:test_what_is_no_task.<locals>.{func.__name__}"
        assert isinstance(caught.value, TypeError)
        assert (caught.value.plugin, caught.value.value) == (where, seen)
        assert str(caught.value) == (
            f"the plugin {where} gave {seen!r} where a task is expected\n"
            "  fix:   yield a coroutine, a future or another awaitable, or return nothing"
        )
        assert caught.value.__notes__ == [f"while loading the plugin {where}"]


async def test_generate_async_result():
    """PLG-13: the awaitables of a called plugin, one by one."""

    async def generator():
        yield value(1)

    async def coroutine():
        return [value(2), value(3)]

    assert [await each async for each in plugin.generate_async_result(generator())] == [1]
    assert [await each async for each in plugin.generate_async_result(coroutine())] == [2, 3]
    assert [each async for each in plugin.generate_async_result(value(None))] == []


def test_an_error_while_loading_leaves_nothing_behind():
    """PLG-11: the error propagates after the teardown, and what was collected is closed unrun (B-21)."""
    seen = []

    async def good(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        yield value(seen.append("called"))
        yield asyncio.get_running_loop().create_future()

    async def bad():
        raise LookupError("no luck")
        yield

    with pytest.raises(LookupError, match="no luck") as caught:
        plugin.stage(good, bad)
    assert seen == ["called", "torn down"]
    assert caught.value.__notes__ == [
        f"while loading the plugin {__name__}:test_an_error_while_loading_leaves_nothing_behind.<locals>.bad"
    ]


def test_a_plugin_that_gives_a_function():
    """PLG-02: who yields a function instead of calling it is told to call it."""

    async def task():
        pass

    async def prepare():
        yield task

    with pytest.raises(plugin.PluginResultError) as caught:
        plugin.stage(prepare)
    assert caught.value.value is task
    assert "fix:   call it: what it returns is awaited" in str(caught.value)


def test_a_plugin_that_gives_nothing_at_its_yield():
    """PLG-02: a bare yield is an error that names the plugin and says what may have been meant (B-22)."""

    async def prepare():
        yield

    with pytest.raises(plugin.PluginResultError) as caught:
        plugin.stage(prepare)
    name = f"{__name__}:test_a_plugin_that_gives_nothing_at_its_yield.<locals>.prepare"
    assert (
        str(caught.value).partition("\nwhile loading")[0].splitlines()[0].endswith("gave None where a task is expected")
    ), name
    assert "take `teardown: plugin.Teardown` and `await teardown.enter(...)`" in str(caught.value)
