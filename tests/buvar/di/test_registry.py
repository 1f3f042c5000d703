"""Choosing and building: `Adapters.register`, `nject`, `lookup`."""

# ruff: noqa: E501, F821, ISC004, UP006, UP007, UP035, UP045 - spellings of types, and whole texts, are what is tested

import asyncio
import functools
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Annotated, Any, Generic, List, NewType, Optional, Protocol, Self, TypeVar, Union

import pytest

from buvar import context, di

T = TypeVar("T")


class Bar:
    pass


class Foo:
    def __init__(self, bar: Bar | None = None):
        self.bar = bar

    @classmethod
    async def adapt(cls, baz: str) -> "Foo":
        return cls()


async def test_the_two_adapters_of_the_documentation():
    """DI-01 DI-17: each call uses the adapter that it has the dependencies for, in either order of registration."""

    async def adapt(bar: Bar) -> Foo:
        return Foo(bar)

    for order in ([Foo.adapt, adapt], [adapt, Foo.adapt]):
        registry = di.Adapters()
        registry.register(*order)

        foo = await registry.nject(Foo, baz="baz")
        assert foo.bar is None

        bar = Bar()
        foo = await registry.nject(Foo, bar=bar)
        assert foo.bar is bar


async def test_every_kind_of_adapter(adapters):
    """DI-01: functions, methods, classes, classmethods, partials and callable objects, synchronous and not."""

    class A: ...

    class B: ...

    class C: ...

    class D: ...

    class E: ...

    class F: ...

    class G: ...

    class H: ...

    class Factory:
        def plain(self, a: A) -> B:
            return B()

        async def coroutine(self, b: B) -> C:
            return C()

        @classmethod
        def of_class(cls, c: C) -> D:
            assert cls is Factory
            return D()

        @staticmethod
        def static(d: D) -> E:
            return E()

    class Call:
        async def __call__(self, e: E) -> F:
            return F()

    async def two(f: F, number: int, *, other: int = 2) -> G:
        assert (number, other) == (1, 2)
        return G()

    def wrapped(func):
        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            return func(*args, **kwargs)

        return wrapper

    @wrapped
    async def three(g: G) -> H:
        return H()

    factory = Factory()
    di.register(
        A, factory.plain, factory.coroutine, Factory.of_class, Factory.static, Call(), functools.partial(two, number=1)
    )
    di.register(three)

    assert isinstance(await di.nject(H), H)
    assert [type(one) for one in await di.nject(A, B, C, D, E, F, G)] == [A, B, C, D, E, F, G]


async def test_what_nject_returns(adapters):
    """DI-02: one target gives the object, several a list in order, none an empty list."""
    di.register(Foo, Bar)

    assert type(await di.nject(Foo)) is Foo
    assert [type(one) for one in await di.nject(Foo, Bar)] == [Foo, Bar]
    assert await di.nject() == []


async def test_where_dependencies_come_from(adapters):
    """DI-03: from the context, else from keywords, else from adapters, else the default."""

    class Thing:
        def __init__(self, bar: Bar, size: int = 3):
            self.bar, self.size = bar, size

    di.register(Thing, Bar)

    assert (await di.nject(Thing)).size == 3
    assert (await di.nject(Thing, size=4)).size == 4
    with context.child():
        bar = context.add(Bar())
        assert (await di.nject(Thing)).bar is bar


async def test_missing_dependency(adapters):
    """DI-04 B-01: a required dependency that nobody provides is an error; no sentinel is injected."""

    class Needs:
        def __init__(self, bar: Bar):
            self.bar = bar

    di.register(Needs)

    with pytest.raises(di.ResolveError) as info:
        await di.nject(Needs)

    message, target, errors = info.value.args
    assert message == "cannot build Needs: nobody provides bar: Bar"
    assert target is Needs
    assert [type(error) for error in errors] == [di.ResolveError]
    assert errors[0].args == ("nobody provides the parameter bar: Bar", Bar, [])


async def test_losing_adapters_have_no_effect(adapters):
    """DI-04: of an adapter that lacks its second parameter, the first one is not built either."""
    built = []

    def connection() -> Bar:
        built.append("connection")
        return Bar()

    def loser(bar: Bar, missing: set) -> Foo:
        raise AssertionError

    def winner() -> Foo:
        return Foo()

    di.register(connection, winner, loser)

    assert isinstance(await di.nject(Foo), Foo)
    assert built == []


async def test_search_order(adapters):
    """DI-05 DI-06 B-06: keyword by name, component by name, keyword by type, unnamed component, adapter, default."""

    class Thing:
        def __init__(self, bar: Bar = None):
            self.bar = bar

    made = Bar()

    def make() -> Bar:
        return made

    di.register(Thing)
    assert (await di.nject(Thing)).bar is None
    di.register(make)
    assert (await di.nject(Thing)).bar is made
    unnamed = context.add(Bar())
    assert (await di.nject(Thing)).bar is unnamed
    by_type = Bar()
    assert (await di.nject(Thing, other=by_type)).bar is by_type
    context.add(Bar(), name="different")
    assert (await di.nject(Thing)).bar is unnamed
    named = context.add(Bar(), name="bar")
    assert (await di.nject(Thing, other=by_type)).bar is named
    by_name = Bar()
    assert (await di.nject(Thing, bar=by_name, other=by_type)).bar is by_name


async def test_builtins_are_never_matched_by_type(adapters):
    """Decision 7: a keyword does not become a parameter of a class of builtins by its type; an unnamed component does."""

    class Address:
        def __init__(self, host: str, port: int = 80, path: str = "/", debug: bool = False, extra: object = None):
            self.all = (host, port, path, debug, extra)

    di.register(Address)

    assert (await di.nject(Address, host="h", secure=True)).all == ("h", 80, "/", False, None)
    context.add(8080)
    assert (await di.nject(Address, host="h")).all == ("h", 8080, "/", False, 8080)


async def test_a_keyword_of_the_wrong_type_does_not_fit(adapters):
    """Decision 7: the name alone is not enough."""

    class Address:
        def __init__(self, port: int = 80, ratio: float = 0.5):
            self.port, self.ratio = port, ratio

    di.register(Address)

    address = await di.nject(Address, port="81", ratio=1)
    assert (address.port, address.ratio) == (80, 1)


async def test_targets_are_looked_up_first(adapters):
    """DI-07: a target that is a component is returned and no adapter is called."""

    def make() -> Foo:
        raise AssertionError

    di.register(make)
    foo = context.add(Foo())

    assert await di.nject(Foo) is foo
    assert await di.nject(Foo, foo=(other := Foo())) is other


async def test_one_call_shares(adapters):
    """DI-08: diamonds and repeated targets share one object in a call; the context stays as it was."""

    class Left:
        def __init__(self, bar: Bar):
            self.bar = bar

    class Right:
        def __init__(self, bar: Bar):
            self.bar = bar

    di.register(Left, Right, Bar, Foo)

    left, right, bar = await di.nject(Left, Right, Bar)
    assert left.bar is right.bar is bar
    one, other = await di.nject(Foo, Foo)
    assert one is other
    assert (await di.nject(Foo)) is not one
    assert context.find(Foo) == {}


async def test_what_was_made_serves_its_bases(adapters):
    """DI-08: what one call has made is filed under the bases of what its adapter declares."""

    class Base: ...

    class Derived(Base): ...

    def plain() -> Base:
        raise AssertionError

    di.register(plain, Derived)

    derived, base = await di.nject(Derived, Base)
    assert derived is base


async def test_adapters_serve_bases(adapters):
    """DI-09: an adapter for a subclass serves the base class, exact ones first."""

    class Base: ...

    class Derived(Base): ...

    di.register(Derived)
    assert type(await di.nject(Base)) is Derived
    di.register(Base)
    assert type(await di.nject(Base)) is Base
    with pytest.raises(di.ResolveError):
        await di.nject(object)


async def test_generics_vary_with_their_arguments(adapters):
    """DI-09: List[Bar] serves List[Foo], Optional[Bar] serves Optional[Foo], in every spelling."""

    class Sub(Bar): ...

    def many() -> List[Sub]:
        return [Sub()]

    def maybe() -> Optional[Sub]:
        return None

    di.register(many, maybe)

    for spelling in (List[Sub], list[Sub], List[Bar], list[Bar], list, list[object]):
        assert type((await di.nject(spelling))[0]) is Sub
    assert await di.nject(Optional[Bar]) is None
    assert await di.nject(Sub | None) is None
    with pytest.raises(di.ResolveError):
        await di.nject(Sub)
    with pytest.raises(di.ResolveError):
        await di.nject(list[Foo])
    with pytest.raises(di.ResolveError):
        await di.nject(set[Bar])


class Repo(Generic[T]):
    pass


class BarRepo(Repo[Bar]):
    pass


class Pairs(Repo[tuple[T, T]]):
    pass


async def test_generic_bases(adapters):
    """DI-09: a class serves the parametrised classes that it inherits from."""

    def pairs() -> Pairs[int]:
        return Pairs()

    di.register(BarRepo, pairs)

    assert type(await di.nject(Repo[Bar])) is BarRepo
    assert type(await di.nject(Repo[tuple[int, int]])) is Pairs
    assert type(await di.nject(Repo)) is Pairs
    with pytest.raises(di.ResolveError):
        await di.nject(Repo[Foo])


class Config:
    made_of: type

    @classmethod
    def load(cls) -> Self:
        self = cls()
        self.made_of = cls
        return self


class DbConfig(Config):
    pass


async def test_generic_classmethods(adapters):
    """DI-10: a classmethod that returns its own class serves every subclass, called with that."""
    C = TypeVar("C", bound="Other")

    class Other:
        @classmethod
        async def make(cls: type[C]) -> C:
            return cls()

    class Sub(Other): ...

    class Sibling(Other): ...

    class Quoted:
        @classmethod
        def make(cls) -> "Quoted":
            return cls()

    class QuotedSub(Quoted): ...

    di.register(Config.load, Other.make, Quoted.make)

    db = await di.nject(DbConfig)
    assert type(db) is DbConfig
    assert db.made_of is DbConfig
    assert type(await di.nject(Config)) is Config
    assert type(await di.nject(Sub)) is Sub
    assert [type(one) for one in await di.nject(Sibling, Sub, QuotedSub)] == [Sibling, Sub, QuotedSub]


async def test_a_classmethod_for_another_class(adapters):
    """DI-10: a classmethod that returns an unrelated class is called with its own; it serves no subclass of that."""

    class Product: ...

    class SubProduct(Product): ...

    class Factory:
        @classmethod
        def make(cls) -> Product:
            assert cls is Factory
            return Product()

    di.register(Factory.make)

    assert type(await di.nject(Product)) is Product
    with pytest.raises(di.ResolveError):
        await di.nject(SubProduct)


async def test_an_adapter_of_the_subclass_goes_before_the_generic_one(adapters):
    """DI-13: exactly the type first, then generic classmethods of its bases, whatever the order of registration."""
    special = DbConfig()

    def make() -> DbConfig:
        return special

    di.register(make)
    di.register(Config.load)

    assert await di.nject(DbConfig) is special


async def test_replace(adapters):
    """DI-12: replace drops the adapters of that target and of its bases, and nothing else."""

    class Base: ...

    class Derived(Base): ...

    class Sibling(Base): ...

    di.register(Base, Derived, Sibling)

    def new() -> Derived:
        return Derived()

    di.register(new, replace=True)

    assert [one.implementation for one in di.lookup(Derived)] == [new]
    assert [one.implementation for one in di.lookup(Base)] == [new, Sibling]


async def test_the_newest_wins(adapters):
    """DI-13 B-02: among adapters for one type the newest goes first; registering again makes one the newest."""

    def one() -> Foo:
        raise AssertionError

    def two() -> Foo:
        return Foo()

    di.register(one)
    di.register(two)

    await di.nject(Foo)
    assert [adapter.implementation for adapter in di.lookup(Foo)] == [two, one]
    di.register(one)
    assert [adapter.implementation for adapter in di.lookup(Foo)] == [one, two]


async def test_lookup_changes_nothing(adapters):
    """DI-15 B-04: looking up and building leave the registry as it is."""

    class Sub(Foo): ...

    di.register(Foo.adapt)
    before = di.lookup(Foo), di.lookup(Sub)

    for _ in range(20):
        await di.nject(Foo, baz="")
        await di.nject(Sub, baz="")

    assert (di.lookup(Foo), di.lookup(Sub)) == before
    assert [adapter.name for adapter in before[0]] == ["Foo.adapt"]


async def test_errors_of_bodies_propagate(adapters):
    """DI-14: what an adapter raises is raised; it is no reason to try the next."""

    def other() -> Foo:
        raise AssertionError

    def fails() -> Foo:
        raise di.ResolveError("of my own")

    di.register(other, fails)

    with pytest.raises(di.ResolveError, match="^of my own$"):
        await di.nject(Foo)


async def test_registries_are_independent(adapters):
    """DI-15: another Adapters knows nothing of this one; the module uses the one in `buvar_adapters`."""
    other = di.Adapters()
    other.register(Foo)
    assert di.buvar_adapters.get() is adapters

    assert di.lookup(Foo) == []
    token = di.buvar_adapters.set(other)
    assert type(await di.nject(Foo)) is Foo
    di.buvar_adapters.reset(token)


async def test_a_class_is_no_dependency(adapters):
    """DI-15: a keyword that is a class is a mistake."""
    di.register(Foo)

    with pytest.raises(ValueError, match=r"^A component should be an instance\.$"):
        await di.nject(Foo, bar=Bar)


async def test_none(adapters):
    """DI-15 B-05: None fits a parameter that allows it, and no other."""

    class Strict:
        def __init__(self, bar: Bar):
            self.bar = bar

    class Lax:
        def __init__(self, bar: Bar | None):
            self.bar = bar

    di.register(Strict, Lax)

    assert (await di.nject(Lax, bar=None)).bar is None
    with pytest.raises(di.ResolveError):
        await di.nject(Strict, bar=None)


@pytest.mark.parametrize(
    "annotation",
    [
        Optional[Bar],
        Bar | None,
        Annotated[Bar, "note"],
        Annotated[Optional[Bar], 1],
        Optional[Annotated[Bar, 1]],
        Union[Foo, Bar],
    ],
)
async def test_optional_and_annotated_are_unwrapped(adapters, annotation):
    """DI-16 B-05 decision 8: in parameters and targets, for keywords, components and adapters alike."""

    class Thing:
        def __init__(self, bar: annotation = None):
            self.bar = bar

    adapters.register(Thing)
    bar = Bar()
    assert (await di.nject(Thing)).bar is None
    assert (await di.nject(Thing, bar=bar)).bar is bar
    assert await di.nject(annotation, other=bar) is bar
    with context.child():
        context.add(bar)
        assert (await di.nject(Thing)).bar is bar
        assert await di.nject(annotation) is bar
    adapters.register(Bar)
    assert type((await di.nject(Thing)).bar) is Bar


async def test_cycle(adapters):
    """B-03: a cycle is an error that draws it, and kills nobody."""

    class A:
        def __init__(self, b: "B"): ...

    class B:
        def __init__(self, a: A): ...

    di.register(A, B)

    with pytest.raises(di.ResolveError, match=r"^cannot build A: it needs itself \(A -> B -> A\)"):
        await di.nject(A)


async def test_a_way_around_a_cycle(adapters):
    """Decision 6: a candidate that needs what is just being built is passed over, and nothing is built for it."""

    class A: ...

    class B:
        def __init__(self, a: A):
            raise AssertionError

    plain = A()

    def make() -> A:
        return plain

    def circular(b: B) -> A:
        raise AssertionError

    di.register(B, make, circular)

    assert await di.nject(A) is plain


async def test_a_default_breaks_a_cycle(adapters):
    """Decision 6: where the cycle can be left out, it is."""

    class A:
        def __init__(self, b: "Optional[B]" = None):
            self.b = b

    class B:
        def __init__(self, a: A):
            self.a = a

    di.register(A, B)

    a, b = await di.nject(A, B)
    assert a.b is None
    assert b.a is a


async def test_strange_keys(adapters):
    """CTX-02: what is filed under a name of one's own is found under it."""
    UserId = NewType("UserId", int)

    def fetch(user: UserId) -> Foo:
        return Foo(user)

    di.register(fetch)

    assert (await di.nject(Foo, user=3)).bar == 3
    context.add(7, UserId)
    assert (await di.nject(Foo)).bar == 7
    context.add([1], list[int])
    assert await di.nject(list[int]) == [1]
    assert await di.nject(List[int]) == [1]


async def test_keywords_fit_what_cannot_be_looked_up(adapters):
    """Decision 7: by name, abstract classes, protocols, literals and unions are checked as far as they can be."""
    from typing import Literal

    class Speaks(Protocol):
        def speak(self) -> str: ...

    class Dog:
        def speak(self):
            return "wuff"

    class Thing:
        def __init__(self, items: Iterable, speaker: Speaks, mode: Literal["a", "b"], other, anything: Any, first: T):
            self.all = (items, speaker, mode, other, anything, first)

    di.register(Thing)
    dog = Dog()

    thing = await di.nject(Thing, items=[1], speaker=dog, mode="a", other=3, anything=4, first=5)
    assert thing.all == ([1], dog, "a", 3, 4, 5)
    with pytest.raises(di.ResolveError):
        await di.nject(Thing, items=1, speaker=dog, mode="a", other=3, anything=4, first=5)
    context.add("named", name="other")
    thing = await di.nject(Thing, items=[1], speaker=dog, mode="a", anything=4, first=5)
    assert thing.all[3] == "named"


async def test_positional_only_parameters(adapters):
    """DI-15: parameters that can only be passed by position are."""

    def make(bar: Bar, /, size: int = 3, *, deep: bool = True) -> Foo:
        return Foo((bar, size, deep))

    di.register(make, Bar)

    assert (await di.nject(Foo, deep=False)).bar[1:] == (3, False)


async def test_adapters_may_be_registered_later(adapters):
    """DI-01: a registration counts at once, also for requests that were answered before."""
    di.register(Foo)
    assert (await di.nject(Foo)).bar is None
    di.register(Bar)
    assert type((await di.nject(Foo)).bar) is Bar


async def test_a_new_component_counts_at_once(adapters):
    """DI-05: what is added, to the newest layer or to one below, is seen by the next call."""
    di.register(Foo)
    outer = context.current_context()
    with context.child():
        assert (await di.nject(Foo)).bar is None
        bar = outer.add(Bar())
        assert (await di.nject(Foo)).bar is bar
        inner = context.add(Bar())
        assert (await di.nject(Foo)).bar is inner
    assert (await di.nject(Foo)).bar is bar


async def test_unique_names_do_not_make_new_plans(adapters):
    """DI: components that no plan asks about do not make a new one, however many names there are."""
    di.register(Foo)
    for number in range(50):
        with context.child():
            context.add(Bar(), name=f"name-{number}")
            await di.nject(Foo)

    (family,) = adapters._families.values()
    assert len(family.plans) == 1


async def test_memory_of_plans_is_bounded(adapters, monkeypatch):
    """DI: plans and their variants are forgotten when there are too many; the answers stay right."""
    from buvar import components
    from buvar.di import _registry

    monkeypatch.setattr(_registry, "PLAN_LIMIT", 4)
    monkeypatch.setattr(_registry, "VARIANT_LIMIT", 2)
    monkeypatch.setattr(components, "_CHAIN_LIMIT", 8)
    di.register(Foo)
    for number in range(20):
        with context.child():
            bar = context.add(Bar(), name="bar" if number % 2 else None)
            for _ in range(number % 3):
                context.buvar_context.set(context.push())
                context.add(number, name=f"n{number}")
            assert (await di.nject(Foo)).bar is bar
            assert len(adapters._plans) <= 5
            assert (await di.nject(Foo, **{f"n{number}": 1})).bar is bar


async def test_threads(adapters):
    """DI: threads may register, add and build at the same time."""
    di.register(Foo, Bar)
    failed = []

    def work():
        try:
            for number in range(50):
                context.add(number, name=f"{threading.get_ident()}-{number}")
                assert type(asyncio.run(adapters.nject(Foo))) is Foo
        except BaseException as error:
            failed.append(error)

    variables = [threading.Thread(target=work) for _ in range(4)]
    for thread in variables:
        thread.start()
    for thread in variables:
        thread.join()

    assert failed == []


async def test_frames_are_let_go(adapters):
    """DI-11 decision 8: registering does not keep the locals of the caller alive."""

    class Big: ...

    def register():
        big = Big()

        class Local: ...

        def make(local: "Local") -> "Foo":
            return Foo(local)

        di.register(make, Local)
        return weakref.ref(big)

    reference = register()
    gc.collect()

    assert reference() is None
    assert isinstance(await di.nject(Foo), Foo)


async def test_plans_can_be_read_in_tracebacks(adapters):
    """DI: the lines of a plan are in a traceback; they go when the plan goes."""
    import linecache
    import traceback

    def fails() -> Bar:
        raise RuntimeError("boom")

    di.register(fails, Foo)

    with pytest.raises(RuntimeError) as info:
        await di.nject(Foo)

    text = "".join(traceback.format_exception(info.value))
    assert "<buvar.di" in text
    assert "v0 = k0()" in text
    (name,) = [one for one in linecache.cache if one.startswith("<buvar.di") and one.endswith(": Foo>")][-1:]
    del info, text
    adapters._forget()
    gc.collect()
    assert name not in linecache.cache


async def test_a_deep_search_ends(adapters):
    """DI: twenty levels of two adapters each, none of which can be completed, are searched in no time."""
    types = [type(f"T{level}", (), {}) for level in range(21)]

    def adapter(level, kind):
        def make(first, rest):
            return types[level]()

        make.__annotations__ = {
            "first": types[level + 1],
            "rest": Bar if kind else types[level + 1],
            "return": types[level],
        }
        return make

    for level in range(20):
        di.register(adapter(level, 0), adapter(level, 1))

    with pytest.raises(di.ResolveError):
        await asyncio.wait_for(di.nject(types[0]), 200)

    di.register(types[20])
    assert type(await di.nject(types[0])) is types[0]


def find() -> Bar:
    return None


async def find_later() -> Bar:
    return None


def find_open() -> Iterator[Bar]:
    yield None


async def find_open_later() -> AsyncIterator[Bar]:
    yield None


class Finder:
    @classmethod
    def find(cls) -> Bar:
        return None


@pytest.mark.parametrize("lifetime", ["call", "scope", "app"])
@pytest.mark.parametrize("find", [find, find_later, find_open, find_open_later, Finder.find, functools.partial(find)])
async def test_a_promise_that_is_not_kept(adapters, find, lifetime):
    """DI-11: an adapter that promises an object and gives None is named in an error, however long it would be kept."""
    di.register(Foo)
    di.register(find, scope=lifetime)
    async with di.application(), di.scope():
        for _ in range(2):
            with pytest.raises(di.AdapterError) as caught:
                await di.nject(Foo)
            assert caught.value.implementation == find
            assert "None, and promises Bar\n  fix:   give one, or say" in str(caught.value)


async def test_none_where_it_is_allowed(adapters):
    """DI-09: an adapter that says so may give None, to those who take it."""

    def find() -> Bar | None:
        return None

    def ask(bar: Bar | None, other: Bar | None = None) -> Foo:
        return Foo()

    di.register(find, ask)
    assert await di.nject(Bar | None) is None
    assert isinstance(await di.nject(Foo), Foo)


async def test_many_outcomes_of_one_search(adapters, monkeypatch):
    """DI: what is remembered of the searches for one type is bounded."""
    from buvar.di import _resolve

    monkeypatch.setattr(_resolve, "MEMO_LIMIT", 0)
    di.register(Foo, Bar)

    foo, bar = await di.nject(Foo, Bar)
    assert foo.bar is bar
