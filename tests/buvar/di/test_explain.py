"""The text of errors, of `validate` and of `explain`."""

# ruff: noqa: E501, F821, ISC004, UP006, UP007, UP035, UP045 - spellings of types, and whole texts, are what is tested

import types
from typing import Union

import pytest

from buvar import context, di


class Bar:
    pass


class Handler:
    def __init__(self, service: "Service"):
        self.service = service


class Service:
    def __init__(self, bar: Bar, name: str, size: int = 3):
        self.bar = bar


async def error_of(*targets, **keywords):
    with pytest.raises(di.ResolveError) as info:
        await di.nject(*targets, **keywords)
    return str(info.value)


async def test_nobody_provides_it(adapters):
    """DI-04: a target that nobody knows."""
    assert await error_of(Bar) == (
        "nobody provides Bar\n"
        "  where: Bar: nobody provides it\n"
        "  fix:   register an adapter that returns Bar, add one to the context"
    )


async def test_the_path_to_what_is_missing(adapters):
    """B-01: the path is drawn, and everything that is missing along the way is named."""
    di.register(Handler, Service)

    assert await error_of(Handler) == (
        "cannot build Handler: nobody provides bar: Bar\n"
        "  where: Handler\n"
        f"         └─ by Handler(service: Service) in {__name__}\n"
        "            └─ service: Service\n"
        f"               └─ by Service(bar: Bar, name: str, size: int) in {__name__}\n"
        "                  └─ bar: Bar: nobody provides it\n"
        "  fix:   register an adapter that returns Bar, add one to the context, or pass bar="
    )
    di.register(Bar)
    assert await error_of(Handler) == (
        "cannot build Handler: nobody provides name: str\n"
        "  where: Handler\n"
        f"         └─ by Handler(service: Service) in {__name__}\n"
        "            └─ service: Service\n"
        f"               └─ by Service(bar: Bar, name: str, size: int) in {__name__}\n"
        "                  └─ name: str: nobody provides it\n"
        "  fix:   pass name= as str"
    )
    assert "         └─ name: str (the keyword 'name' is a int): nobody provides it\n" in await error_of(
        Handler, name=3
    )
    assert (await error_of(Handler, name=3)).endswith("  fix:   pass name= as str, not as int")


async def test_several_candidates(adapters):
    """DI-13: all candidates are drawn, in the order of trying; what was drawn before is not drawn again."""

    class Thing: ...

    def one(service: Service) -> Thing: ...

    def two(service: Service, other: Service) -> Thing: ...

    di.register(Service, one, two)

    assert await error_of(Thing, name="x") == (
        "cannot build Thing: nobody provides bar: Bar\n"
        "  where: Thing\n"
        f"         ├─ by two(service: Service, other: Service) in {__name__}\n"
        "         │  └─ service: Service\n"
        f"         │     └─ by Service(bar: Bar, name: str, size: int) in {__name__}\n"
        "         │        └─ bar: Bar: nobody provides it\n"
        f"         └─ by one(service: Service) in {__name__}\n"
        "            └─ service: Service\n"
        f"               └─ by Service(bar: Bar, name: str, size: int) in {__name__}\n"
        "                  └─ bar: Bar: nobody provides it\n"
        "  fix:   register an adapter that returns Bar, add one to the context, or pass bar="
    )


async def test_different_things_are_missing(adapters):
    """DI-04: several missing things are counted and each gets its line."""

    class Thing: ...

    def one(bar: Bar) -> Thing: ...

    def two(anything) -> Thing: ...

    di.register(one, two)

    assert await error_of(Thing) == (
        "cannot build Thing: 2 things are missing\n"
        "  where: Thing\n"
        f"         ├─ by two(anything: anything) in {__name__}\n"
        "         │  └─ anything: anything: nothing has this name\n"
        f"         └─ by one(bar: Bar) in {__name__}\n"
        "            └─ bar: Bar: nobody provides it\n"
        "  fix:   pass anything=, or annotate the parameter\n"
        "         register an adapter that returns Bar, add one to the context, or pass bar="
    )


async def test_the_text_of_a_cycle(adapters):
    """B-03: the cycle is drawn and named."""

    class A:
        def __init__(self, b: "B"): ...

    class B:
        def __init__(self, a: A): ...

    di.register(A, B)

    assert await error_of(A) == (
        "cannot build A: it needs itself (A -> B -> A)\n"
        "  where: A\n"
        f"         └─ by A(b: B) in {__name__}\n"
        "            └─ b: B\n"
        f"               └─ by B(a: A) in {__name__}\n"
        "                  └─ a: A\n"
        f"                     └─ by A(b: B) in {__name__}: is being built already (A -> B -> A)\n"
        "  fix:   give one of the parameters in the cycle a default, or add one of the objects to the context"
    )
    with pytest.raises(di.ResolveError) as info:
        await di.nject(A)
    inner = info.value.errors[0].errors[0].errors[0]
    assert inner.args == ("A needs itself (A -> B -> A)", A, [])


async def test_suggestions(adapters):
    """The fix names what is nearly right: a similar name, a twin in another module, components with names."""
    other = types.new_class("Bar", (), {}, lambda body: body.update(__module__="elsewhere"))
    di.register(other)
    assert (await error_of(Bar)).endswith(
        f"  fix:   elsewhere.Bar is provided, but {__name__}.Bar is asked for: two classes of one name"
    )
    context.add(Bar(), name="left")
    context.add(Bar(), name="right")

    class Barn: ...

    assert (await error_of(Barn)).endswith(
        "  fix:   register an adapter that returns Barn, add one to the context (did you mean Bar?)"
    )
    adapters.register(Bar, replace=True)
    registry = di.Adapters()
    with pytest.raises(di.ResolveError) as info:
        await registry.nject(Bar)
    assert info.value.fix == "there are Bar components named 'left', 'right': name the parameter so, or add one unnamed"
    with pytest.raises(di.ResolveError) as info:
        await registry.nject(str)
    assert info.value.fix == "add a str to the context"


async def test_unions_in_errors(adapters):
    """A union that nobody provides is named as such and is the target of the error."""
    with pytest.raises(di.ResolveError) as info:
        await di.nject(Bar | dict[str, Handler])
    assert info.value.what == "nobody provides Bar | dict[str, Handler]"
    assert info.value.target == Union[Bar, dict[str, Handler]]


async def test_validate(adapters):
    """`validate` checks targets and functions without building, with types that will be there; scopes count as open."""

    class Thing:
        def __init__(self, bar: Bar, handler: "Handler"): ...

    async def generator(thing: Thing) -> "AsyncIterator[int]":
        yield 1

    from collections.abc import AsyncIterator

    di.register(Thing)
    di.register(generator, scope="scope")

    def func(thing: di.Inject[Thing]): ...

    di.validate([Thing, int, func], provided=[Bar, Handler])
    di.validate([], provided=[])
    with pytest.raises(di.ResolveError, match="^cannot build Thing: nobody provides handler: Handler\n"):
        di.validate([Thing], provided=[Bar])
    with pytest.raises(di.ResolveError) as info:
        di.validate([Thing, Service], provided=[Bar])
    assert str(info.value) == (
        "2 targets cannot be built\n"
        "  where: cannot build Thing: nobody provides handler: Handler\n"
        "         Thing\n"
        f"         └─ by Thing(bar: Bar, handler: Handler) in {__name__}\n"
        "            └─ handler: Handler: nobody provides it\n"
        "         nobody provides Service\n"
        "         Service: nobody provides it\n"
        "  fix:   register an adapter that returns Handler, add one to the context, or pass handler=\n"
        "         register an adapter that returns Service, add one to the context"
    )
    assert [type(error) for error in info.value.errors] == [di.ResolveError] * 2


async def test_explain(adapters):
    """`explain` draws where everything comes from, marks what is shared and lists who else could serve."""

    class Thing:
        def __init__(self, bar: Bar, service: Service, name: str, again: Service, lost: Bar | None = None): ...

    class Sub(Thing):
        pass

    def older() -> Thing: ...

    di.register(older, Thing, Sub)
    di.register(Service, scope="app")
    context.add(Bar())
    context.add("text", name="name")

    assert di.explain(Thing) == (
        f"Thing: by Thing(bar: Bar, service: Service, name: str, again: Service, lost: Bar) in {__name__}\n"
        "├─ bar: Bar: the component under Bar\n"
        f"├─ service: Service: by Service(bar: Bar, name: str, size: int) in {__name__}, kept by the application\n"
        "│  ├─ bar: Bar: the component under Bar\n"
        "│  ├─ name: str: the component named 'name' under str\n"
        "│  └─ size: int: default 3\n"
        "├─ name: str: the component named 'name' under str\n"
        f"├─ again: Service: by Service(bar: Bar, name: str, size: int) in {__name__}, kept by the application "
        "(the one above)\n"
        "└─ lost: Bar: the component under Bar\n"
        f"also: older() in {__name__}\n"
        f"also: Sub(bar: Bar, service: Service, name: str, again: Service, lost: Bar) in {__name__}"
    )
    with di.override(Bar, 3):
        assert di.explain(Bar) == "Bar: override 3"
    with pytest.raises(di.ResolveError):
        di.explain(Handler)


async def test_explain_generic_classmethods(adapters):
    """A generic classmethod is shown with the class that it will make."""

    class Config:
        @classmethod
        def load(cls, bar: Bar) -> "Config": ...

    class Db(Config): ...

    di.register(Config.load, Bar)

    assert di.explain(Db) == f"Db: by Db.load(bar: Bar) in {__name__}\n└─ bar: Bar: by Bar() in {__name__}"


def test_a_large_graph_is_checked_quickly():
    """DI-04: five hundred adapters are checked in a moment; the bound is generous, the benchmark is strict."""
    import random
    import time

    chosen = random.Random(7)
    adapters = di.Adapters()
    classes = []
    for number in range(500):
        cls = type(f"Node{number}", (), {})
        needed = chosen.sample(classes, min(len(classes), chosen.randint(1, 4)))
        adapters.register(_maker(cls, needed))
        classes.append(cls)
    began = time.process_time()
    adapters.validate(classes)
    assert time.process_time() - began < 10
    classes.append(type("Missing", (), {}))
    with pytest.raises(di.ResolveError) as caught:
        adapters.validate(classes)
    assert caught.value.target is classes[-1]


def _maker(cls, needed):
    def make(a=None, b=None, c=None, d=None):
        return cls()

    make.__annotations__ = {**dict(zip("abcd", needed, strict=False)), "return": cls}
    make.__defaults__ = (None,) * (4 - len(needed))
    return make
