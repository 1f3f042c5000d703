"""Reading signatures: annotations that are text, late, local or unreadable; what is refused at registration."""

# ruff: noqa: E501, F821, ISC004, UP006, UP007, F722, UP035, UP045 - spellings of types, and whole texts, are what is tested

import contextlib
import dataclasses
import functools
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, Optional, TypeVar

import attrs
import pytest

from buvar import di

T = TypeVar("T")


class Bar:
    pass


def module_of(source, **names):
    """A module with annotations that are not evaluated."""
    module = types.ModuleType("written")
    vars(module).update(names)
    exec("from __future__ import annotations\n" + source, vars(module))
    return module


async def test_postponed_annotations(adapters):
    """DI-11: annotations that are text are evaluated in the module of the function."""
    module = module_of(
        "class Bar: ...\nclass Foo:\n    def __init__(self, bar: Bar | None = None): self.bar = bar\n"
        "    @classmethod\n    def make(cls, bar: Bar) -> Foo: return cls(bar)\n"
    )
    di.register(module.Foo.make, module.Bar)

    assert type((await di.nject(module.Foo)).bar) is module.Bar


async def test_local_forward_references(adapters):
    """DI-11: text may name local classes of the function that registers, and of those around the adapter."""

    class Local:
        @classmethod
        def make(cls) -> "Local":
            return cls()

    def register():
        class Inner: ...

        def adapter(local: "Local") -> "Inner":
            return Inner()

        di.register(adapter, Local.make)
        return Inner

    assert type(await di.nject(register())) is not None


async def test_closures(adapters):
    """DI-11: what a function closes over may be named, wherever it is registered."""

    def define():
        class Local: ...

        def adapter() -> "Local":
            return Local()

        return adapter, Local

    adapter, local = define()
    di.register(adapter)

    assert type(await di.nject(local)) is local


async def test_types_that_are_defined_later(adapters):
    """Decision 8: what cannot be evaluated at registration is evaluated at first use."""
    module = module_of("def make(bar: Elsewhere) -> Foo: return Foo(bar)\ndef other(foo: list[Foo]) -> int: return 1\n")
    adapters.register(module.make, module.other, replace=True)

    class Foo:
        def __init__(self, bar):
            self.bar = bar

    with pytest.raises(di.ResolveError) as info:
        await di.nject(Foo)
    assert info.value.fix == (
        "register an adapter that returns Foo, add one to the context\nmake could not be read: name 'Foo' is not defined"
    )
    with pytest.raises(di.AdapterError) as info:
        di.validate([Foo])
    assert str(info.value) == (
        "written.make has a return annotation that cannot be evaluated: name 'Foo' is not defined\n"
        "  fix:   import the name where the function is defined, or define it before it is registered"
    )
    with pytest.raises(di.AdapterError) as info:
        await di.nject(int)
    assert str(info.value) == (
        "written.other has an annotation that cannot be evaluated: name 'Foo' is not defined\n"
        "  fix:   import the name where the function is defined, or define it before it is registered"
    )

    module.Foo = Foo
    with pytest.raises(di.AdapterError, match="name 'Elsewhere' is not defined"):
        await di.nject(Foo)
    module.Elsewhere = Bar
    di.register(Bar)
    assert type((await di.nject(Foo)).bar) is Bar


async def test_a_cell_that_is_not_filled_yet(adapters):
    """Decision 8: a class that is defined behind the adapter and closed over is found at first use."""

    def adapter() -> "Late":
        return Late()

    di.register(adapter)

    class Late: ...

    assert type(await di.nject(Late)) is Late


async def test_dataclasses_and_attrs(adapters):
    """DI-11: a class targets itself, its parameters are those of its constructor, default factories included."""

    @dataclasses.dataclass
    class Base:
        bar: "Bar"
        sizes: list[str] = dataclasses.field(default_factory=lambda: ["m"])
        seed: dataclasses.InitVar[Optional[Bar]] = None

        def __post_init__(self, seed):
            self.seed = seed

    @attrs.define
    class Defined:
        base: "Base"
        other: list = attrs.field(factory=list)

    class Made:
        def __new__(cls, defined: Defined):
            self = object.__new__(cls)
            self.defined = defined
            return self

    di.register(Bar, Base, Defined, Made)

    made = await di.nject(Made)
    assert type(made.defined.base.bar) is Bar
    assert type(made.defined.base.seed) is Bar
    assert made.defined.base.sizes == ["m"]
    assert made.defined.other == []


async def test_a_decorator_that_hides_a_coroutine(adapters):
    """A synchronous wrapper around a coroutine function gives its awaited value, or what it makes of it."""

    def hide(func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            return func(*args, **kwargs)

        return wrapper

    def answer(func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            return 42

        return wrapper

    @hide
    async def bar() -> Bar:
        return Bar()

    @answer
    async def number() -> int:
        raise AssertionError

    di.register(bar, number)

    assert type(await di.nject(Bar)) is Bar
    assert await di.nject(int) == 42


def no_return(bar: Bar): ...


def stars(*things) -> Bar: ...


def options(**things: Bar) -> Bar: ...


def nothing() -> None: ...


def anything() -> Any: ...


def variable() -> T: ...


async def bare() -> AsyncIterator:
    yield 1


async def generator() -> Bar:
    yield Bar()


@contextlib.contextmanager
def manager() -> Bar:
    yield Bar()


@pytest.mark.parametrize(
    ("implementation", "message"),
    [
        (no_return, "{}.no_return has no return annotation, so nothing says what it provides\n"
                    "  fix:   annotate what it returns: def make(...) -> Thing"),
        (stars, "{}.stars takes *things, and nothing says what belongs there\n"
                "  fix:   wrap it in a function that names its parameters"),
        (options, "{}.options takes **things, and nothing says what belongs there\n"
                  "  fix:   wrap it in a function that names its parameters"),
        (nothing, "{}.nothing returns None, which says nothing about what it provides\n"
                  "  fix:   annotate the type of what it returns"),
        (anything, "{}.anything returns Any, which says nothing about what it provides\n"
                   "  fix:   annotate the type of what it returns"),
        (variable, "{}.variable returns a type variable, which says nothing about what it provides\n"
                   "  fix:   return a class, or make it a classmethod of the class that it builds"),
        (generator, "{}.generator is a generator that returns Bar, so nothing says what it yields\n"
                    "  fix:   annotate what it yields: -> AsyncIterator[Thing] or -> Iterator[Thing]"),
        (manager, "{}.manager is a generator that returns Bar, so nothing says what it yields\n"
                  "  fix:   annotate what it yields: -> AsyncIterator[Thing] or -> Iterator[Thing]"),
        (bare, "{}.bare is a generator that returns AsyncIterator, so nothing says what it yields\n"
               "  fix:   annotate what it yields: -> AsyncIterator[Thing] or -> Iterator[Thing]"),
        (3, "int is not callable\n  fix:   register a function, a method or a class; an object that exists is a component: context.add(...)"),
        (dict, "dict has no signature that can be read\n  fix:   wrap it in a function with annotations"),
    ],
)  # fmt: skip
def test_what_cannot_be_registered(adapters, implementation, message):
    """DI-11 DI-15: an adapter that nothing can be done with is refused when it is registered, with the way out."""
    with pytest.raises(di.AdapterError) as info:
        di.register(implementation)

    assert str(info.value) == message.format(__name__)
    assert info.value.args == (implementation, info.value.problem)


async def test_text_inside_of_types(adapters):
    """DI-11: text inside of a generic is evaluated like any other, and names in it are kept until they can be."""

    class Local: ...

    def make(local: "Optional[Local]", late: Optional["Evermore"] = None, bad: "no python" = None) -> "list[Local]":
        return [local]

    make.__annotations__["local"] = Optional["Local"]
    di.register(make, Local)
    with pytest.raises(di.AdapterError, match=r"\.make has an annotation that cannot be evaluated: name 'Evermore'"):
        await di.nject(list[Local])
    del make.__annotations__["bad"]
    di.register(make)
    with pytest.raises(di.AdapterError, match="name 'Evermore' is not defined"):
        await di.nject(list[Local])


async def test_generics_in_text(adapters):
    """DI-11: text may subscript generic classes, those of `typing` and those of the user."""

    class Box(Generic[T]):
        pass

    def box() -> "Box[int]":
        return Box()

    class Shelf:
        def __init__(self, box: "Box[int]", boxes: "list[Box[str]] | None" = None):
            self.box, self.boxes = box, boxes

    di.register(box, Shelf)

    shelf = await di.nject(Shelf)
    assert type(shelf.box) is Box
    assert shelf.boxes is None


async def test_registering_again_what_cannot_be_read_yet(adapters):
    """Decision 8: an adapter that waits for its annotation waits once."""
    module = module_of("def make() -> Nowhere: ...\n")
    di.register(module.make)
    di.register(module.make)

    assert len(adapters._pending) == 1


async def test_names_of_partials(adapters):
    """A partial is called like its function."""
    di.register(functools.partial(functools.partial(no_bar, 1), 2))

    assert [adapter.name for adapter in di.lookup(Bar)] == ["no_bar"]
    assert repr(di.lookup(Bar)[0]) == "<Adapter no_bar>"


def no_bar(a: int, b: int) -> Bar: ...


async def test_own_class_by_a_method(adapters):
    """A bound method that returns Self provides the class of its object."""
    from typing import Self

    class Thing:
        def copy(self) -> Self:
            return type(self)()

        def many(self) -> Iterator[Self]:
            yield self

    thing = Thing()
    di.register(thing.copy)
    assert type(await di.nject(Thing)) is Thing
    di.register(thing.many)
    async with di.scope():
        assert await di.nject(Thing) is thing


async def test_syntax_that_is_none(adapters):
    """A return annotation that is no Python is refused at once: no time will mend it."""
    module = module_of("def make() -> int: ...\n")
    module.make.__annotations__["return"] = "no python here"
    with pytest.raises(di.AdapterError) as info:
        di.register(module.make)
    assert str(info.value) == (
        "written.make has a return annotation that is none: Forward reference must be an expression -- got 'no python here'\n"
        "  fix:   annotate what it returns: def make(...) -> Thing"
    )
