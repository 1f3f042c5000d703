"""The plans against a slow resolver that is obviously right, on random registries, contexts and requests."""

import asyncio
import contextlib
import dataclasses
import inspect
import os
from collections.abc import AsyncIterator, Iterator
from typing import Union

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from buvar import context, di
from buvar.components import Components
from buvar.di import _adapters, _ground, _registry, _resolve, _scope

EXAMPLES = int(os.environ.get("BUVAR_EXAMPLES", "150"))

#: A small hierarchy: two trees and one class with two bases.
A = type("A", (), {})
A1 = type("A1", (A,), {})
A2 = type("A2", (A,), {})
B = type("B", (), {})
B1 = type("B1", (B,), {})
AB = type("AB", (A1, B1), {})
C = type("C", (), {})
D = type("D", (), {})
TYPES = [A, A1, A2, B, B1, AB, C, D]
NAMES = ["a", "b", "c", "d"]


class Made:
    """What an adapter was called with, and which call it was."""


#: What a parameter may be annotated with: a class, or a union of two.
wanted_types = st.one_of(
    st.sampled_from(TYPES).map(lambda one: (one,)),
    st.lists(st.sampled_from(TYPES), min_size=2, max_size=2, unique=True).map(tuple),
)
parameters = st.lists(
    st.tuples(st.sampled_from(NAMES), wanted_types, st.booleans()),
    max_size=3,
    unique_by=lambda parameter: parameter[0],
)
styles = st.sampled_from(["plain", "async", "generator", "async generator"])


def adapters(*lifetimes, types=TYPES):
    return st.lists(
        st.tuples(st.sampled_from(types), parameters, styles, st.sampled_from(lifetimes)),
        max_size=9,
    )


components = st.lists(st.tuples(st.sampled_from(TYPES), st.one_of(st.none(), st.sampled_from(NAMES))), max_size=3)
keywords = st.dictionaries(st.sampled_from([*NAMES, "e"]), st.sampled_from(TYPES), max_size=2)


#: What is asked for, again and again, ...
def requests(types=TYPES):
    return st.lists(
        st.tuples(st.lists(st.sampled_from(types), min_size=1, max_size=3), keywords), min_size=1, max_size=2
    )


#: ... on how many pushed layers, with what in the newest; what happens before: nothing, something is added to one of
#: the layers that all calls share, or an adapter is registered; and in which scope: none, one of its own above or below
#: the pushed layers, or one that several calls share.
def calls(*places):
    return st.lists(
        st.tuples(
            st.integers(0, 1),
            st.integers(0, 2),
            components,
            st.sampled_from(["", "add", "register"]),
            st.sampled_from(places),
        ),
        min_size=1,
        max_size=7,
    )


#: Which shared layers there are, the oldest first: plain ones, a scope, the application.
grounds = st.lists(st.sampled_from(["", "scope", "app"]), max_size=4).map(
    lambda kinds: [kind for index, kind in enumerate(kinds) if kind != "app" or "app" not in kinds[:index]]
)


def make_adapter(number, target, wanted, style, log):
    """A callable that notes its call, and its end if it has one, and gives an object of its target."""

    def called(arguments):
        made = target()
        made.call = (number, arguments)
        log.append(made)
        return made

    if style == "async":

        async def make(**arguments):
            return called(arguments)
    elif style == "generator":

        def make(**arguments):
            made = called(arguments)
            yield made
            log.append(("closed", made))
    elif style == "async generator":

        async def make(**arguments):
            made = called(arguments)
            yield made
            log.append(("closed", made))
    else:

        def make(**arguments):
            return called(arguments)

    provides = {"generator": Iterator[target], "async generator": AsyncIterator[target]}.get(style, target)
    make.__signature__ = inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=Union[types],  # noqa: UP007 - known at run time only
                default=None if optional else inspect.Parameter.empty,
            )
            for name, types, optional in wanted
        ],
        return_annotation=provides,
    )
    return make


#: How many requests were compared.
counted = [0]


class Failed(Exception):
    """A need that cannot be met: the next candidate is tried."""


class Closed(Exception):
    """What would be needed is not open: no candidate is tried any more."""


class Floor(dict):
    """The mirror of a layer: what it holds, and what a scope that it belongs to keeps."""

    def __init__(self, kind=""):
        super().__init__()
        self.kind = kind
        #: number of the adapter -> what it made
        self.kept = {}
        self.pending = set()
        self.opened = []


def open_floors(stack):
    """The innermost scope and the application; a scope around the application does not count."""
    kinds = [floor.kind for floor in stack]
    application = kinds.index("app") if "app" in kinds else len(kinds)
    scope = kinds.index("scope") if "scope" in kinds[:application] else None
    return {"scope": scope, "app": application if application < len(kinds) else None}


class Room:
    """Where values are put together: for a call, or for a value that is kept."""

    def __init__(self, stack, lifetime="call", given=None):
        index = open_floors(stack)["scope" if lifetime == "call" else lifetime]
        self.is_application = lifetime == "app"
        self.stack = stack if lifetime == "call" or index is None else stack[index:]
        #: who closes what is opened here, and keeps what is kept
        self.floor = None if index is None else stack[index]
        self.given = given or {}
        self.created = {}
        self.steps = []


class Step:
    """A call that is to be made, or a value that is to be taken from where it is kept."""

    def __init__(self, number, target, arguments, floor, is_kept):
        self.number, self.target, self.arguments = number, target, arguments
        self.floor, self.is_kept = floor, is_kept


class Reference:
    """Resolves by the words of the contract, anew for each call, optimising nothing."""

    def __init__(self):
        #: (number, target, parameters, style, lifetime), oldest first
        self.registered = []

    def candidates(self, type_):
        newest_first = list(reversed(self.registered))
        exact = [one for one in newest_first if one[1] is type_]
        derived = [one for one in newest_first if one[1] is not type_ and issubclass(one[1], type_)]
        return exact + derived

    def request(self, stack, targets, given, log):
        """The tree of calls for each target; a call is a list, so that identity tells what is shared."""
        room = Room(stack, given=given)
        wanted = [self.need(None, (target,), False, room, []) for target in targets]
        done = self.carry_out(room.steps, stack, log)
        return [done.get(id(one), one) for one in wanted]

    def carry_out(self, steps, stack, log):
        """Make what was found to be made, in order."""
        done = {}
        for step in steps:
            if step.is_kept:
                done[id(step)] = self.keep(step.floor, step.number, stack, log)
                continue
            arguments = {name: done.get(id(value), value) for name, value in step.arguments.items()}
            done[id(step)] = self.call(step.number, step.target, arguments, step.floor, log)
        return done

    def call(self, number, target, arguments, floor, log):
        made = [number, target, arguments]
        log.append(made)
        if "generator" in self.registered[number][3]:
            floor.opened.append(made)
        return made

    def keep(self, floor, number, stack, log):
        """What is kept, made when it is asked for the first time, of what its scope sees and of nothing else."""
        if number in floor.kept:
            return floor.kept[number]
        if number in floor.pending:
            raise Failed  # it is needed to build itself
        floor.pending.add(number)
        try:
            below = stack[next(index for index, one in enumerate(stack) if one is floor) :]
            room = Room(below, floor.kind)
            _, target, wanted, _, _ = self.registered[number]
            arguments = self.arguments(target, wanted, room, [])
            done = self.carry_out(room.steps, below, log)
            arguments = {name: done.get(id(value), value) for name, value in arguments.items()}
            made = floor.kept[number] = self.call(number, target, arguments, floor, log)
            return made
        finally:
            floor.pending.discard(number)

    def arguments(self, target, wanted, room, building):
        return {name: self.need(name, types, optional, room, [*building, target]) for name, types, optional in wanted}

    def need(self, name, types, optional, room, building):
        given, created = room.given, room.created
        if name is not None:
            if name in given and (isinstance(given[name], types) or (optional and given[name] is None)):
                return given[name]
            for type_ in types:
                for floor in room.stack:
                    if (type_, name) in floor:
                        return floor[type_, name]
        for type_ in types:
            for value in reversed(given.values()):
                if isinstance(value, type_):
                    return value
        for type_ in types:
            if type_ in created:
                return created[type_]
            for floor in room.stack:
                if (type_, None) in floor:
                    return floor[type_, None]
        for type_ in types:
            for candidate in self.candidates(type_):
                try:
                    return self.step(candidate, room, building)
                except Failed:
                    continue
        if optional:
            return None
        raise Failed

    def step(self, candidate, room, building):
        number, target, wanted, style, lifetime = candidate
        if target in building:
            raise Failed
        if lifetime == "call":
            # what fails leaves nothing behind
            before = dict(room.created), list(room.steps)
            try:
                arguments = self.arguments(target, wanted, room, building)
            except Failed:
                room.created, room.steps = before
                raise
            floor = room.floor
            is_open = floor is not None or "generator" not in style
        else:
            # what an application keeps, it keeps with all that it is made of
            inner = Room(room.stack, "app" if room.is_application else lifetime)
            arguments = self.arguments(target, wanted, inner, building)
            floor = inner.floor
            is_open = floor is not None
        if not is_open:
            raise Closed
        made = Step(number, target, arguments, floor, is_kept=lifetime != "call")
        room.steps.append(made)
        for base in target.__mro__[:-1]:
            room.created[base] = made
        return made


class Comparison:
    """Runs requests against both; later ones find the plans and the kept values of earlier ones."""

    def __init__(self):
        self.registry, self.reference = di.Adapters(), Reference()
        #: calls of adapters and ends of generators, as they come
        self.log = []
        #: id of ours -> theirs; `alive` keeps the ids from being used again
        self.pairs, self.alive = {}, []

    def register(self, adapter):
        target, wanted, style, lifetime = adapter
        number = len(self.reference.registered)
        self.registry.register(make_adapter(number, target, wanted, style, self.log), scope=lifetime)
        self.reference.registered.append((number, target, wanted, style, lifetime))

    @contextlib.asynccontextmanager
    async def opened(self, kind, current, stack):
        """A scope or an application on a stack; in the end everything that was opened in it is closed, in reverse."""
        floor = Floor(kind)
        manager = self.registry.scope(current) if kind == "scope" else self.registry.application(current.push())
        async with manager as keeper:
            yield keeper.components, [floor, *stack]
            del self.log[:]
        assert [one.call[0] for _, one in self.log] == [one[0] for one in reversed(floor.opened)]
        assert all(
            kind == "closed" and self.same(one, theirs)
            for (kind, one), theirs in zip(self.log, reversed(floor.opened), strict=True)
        )
        del self.log[:]

    async def request(self, current, stack, targets, given):
        counted[0] += 1
        expected_log = []
        token = context.buvar_context.set(current)
        try:
            expected = self.reference.request(stack, targets, given, expected_log)
        except (Failed, Closed):
            with pytest.raises(di.ResolveError):
                await self.registry.nject(*targets, **given)
        else:
            found = await self.registry.nject(*targets, **given)
            results = found if len(targets) > 1 else [found]
            assert all(self.same(ours, theirs) for ours, theirs in zip(results, expected, strict=True))
        finally:
            context.buvar_context.reset(token)
        assert [one.call[0] for one in self.log] == [one[0] for one in expected_log]
        assert all(self.same(ours, theirs) for ours, theirs in zip(self.log, expected_log, strict=True))
        del self.log[:]

    def same(self, ours, theirs):
        """Whether two results have the same shape, and share objects in the same places."""
        if not isinstance(theirs, list):
            return ours is theirs
        if not hasattr(ours, "call") or type(ours) is not theirs[1]:
            return False
        if id(ours) in self.pairs:
            return self.pairs[id(ours)] is theirs
        self.pairs[id(ours)] = theirs
        self.alive.append(ours)
        number, arguments = ours.call
        return (
            number == theirs[0]
            and list(arguments) == list(theirs[2])
            and all(self.same(arguments[name], theirs[2][name]) for name in arguments)
        )


async def compare(registered, layers, ground, wishes, calls):
    """Run all calls against both."""
    both = Comparison()
    now, later = registered[:-2], registered[-2:]
    for adapter in now:
        both.register(adapter)
    async with contextlib.AsyncExitStack() as exits:
        current, stack = Components(), [Floor()]
        shared = [(current, stack[0])]
        for kind in ground:
            if kind:
                current, stack = await exits.enter_async_context(both.opened(kind, current, stack))
            else:
                current, stack = current.push(), [Floor(), *stack]
            shared.append((current, stack[0]))
        held = await exits.enter_async_context(both.opened("scope", current, stack))
        shared.append((held[0], held[1][0]))
        for index, pushes, added, event, where in calls:
            if event == "register" and later:
                both.register(later.pop())
            if event == "add" and layers:
                add(*shared[pushes % len(shared)], [layers.pop()])
            targets, given_types = wishes[index % len(wishes)]
            given = {name: type_() for name, type_ in given_types.items()}
            async with contextlib.AsyncExitStack() as own:
                now, mirror = held if where == "shared" else (current, stack)
                if where == "below":
                    now, mirror = await own.enter_async_context(both.opened("scope", now, mirror))
                for _ in range(pushes):
                    now, mirror = now.push(), [Floor(), *mirror]
                if pushes:
                    add(now, mirror[0], added)
                if where == "above":
                    now, mirror = await own.enter_async_context(both.opened("scope", now, mirror))
                await both.request(now, mirror, targets, given)


def add(components_, mirror, added):
    for type_, name in added:
        item = components_.add(type_(), name=name)
        for base in type_.__mro__:
            mirror[base, name] = item


#: Everything; and, where faults of one kind are found sooner, without what is kept, and with little else.
EVERYTHING = (
    adapters("call", "call", "scope", "app"),
    components,
    grounds,
    requests(),
    calls("above", "above", "above", "below", "shared", "none"),
)
SIMPLE = (adapters("call"), components, st.just([""]), requests(), calls("above"))
KEPT = (
    adapters("call", "scope", "app", types=[A, A1, B]),
    components,
    st.sampled_from([["scope", "app"], ["app", ""]]),
    requests([A, A1, B]),
    calls("shared", "none", "below"),
)


def check(examples=EXAMPLES, *, cases=EVERYTHING, seed=None):
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        derandomize=seed is None,
    )
    @given(*cases)
    def run(registered, layers, ground, wishes, made_calls):
        asyncio.run(compare(registered, layers, ground, wishes, made_calls))

    run()


@pytest.mark.timeout(900 + EXAMPLES)
@pytest.mark.parametrize("cases", [EVERYTHING, SIMPLE, KEPT], ids=["everything", "simple", "kept"])
def test_plans_against_the_reference(cases):
    """DI-03 to DI-09, decisions 6 and 7: the same values, sharing, keeping, calls and ends as the slow resolver."""
    before = counted[0]
    check(cases=cases)
    print(f"{counted[0] - before} requests compared")


def no_rollback(monkeypatch):
    """A failed candidate keeps what it had made."""
    original = _resolve.Resolver._complete

    def complete(self, candidate, room, depth):
        kept = room.created, room.steps
        result = original(self, candidate, room, depth)
        if isinstance(result, _resolve.Attempt):
            room.created = kept[0]
        return result

    monkeypatch.setattr(_resolve.Resolver, "_complete", complete)


def own_type_only(monkeypatch):
    """What was made is not filed under the bases of its type."""
    monkeypatch.setattr(
        _resolve._Room,
        "file",
        lambda self, made: (self.steps.append(made), self.created.__setitem__(made.candidate.produces, made)),
    )


def oldest_first(monkeypatch):
    """Candidates come in the wrong order."""
    original = _registry.Adapters._find_candidates
    monkeypatch.setattr(_registry.Adapters, "_find_candidates", lambda self, wanted: list(original(self, wanted))[::-1])


def stale_plans(monkeypatch):
    """A registration does not make the plans forgotten."""
    original = _registry.Adapters._forget
    monkeypatch.setattr(_registry.Adapters, "_forget", lambda self: None if hasattr(self, "_plans") else original(self))


def blind_families(monkeypatch):
    """A plan is taken for a context that answers otherwise."""
    monkeypatch.setattr(_registry.Family, "answers", lambda self, layers: ())


def stale_chains(monkeypatch):
    """A new key in a layer below does not reach the stacks above it."""
    original = Components._follow

    def follow(self, key, name):
        shared, self._top.shared = self._top.shared, False
        original(self, key, name)
        self._top.shared = shared

    monkeypatch.setattr(Components, "_follow", follow)


def oldest_closed_first(monkeypatch):
    """What was opened first is closed first."""
    original = _scope.Scope.__aexit__

    async def leave(self, *details):
        self.opened.reverse()
        await original(self, *details)

    monkeypatch.setattr(_scope.Scope, "__aexit__", leave)


def unions_backwards(monkeypatch):
    """The last member of a union is tried first."""
    original = _resolve.Resolver._try_all

    def try_all(self, wanted, room):
        return original(self, dataclasses.replace(wanted, types=wanted.types[::-1]), room)

    monkeypatch.setattr(_resolve.Resolver, "_try_all", try_all)


def memo_without_conditions(monkeypatch):
    """An outcome of one search is taken for another that depends on other things."""
    monkeypatch.setattr(_resolve._Outcome, "holds", lambda self, room, path: True)


def context_before_keywords(monkeypatch):
    """A keyword of the right type loses against the context."""
    monkeypatch.setattr(_resolve.Resolver, "_keyword_by_type", lambda self, option: None)


def no_names(monkeypatch):
    """Names of components do not count."""
    original = _resolve.Ground.find
    monkeypatch.setattr(
        _resolve.Ground,
        "find",
        lambda self, namespace, name, below: 0 if name else original(self, namespace, name, below),
    )


def cycles_by_adapter(monkeypatch):
    """A type that is being built may be built once more by another adapter."""
    original = _resolve.Resolver._try

    def try_(self, candidate, room):
        path, building = self.path, self._building
        self.path = [one for one in path if one.adapter is candidate.adapter or one.produces is not candidate.produces]
        self._building = [one.produces for one in self.path]
        try:
            return original(self, candidate, room)
        finally:
            self.path, self._building = path, building

    monkeypatch.setattr(_resolve.Resolver, "_try", try_)


def kept_see_the_call(monkeypatch):
    """What is kept is made of what the call sees, too."""
    original = _resolve.Resolver._room_of

    def room_of(self, lifetime, asking):
        room = original(self, lifetime, asking)
        return _resolve._Room(_resolve.WHOLE, room.holder)

    monkeypatch.setattr(_resolve.Resolver, "_room_of", room_of)


def kept_twice(monkeypatch):
    """What is kept is made anew all the same."""
    monkeypatch.setattr(_scope._Keeper, "_store", lambda self, key, value: None)


def kept_by_type(monkeypatch):
    """Two adapters for one type share what is kept."""
    monkeypatch.setattr(
        _adapters.Key, "__eq__", lambda self, other: self.candidate.produces is other.candidate.produces
    )
    monkeypatch.setattr(_adapters.Key, "__hash__", lambda self: hash(self.candidate.produces))


def application_keeps_nothing_of_a_scope(monkeypatch):
    """What an application's value needs and a scope would keep, is kept by the scope."""
    original = _resolve.Resolver._room_of
    whole = _resolve._Room(_resolve.WHOLE, 0)
    monkeypatch.setattr(_resolve.Resolver, "_room_of", lambda self, lifetime, asking: original(self, lifetime, whole))


def outer_scopes_count(monkeypatch):
    """A scope around the application will do as well as one inside of it."""

    def depths(layers):
        kinds = [(len(layers) - index, type(layer.owner)) for index, layer in enumerate(layers)]
        return tuple(next((depth for depth, one in kinds if one is kind), 0) for kind in (di.Scope, di.Application))

    monkeypatch.setattr(_ground, "depths", depths)


def older_are_a_way_out(monkeypatch):
    """Where nothing is open to keep a value, an older adapter is taken."""
    original = _resolve.Resolver._try

    def try_(self, candidate, room):
        try:
            return original(self, candidate, room)
        except _resolve.HardProblem:
            return _resolve.Attempt(candidate)

    monkeypatch.setattr(_resolve.Resolver, "_try", try_)


def kept_in_the_newest(monkeypatch):
    """What an application keeps is kept by the innermost scope."""
    original = _ground.Ground.__post_init__

    def post_init(self):
        original(self)
        self.application_depth = self.scope_depth or self.application_depth

    monkeypatch.setattr(_ground.Ground, "__post_init__", post_init)


def unfiled_keepings(monkeypatch):
    """What is kept is not shared under the bases of its type within a call."""
    original = _resolve._Room.file
    monkeypatch.setattr(
        _resolve._Room,
        "file",
        lambda self, made: original(self, made) if made.key is None else self.steps.append(made),
    )


FAULTS = {
    SIMPLE: [
        no_rollback, own_type_only, oldest_first, stale_plans, blind_families, stale_chains,
        context_before_keywords, no_names, cycles_by_adapter, oldest_closed_first, unions_backwards,
    ],
    KEPT: [
        kept_see_the_call, kept_twice, kept_by_type, application_keeps_nothing_of_a_scope, outer_scopes_count,
        older_are_a_way_out, kept_in_the_newest, unfiled_keepings,
    ],
}  # fmt: skip


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("cases", "fault"),
    [pytest.param(cases, fault, id=fault.__name__) for cases, faults in FAULTS.items() for fault in faults],
)
def test_the_comparison_catches_faults(cases, fault, monkeypatch):
    """Each fault that is planted is found by the comparison; a check that cannot fail proves nothing."""
    check(20, cases=cases)
    fault(monkeypatch)

    with pytest.raises((Exception, pytest.fail.Exception)):
        check(4000, cases=cases)


@pytest.mark.parametrize("is_faulty", [False, True])
async def test_what_failed_in_a_cycle_is_tried_again_outside_of_it(is_faulty, monkeypatch):
    """Decision 6: what is remembered of a search counts only where the same search would take the same course."""

    class Circular:
        def __init__(self, other: "Other"): ...

    class Other:
        def __init__(self, circular: Circular):
            self.circular = circular

    plain = object.__new__(Circular)

    def make() -> Circular:
        return plain

    di.register(Other, make)

    @di.register
    def circular(other: Other) -> Circular:
        raise AssertionError

    if is_faulty:
        memo_without_conditions(monkeypatch)
        with pytest.raises(di.ResolveError):
            await di.nject(Circular, Other)
    else:
        first, second = await di.nject(Circular, Other)
        assert first is second.circular is plain
