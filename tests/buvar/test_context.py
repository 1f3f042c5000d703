"""The registry of the running code."""

import asyncio
import contextvars
import threading

import pytest

from buvar import context
from buvar.components import Components


@pytest.fixture(autouse=True)
def fresh():
    """A registry of its own for each test."""
    token = context.buvar_context.set(Components())
    yield
    context.buvar_context.reset(token)


def test_the_current_registry():
    """CTX-01 CTX-09: the functions work on the current registry; push and pop do not install."""
    assert context.add("x") == "x"
    assert context.get(str) == "x"
    assert context.get(int, default=1) == 1
    context.add("y", name="n")
    assert context.find(str) == {None: "x", "n": "y"}
    current = context.current_context()
    assert current is context.buvar_context.get()
    pushed = context.push({int: {None: 3}})
    assert pushed.get(int) == 3
    assert context.get(int, default=None) is None
    assert context.pop().get(str, default=None) is None
    assert context.current_context() is current
    with pytest.raises(context.ComponentLookupError):
        context.get(int)


def test_child():
    """CTX-09: child installs a pushed context for a block and restores, also after an error."""
    context.add("outer")
    outer = context.current_context()
    with context.child({int: {None: 3}}) as inner:
        assert context.current_context() is inner
        context.add("inner")
        assert (context.get(str), context.get(int)) == ("inner", 3)
    with pytest.raises(RuntimeError), context.child():
        raise RuntimeError
    assert context.current_context() is outer
    assert context.get(str) == "outer"


def test_run():
    """CTX-09: run calls a function with a registry installed, in a copy of the context variables."""
    variable = contextvars.ContextVar("variable", default=0)
    components = Components()

    @context.run(components)
    def work(number, *, more):
        """What it does."""
        variable.set(1)
        assert context.current_context() is components
        return context.add(number + more)

    assert work(1, more=2) == 3
    assert work.__doc__ == "What it does."
    assert components.get(int) == 3
    assert variable.get() == 0
    assert context.get(int, default=None) is None


def test_every_thread_sees_the_default():
    """CTX-10 B-17: the registry that modules fill on import is seen by every thread."""
    seen = []
    default = contextvars.Context().run(context.current_context)

    thread = threading.Thread(target=lambda: seen.append(context.current_context()))
    thread.start()
    thread.join()

    assert seen == [default]


async def test_task_factory():
    """CTX-11: every new task gets a layer of its own; reset restores what was there."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    context.add("outer")

    async def work():
        seen = context.get(str)
        context.add("inner")
        return seen

    factory = context.set_task_factory()
    assert await asyncio.create_task(work(), name="x") == "outer"
    assert context.get(str) == "outer"
    variables = contextvars.copy_context()
    await loop.create_task(work(), context=variables)
    assert context.get(str) == "inner"
    context.add("outer")
    factory.reset()
    assert loop.get_task_factory() is before
    await asyncio.create_task(work())
    assert context.get(str) == "inner"


async def test_task_factory_on_top_of_another():
    """CTX-11: a parent factory makes the tasks and is restored."""
    loop = asyncio.get_running_loop()
    made = []

    def parent(loop, coro, **options):
        made.append(coro)
        return asyncio.Task(coro, loop=loop, **options)

    async def work():
        return context.add("inner")

    loop.set_task_factory(parent)
    try:
        factory = context.set_task_factory(loop)
        await loop.create_task(work())
        factory.reset(loop=loop)
        assert len(made) == 1
        assert loop.get_task_factory() is parent
    finally:
        loop.set_task_factory(None)
    factory = context.StackingTaskFactory(parent_factory=parent)
    factory.reset()
    assert loop.get_task_factory() is parent
    loop.set_task_factory(None)
    factory.set()
    factory.set(loop=loop)
    factory.reset(loop=loop)
    assert loop.get_task_factory() is None
