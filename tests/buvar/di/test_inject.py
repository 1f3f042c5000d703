"""`Inject[...]` in signatures: finding, supplying and hiding such parameters."""

# ruff: noqa: E501, F821, ISC004, UP006, UP007, UP035, UP045 - spellings of types, and whole texts, are what is tested

import functools
import inspect
import threading
import types
from collections.abc import AsyncIterator
from typing import Annotated, Optional, get_args, get_origin

import pytest

from buvar import context, di
from buvar.di import Inject


class Pool:
    pass


class Service:
    def __init__(self, pool: Pool):
        self.pool = pool


def test_inject_is_annotated():
    """`Inject[T]` is Annotated[T, a marker]."""
    assert get_origin(Inject[Pool]) is Annotated
    assert get_args(Inject[Pool])[0] is Pool
    assert repr(get_args(Inject[Pool])[1]) == "INJECT"


def test_injected():
    """`injected` gives name and type of the marked parameters, and only of those."""

    def func(
        plain: int,
        note: Annotated[int, "x"],
        pool: Inject[Pool],
        text: "di.Inject[Pool]",
        maybe: Inject[Pool] | None = None,
        inner: Optional["Inject[Pool]"] = None,
        noted: Annotated[Inject[Pool], "note"] = None,
        whole: Inject[Pool | None] = None,
        broken: "Nowhere" = None,
        *,
        bare=None,
    ): ...

    assert di.injected(func) == {
        "pool": Pool,
        "text": Pool,
        "maybe": Pool | None,
        "inner": Optional[Pool],
        "noted": Annotated[Pool, "note"],
        "whole": Pool | None,
    }

    class TypeAliasType:
        __value__ = Inject[Pool]

        def __call__(self): ...

    def aliased(pool, number: int | str, broken: list["Nowhere"] = ()): ...

    # as Python 3.12 would write it: type Alias = Inject[Pool]
    aliased.__annotations__["pool"] = TypeAliasType()
    assert di.injected(aliased) == {"pool": Pool}
    assert di.injected(lambda: 1) == {}
    assert di.injected(dict) == {}


def test_injected_of_every_callable():
    """Methods, partials, wrapped functions and postponed annotations are read too."""
    Here = Pool

    class Thing:
        def method(self, pool: Inject[Pool]): ...

        def __call__(self, pool: "Inject[Here]"): ...

    @functools.wraps(Thing.method)
    def wrapper(*args): ...

    module = types.ModuleType("written")
    exec(
        "from __future__ import annotations\nfrom buvar.di import Inject as Give\nclass Pool: ...\n"
        "def func(pool: Give[Pool], other: Missing): ...\n",
        vars(module),
    )

    assert di.injected(Thing().method) == {"pool": Pool}
    assert di.injected(Thing()) == {"pool": Pool}
    assert di.injected(wrapper) == {"pool": Pool}
    assert di.injected(functools.partial(Thing().method)) == {"pool": Pool}
    assert di.injected(module.func) == {"pool": module.Pool}


def test_injected_that_cannot_be_read():
    """An annotation that looks like Inject and cannot be evaluated is an error that names it."""

    def func(pool: "Inject[Nowhere]"): ...

    with pytest.raises(di.AdapterError) as info:
        di.injected(func)
    assert str(info.value) == (
        f"{__name__}.test_injected_that_cannot_be_read.func has a parameter 'pool' whose annotation cannot be "
        "evaluated: name 'Nowhere' is not defined\n"
        "  fix:   make the names in 'Inject[Nowhere]' importable from the module of the function"
    )


async def test_provide(adapters):
    """Values for Inject parameters share what they depend on, go by name first, and leave defaults alone."""

    def func(
        service: Inject[Service], pool: Inject[Pool], text: Inject[str] = "default", *, number: Inject[int] = 3
    ): ...

    di.register(Service, Pool)

    async with di.scope() as scope:
        found = await scope.provide(func)
        assert sorted(found) == ["pool", "service"]
        assert found["service"].pool is found["pool"]
        context.add(1)
        named = context.add(Pool(), name="pool")
        found = await scope.provide(func)
        assert found["pool"] is named
        assert found["number"] == 1
        assert await scope.provide(lambda: 1) == {}
        assert sorted(await scope.provide(func, skip=["pool", "text", "unknown"])) == ["number", "service"]
        assert sorted(await scope.provide(func, skip=["pool", "text"])) == ["number", "service"]
        assert await scope.provide(func, skip=["service", "pool", "text", "number"]) == {}


async def test_provide_what_cannot_be_built(adapters):
    """A parameter without default that cannot be built is an error."""

    def func(pool: Inject[Pool]): ...

    async with di.scope() as scope:
        with pytest.raises(di.ResolveError) as info:
            await scope.provide(func)
    assert str(info.value) == (
        "nobody provides the parameter pool: Pool\n"
        "  where: pool: Pool: nobody provides it\n"
        "  fix:   register an adapter that returns Pool, add one to the context, or pass pool="
    )


async def test_provide_for_what_cannot_be_remembered(adapters):
    """Callables that are neither hashable nor weakly referable, and bound methods, are served too."""

    class Slotted:
        __slots__ = ()
        __hash__ = None

        def __call__(self, pool: Inject[Pool]): ...

        def method(self, pool: Inject[Pool]): ...

    pool = context.add(Pool())

    async with di.scope() as scope:
        assert await scope.provide(Slotted()) == {"pool": pool}
        assert await scope.provide(Slotted().method) == {"pool": pool}
        assert await scope.provide(Slotted().method) == {"pool": pool}


async def test_inject(adapters):
    """The decorator opens a scope for each call, supplies the parameters and hides them."""
    log = []

    async def make() -> AsyncIterator[Pool]:
        log.append("open")
        yield Pool()
        log.append("close")

    di.register(make)

    @di.inject
    async def handler(pool: Inject[Pool], request: int, *rest: int, flag: bool = False) -> tuple:
        """What it does."""
        log.append("call")
        return pool, request, rest, flag

    assert str(inspect.signature(handler)) == "(request: int, *rest: int, flag: bool = False) -> tuple"
    assert handler.__doc__ == "What it does."
    assert inspect.iscoroutinefunction(handler)
    pool, *rest = await handler(1, 2, 3, flag=True)
    assert (type(pool), *rest) == (Pool, 1, (2, 3), True)
    assert log == ["open", "call", "close"]


async def test_inject_around_a_synchronous_function(adapters):
    """A synchronous function is run in a thread, in a copy of the context."""
    di.register(Pool)

    @di.inject
    def handler(number, *, pool: Inject[Pool]):
        return type(pool), number, threading.current_thread() is threading.main_thread(), context.get(str)

    context.add("text")
    assert await handler(1) == (Pool, 1, False, "text")


async def test_passing_what_would_be_injected(adapters):
    """An injected parameter that is passed by keyword is taken as it is, and nothing is built for it."""

    @di.inject
    async def handler(request, pool: Inject[Pool], other: Inject[Pool] = None):
        return request, pool, other

    fake = Pool()
    assert await handler(1, pool=fake) == (1, fake, None)
    assert await handler(request=1, pool=fake, other=2) == (1, fake, 2)
    with pytest.raises(di.ResolveError):
        await handler(1)
    with pytest.raises(TypeError):
        await handler(1, 2)


async def test_inject_of_a_registry(adapters):
    """The decorator of a registry uses that registry."""
    registry = di.Adapters()
    registry.register(Pool)

    @registry.inject
    async def handler(pool: Inject[Pool]):
        return pool

    assert type(await handler()) is Pool


async def test_inject_passes_errors_into_the_scope(adapters):
    """The error of a handler is seen by the generators that were opened for it."""
    seen = []

    async def make() -> AsyncIterator[Pool]:
        try:
            yield Pool()
        except ValueError as error:
            seen.append(error)
            raise

    di.register(make)

    @di.inject
    async def handler(pool: Inject[Pool]):
        raise ValueError("x")

    with pytest.raises(ValueError) as info:
        await handler()
    assert seen == [info.value]
