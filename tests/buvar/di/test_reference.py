"""The plans against a slow resolver that is obviously right, on random registries, contexts and requests."""

import asyncio
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
from buvar.di import _registry, _resolve, _scope

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
adapters = st.lists(st.tuples(st.sampled_from(TYPES), parameters, styles), max_size=9)
components = st.lists(st.tuples(st.sampled_from(TYPES), st.one_of(st.none(), st.sampled_from(NAMES))), max_size=3)
keywords = st.dictionaries(st.sampled_from([*NAMES, "e"]), st.sampled_from(TYPES), max_size=2)
#: What is asked for, again and again, ...
requests = st.lists(
    st.tuples(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3), keywords), min_size=1, max_size=2
)
#: ... on how many pushed layers, with what in the newest; and what happens before: nothing, something is added to the
#: layer below all of them, or an adapter is registered.
calls = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), components, st.sampled_from(["", "add", "register"])),
    min_size=1,
    max_size=7,
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
    pass


class Reference:
    """Resolves by the words of the contract, anew for each call, keeping nothing and optimising nothing."""

    def __init__(self, registered):
        #: (number, target, parameters), oldest first
        self.registered = registered
        #: how each is written
        self.styles = []

    def candidates(self, type_):
        newest_first = list(reversed(self.registered))
        exact = [one for one in newest_first if one[1] is type_]
        derived = [one for one in newest_first if one[1] is not type_ and issubclass(one[1], type_)]
        return exact + derived

    def request(self, stack, targets, given):
        """The tree of calls for each target; a call is a list, so that identity tells what is shared."""
        created, log = {}, []
        results = [self.need(None, (target,), False, stack, given, created, log, []) for target in targets]
        return results, log

    def need(self, name, types, optional, stack, given, created, log, building):
        if name is not None:
            if name in given and (isinstance(given[name], types) or (optional and given[name] is None)):
                return given[name]
            for type_ in types:
                for layer in stack:
                    if (type_, name) in layer:
                        return layer[type_, name]
        for type_ in types:
            for value in reversed(given.values()):
                if isinstance(value, type_):
                    return value
        for type_ in types:
            if type_ in created:
                return created[type_]
            for layer in stack:
                if (type_, None) in layer:
                    return layer[type_, None]
        for type_ in types:
            for number, target, wanted in self.candidates(type_):
                if target in building:
                    continue
                # everything is tried on copies, so that what fails leaves nothing behind
                trial, calls = dict(created), list(log)
                try:
                    arguments = {
                        param: self.need(param, kinds, opt, stack, given, trial, calls, [*building, target])
                        for param, kinds, opt in wanted
                    }
                except Failed:
                    continue
                made = [number, target, arguments]
                created.clear()
                created.update(trial)
                for base in target.__mro__[:-1]:
                    created[base] = made
                log[:] = [*calls, made]
                return made
        if optional:
            return None
        raise Failed


def same(ours, theirs, pairs):
    """Whether two results have the same shape, and share objects in the same places."""
    if isinstance(theirs, list):
        if not hasattr(ours, "call") or type(ours) is not theirs[1]:
            return False
        known = pairs.setdefault(id(ours), theirs)
        if known is not theirs:
            return False
        number, arguments = ours.call
        return (
            number == theirs[0]
            and list(arguments) == list(theirs[2])
            and all(same(arguments[name], theirs[2][name], pairs) for name in arguments)
        )
    return ours is theirs


async def compare(registered, layers, wishes, calls):
    """Run all calls against both; later calls find the plans of earlier ones."""
    registry, log = di.Adapters(), []
    reference = Reference([])
    base = Components()
    token = context.buvar_context.set(base)
    try:
        stack = [{}]
        now, later = registered[:-2], registered[-2:]
        for adapter in now:
            register(registry, reference, adapter, log)
        middle = base.push()
        stack = [{}, *stack]
        for index, pushes, added, event in calls:
            targets, given_types = wishes[index % len(wishes)]
            if event == "register" and later:
                register(registry, reference, later.pop(), log)
            if event == "add" and layers:
                add(base, stack[-1], [layers.pop()])
            current, mirror = middle, list(stack)
            for _ in range(pushes):
                current, mirror = current.push(), [{}, *mirror]
            if not pushes:
                added = ()
            add(current, mirror[0], added)
            context.buvar_context.set(current)
            given = {name: type_() for name, type_ in given_types.items()}
            log.clear()
            counted[0] += 1
            try:
                expected, expected_log = reference.request(mirror, targets, given)
            except Failed:
                async with registry.scope() as scope:
                    with pytest.raises(di.ResolveError):
                        await scope.nject(*targets, **given)
                assert log == []
                continue
            async with registry.scope() as scope:
                found = await scope.nject(*targets, **given)
                pairs = {}
                results = found if len(targets) > 1 else [found]
                assert all(same(ours, theirs, pairs) for ours, theirs in zip(results, expected, strict=True))
                assert [one.call[0] for one in log] == [one[0] for one in expected_log]
                opened = [one for one in log if "generator" in reference.styles[one.call[0]]]
                del log[:]
            assert log == [("closed", one) for one in reversed(opened)]
    finally:
        context.buvar_context.reset(token)


def register(registry, reference, adapter, log):
    target, wanted, style = adapter
    number = len(reference.registered)
    registry.register(make_adapter(number, target, wanted, style, log))
    reference.registered.append((number, target, wanted))
    reference.styles.append(style)


def add(components_, mirror, added):
    for type_, name in added:
        item = components_.add(type_(), name=name)
        for base in type_.__mro__:
            mirror[base, name] = item


def check(examples=EXAMPLES, seed=None):
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
        derandomize=seed is None,
    )
    @given(adapters, components, requests, calls)
    def run(registered, layers, wishes, made_calls):
        asyncio.run(compare(registered, layers, wishes, made_calls))

    run()


def test_plans_against_the_reference():
    """DI-03 to DI-09, decisions 6 and 7: the same values, the same sharing, the same calls as the slow resolver."""
    check()


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
    original = _scope.finish_all
    monkeypatch.setattr(_scope, "finish_all", lambda opened, error: original(opened[::-1], error))


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


@pytest.mark.parametrize(
    "fault",
    [
        no_rollback, own_type_only, oldest_first, stale_plans, blind_families, stale_chains,
        context_before_keywords, no_names, cycles_by_adapter, oldest_closed_first, unions_backwards,
    ],
)  # fmt: skip
def test_the_comparison_catches_faults(fault, monkeypatch):
    """Each fault that is planted is found by the comparison; a check that cannot fail proves nothing."""
    check(20)
    fault(monkeypatch)

    with pytest.raises((Exception, pytest.fail.Exception)):
        check(1500)


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
