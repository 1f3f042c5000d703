"""Decide where each needed value will come from, without building anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from buvar.components import MISSING

from ._adapters import Candidate, Key, Need
from ._ground import FROM_APPLICATION, FROM_SCOPE, WHOLE, WITHOUT_APPLICATION, Ground
from ._types import NONE_TYPE, VAGUE, Wanted, fits, type_name

#: How many outcomes per requested type to remember while one plan is worked out.
MEMO_LIMIT = 4
GENERATORS = frozenset({"agen", "gen", "acm", "cm"})


@dataclass(frozen=True, slots=True, eq=False)
class Keyword:
    """A keyword of the call."""

    position: int
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """A component in the context, at layer *depth*; the oldest layer has depth 1."""

    depth: int
    namespace: Any
    name: str | None

    def __str__(self) -> str:
        named = "" if self.name is None else f" named {self.name!r}"
        return f"the component{named} under {type_name(self.namespace)}"


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A default, or the value of an override."""

    value: Any
    is_override: bool = False

    def __str__(self) -> str:
        return f"{'override' if self.is_override else 'default'} {self.value!r}"


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A value that an adapter makes, or has made before if it is kept."""

    candidate: Candidate
    arguments: tuple[tuple[Need, Value], ...]
    #: Depth of the layer whose scope closes or keeps it; 0 if it needs none.
    depth: int = 0
    #: The key under which the scope keeps it; `None` if it is made anew in each call.
    key: Key | None = None


Value: TypeAlias = Keyword | Component | Constant | Made


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """A candidate that failed: a parameter could not be resolved, or it is being built already (a cycle)."""

    candidate: Candidate
    problem: Problem | None = None
    #: For a cycle: the candidates from its first occurrence to the second.
    cycle: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A dependency that cannot be resolved."""

    need: Need
    attempts: tuple[Attempt, ...] = ()
    #: The type of the keyword that has the right name but the wrong type.
    misfit: type | None = None


class HardProblem(Exception):
    """A candidate would work if only its scope were open. Older candidates are not tried instead."""

    def __init__(self, path: tuple[Candidate, ...], lifetime: str) -> None:
        super().__init__(path, lifetime)
        self.path = path
        self.lifetime = lifetime


class _Room:
    """The place where one value and its dependencies are put together: what it sees, and what it has so far."""

    __slots__ = ("created", "holder", "is_overridden", "sees", "steps")

    def __init__(self, sees: int, holder: int) -> None:
        #: Which layers it sees: the whole stack, or only from its scope or application down.
        self.sees = sees
        #: Depth of the layer whose scope closes the generators opened here; 0 for none.
        self.holder = holder
        #: The values made so far, by each type that they can be used as.
        self.created: dict[Any, Value] = {}
        #: The values made so far, in order.
        self.steps: list[Made] = []
        #: Whether any of its values comes from an override.
        self.is_overridden = False

    def file(self, made: Made) -> None:
        self.steps.append(made)
        for base in made.candidate.stands_for:
            self.created[base] = made


class _Outcome:
    """The result of a search for a type, and what that result depended on."""

    __slots__ = ("building", "cut", "entered", "entry", "found", "is_overridden", "missing", "result", "room", "steps")

    def __init__(self, room: _Room, building: set[Any]) -> None:
        self.room = room
        self.entry = dict(room.created)
        self.building = building
        self.missing: set[Any] = set()
        self.found: dict[Any, Value] = {}
        self.cut: set[Any] = set()
        self.entered: set[Any] = set()
        self.result: Value | tuple[Attempt, ...] = ()
        self.steps: list[Made] = []
        self.is_overridden = False

    def note_created(self, room: _Room, key: Any) -> None:
        if room is not self.room:
            return
        if key not in room.created:
            self.missing.add(key)
            return
        value = room.created[key]
        if self.entry.get(key) is value:
            self.found[key] = value

    def note_candidate(self, produces: Any, *, is_cut: bool) -> None:
        (self.cut if is_cut else self.entered).add(produces)

    def absorb(self, inner: _Outcome, room: _Room) -> None:
        """Depend on what an inner search depends on, as far as it existed before this search."""
        if room is self.room:
            self.missing |= inner.missing
            for key, value in inner.found.items():
                if self.entry.get(key) is value:
                    self.found[key] = value
        self.entered |= inner.entered
        self.cut |= inner.cut & self.building

    def holds(self, room: _Room, building: set[Any]) -> bool:
        """Whether the same search would take the same course now."""
        created = room.created
        return (
            self.entered.isdisjoint(building)
            and self.cut.issubset(building)
            and self.missing.isdisjoint(created)
            and (not self.found or all(created.get(key) is value for key, value in self.found.items()))
        )


class Resolver:
    """One resolution: goes through dependencies and candidates depth first, and backtracks.

    Args:
        ground: Everything that is available.
        lookup: Returns the candidates for a type, best first.
    """

    def __init__(self, ground: Ground, lookup: Callable[[Any], tuple[Candidate, ...]]) -> None:
        self.ground = ground
        self.lookup = lookup
        self.path: list[Candidate] = []
        #: The types that the candidates on the path make.
        self._building: list[Any] = []
        self.begin()
        self._memo: dict[tuple[Wanted, int], list[_Outcome]] = {}
        self._open: list[_Outcome] = []

    def begin(self) -> None:
        """Start another call with no values made. Earlier outcomes are reused where they still hold."""
        self.room = _Room(WHOLE, self.ground.scope_depth)

    def resolve(self, need: Need) -> Value | Problem:
        """Where the value for a target comes from, or why it cannot be resolved."""
        return self._need(need, self.room)

    def resolve_kept(self, candidate: Candidate) -> Made | Attempt:
        """How to make a value that the newest layer's scope or application keeps."""
        # without an open scope, an application also keeps the values of scopes
        is_application = self.ground.application_depth == len(self.ground.layers)
        self.room = self._room_of("app" if is_application else "scope", self.room)
        return self._complete(candidate, self.room, self.room.holder)

    # --- one need

    def _need(self, need: Need, room: _Room) -> Value | Problem:
        value, misfit = self._present(need, room)
        if value is not None:
            return value
        result: Value | tuple[Attempt, ...] = ()
        if not need.wanted.is_vague:
            result = self._search(need.wanted, room)
        if not isinstance(result, tuple):
            return result
        if need.default is not MISSING:
            return Constant(need.default)
        return Problem(need, result, misfit)

    def _present(self, need: Need, room: _Room) -> tuple[Value | None, type | None]:
        """A value that exists already, if any, and the type of a keyword with the right name but the wrong type."""
        wanted = need.wanted
        ground = self.ground
        options = wanted.types if wanted.union is None else (*wanted.types, wanted.union)
        for option in options if ground.overrides else ():
            if option in ground.overrides:
                room.is_overridden = True
                return Constant(ground.overrides[option][0], is_override=True), None
        misfit = None
        if need.name is not None:
            if room.sees == WHOLE and need.name in ground.keyword_names:
                position = ground.keyword_names.index(need.name)
                if fits(ground.keyword_types[position], wanted):
                    return Keyword(position, need.name), None
                misfit = ground.keyword_types[position]
            for option in options:
                depth = ground.find(option, need.name, room.sees)
                if depth:
                    return Component(depth, option, need.name), None
        if wanted.is_vague:
            return None, misfit
        if room.sees == WHOLE and ground.keyword_types:
            for option in wanted.types:
                keyword = self._keyword_by_type(option)
                if keyword is not None:
                    return keyword, None
        return self._unnamed(options, room), misfit

    def _unnamed(self, options: tuple[Any, ...], room: _Room) -> Value | None:
        for option in options:
            if self._open:
                self._open[-1].note_created(room, option)
            if option in room.created:
                return room.created[option]
            depth = self.ground.find(option, None, room.sees)
            if depth:
                return Component(depth, option, None)
            if option in self.ground.presumed:
                return Component(0, option, None)
        return None

    def _keyword_by_type(self, option: Any) -> Keyword | None:
        """The last keyword of that type; types of `builtins` are too common to identify a value."""
        if getattr(option, "__module__", None) == "builtins" or option in VAGUE:
            return None
        types = self.ground.keyword_types
        for position in range(len(types) - 1, -1, -1):
            if types[position] is not NONE_TYPE and option in types[position].__mro__:
                return Keyword(position, self.ground.keyword_names[position])
        return None

    # --- candidates

    def _search(self, wanted: Wanted, room: _Room) -> Value | tuple[Attempt, ...]:
        """The first candidate that can be completed, or the attempts that failed."""
        memo = self._memo.setdefault((wanted, room.sees), [])
        building = set(self._building)
        for outcome in memo:
            if outcome.holds(room, building):
                return self._replay(outcome, room)
        outcome = _Outcome(room, building)
        is_overridden, room.is_overridden = room.is_overridden, False
        before = len(room.steps)
        self._open.append(outcome)
        try:
            outcome.result = self._try_all(wanted, room)
        finally:
            self._open.pop()
        outcome.steps = room.steps[before:]
        outcome.is_overridden = room.is_overridden
        room.is_overridden = is_overridden or room.is_overridden
        if self._open:
            self._open[-1].absorb(outcome, room)
        if len(memo) < MEMO_LIMIT:
            memo.append(outcome)
        return outcome.result

    def _replay(self, outcome: _Outcome, room: _Room) -> Value | tuple[Attempt, ...]:
        if self._open:
            self._open[-1].absorb(outcome, room)
        for made in outcome.steps:
            room.file(made)
        room.is_overridden = room.is_overridden or outcome.is_overridden
        return outcome.result

    def _try_all(self, wanted: Wanted, room: _Room) -> Value | tuple[Attempt, ...]:
        attempts: list[Attempt] = []
        for option in wanted.types if wanted.union is None else (*wanted.types, wanted.union):
            for candidate in self.lookup(option):
                result = self._try(candidate, room)
                if not isinstance(result, Attempt):
                    return result
                attempts.append(result)
        return tuple(attempts)

    def _try(self, candidate: Candidate, room: _Room) -> Value | Attempt:
        produces = candidate.produces
        is_cut = produces in self._building
        self._open[-1].note_candidate(produces, is_cut=is_cut)
        if is_cut:
            return Attempt(candidate, cycle=(*self.path[self._building.index(produces) :], candidate))
        override = self.ground.overrides.get(produces)
        if override is not None:
            room.is_overridden = True
            return Constant(override[0], is_override=True)
        lifetime = candidate.adapter.lifetime
        is_generator = candidate.adapter.style in GENERATORS
        if lifetime == "call":
            made = self._complete(candidate, room, room.holder if is_generator else 0)
            if isinstance(made, Made) and is_generator and not room.holder and not self.ground.presumes_scopes:
                raise HardProblem((*self.path, candidate), lifetime)
        else:
            made = self._keep(candidate, room)
        if isinstance(made, Made):
            room.file(made)
        return made

    def _complete(self, candidate: Candidate, room: _Room, depth: int) -> Made | Attempt:
        """Resolve all arguments; if one fails, undo what was made for the others."""
        created, steps = dict(room.created), len(room.steps)
        self.path.append(candidate)
        self._building.append(candidate.produces)
        arguments: list[tuple[Need, Value]] = []
        try:
            for need in candidate.adapter.needs:
                value = self._need(need, room)
                if isinstance(value, Problem):
                    room.created = created
                    del room.steps[steps:]
                    return Attempt(candidate, value)
                arguments.append((need, value))
        finally:
            self.path.pop()
            self._building.pop()
        return Made(candidate, tuple(arguments), depth)

    def _keep(self, candidate: Candidate, room: _Room) -> Made | Attempt:
        """A value that a scope keeps: its arguments come from what that scope sees, not from the call."""
        lifetime = candidate.adapter.lifetime
        inner = self._room_of(lifetime, room)
        made = self._complete(candidate, inner, inner.holder)
        if isinstance(made, Attempt):
            return made
        if not inner.holder and not self.ground.presumes_scopes:
            raise HardProblem((*self.path, candidate), lifetime)
        tokens: tuple[object, ...] = ()
        if inner.is_overridden:
            room.is_overridden = True
            tokens = tuple(token for _, token in self.ground.overrides.values())
        return Made(candidate, made.arguments, inner.holder, Key.of(candidate, tokens))

    def _room_of(self, lifetime: str, asking: _Room) -> _Room:
        if lifetime != "app" and asking.sees in (WHOLE, FROM_SCOPE):
            return _Room(FROM_SCOPE, self.ground.scope_depth)
        if asking.sees in (FROM_SCOPE, WITHOUT_APPLICATION) and not self.ground.application_depth:
            return _Room(WITHOUT_APPLICATION, 0)
        return _Room(FROM_APPLICATION, self.ground.application_depth)
