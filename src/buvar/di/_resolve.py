"""Work out, without building anything, where each needed value will come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from buvar.components import MISSING

from ._adapters import Candidate, Key, Need
from ._ground import FROM_APPLICATION, FROM_SCOPE, WHOLE, WITHOUT_APPLICATION, Ground
from ._types import NONE_TYPE, VAGUE, Wanted, fits, type_name

#: How many outcomes for one wanted type are remembered while one plan is worked out.
MEMO_LIMIT = 4
GENERATORS = frozenset({"agen", "gen", "acm", "cm"})


@dataclass(frozen=True, slots=True, eq=False)
class Keyword:
    """A keyword of the call."""

    position: int
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """A component in the context, *depth* layers above the ground; the oldest layer has depth 1."""

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
    """What an adapter makes, or made before when it is kept."""

    candidate: Candidate
    arguments: tuple[tuple[Need, Value], ...]
    #: Depth of the layer whose scope it is opened in, or kept by; 0 when it needs none.
    depth: int = 0
    #: Under what the scope keeps it; `None` when it is made anew in each call.
    key: Key | None = None


Value: TypeAlias = Keyword | Component | Constant | Made


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """A candidate that could not be completed: because of a parameter, or because it is being built already."""

    candidate: Candidate
    problem: Problem | None = None
    #: From the first time it was entered to the second, for a cycle.
    cycle: tuple[Candidate, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A need that cannot be met."""

    need: Need
    attempts: tuple[Attempt, ...] = ()
    #: The type of the keyword that has the right name and the wrong type.
    misfit: type | None = None


class HardProblem(Exception):
    """A candidate that could be completed, if only the scope it lives in were open. Older candidates are no way out."""

    def __init__(self, path: tuple[Candidate, ...], lifetime: str) -> None:
        super().__init__(path, lifetime)
        self.path = path
        self.lifetime = lifetime


class _Room:
    """Where one value, and all that is made for it, is put together: what it sees and what it has so far."""

    __slots__ = ("created", "holder", "is_overridden", "sees", "steps")

    def __init__(self, sees: int, holder: int) -> None:
        #: Which layers it sees: the whole stack, or only from its scope or application down.
        self.sees = sees
        #: The depth of the layer whose scope closes the generators that are opened here; 0 for none.
        self.holder = holder
        #: What was made so far, under each type that it will do for.
        self.created: dict[Any, Value] = {}
        #: What was made so far, in order.
        self.steps: list[Made] = []
        #: Whether anything in it comes from an override.
        self.is_overridden = False

    def file(self, made: Made) -> None:
        self.steps.append(made)
        for base in made.candidate.stands_for:
            self.created[base] = made


class _Outcome:
    """What came of a search for a type, and on what that depended."""

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
        """Depend on what a search inside this one depends on, as far as that was there before this one."""
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
    """One resolution: goes through needs and candidates, depth first, and takes back what did not work.

    Args:
        ground: What there is.
        lookup: Gives the candidates for a type, best first.
    """

    def __init__(self, ground: Ground, lookup: Callable[[Any], tuple[Candidate, ...]]) -> None:
        self.ground = ground
        self.lookup = lookup
        self.path: list[Candidate] = []
        #: What each candidate on the path makes.
        self._building: list[Any] = []
        self.begin()
        self._memo: dict[tuple[Wanted, int], list[_Outcome]] = {}
        self._open: list[_Outcome] = []

    def begin(self) -> None:
        """Begin another call: nothing is made yet. What earlier ones found out is used where it still holds."""
        self.room = _Room(WHOLE, self.ground.scope_depth)

    def resolve(self, need: Need) -> Value | Problem:
        """Where the value for a target comes from, or why from nowhere."""
        return self._need(need, self.room)

    def resolve_kept(self, candidate: Candidate) -> Made | Attempt:
        """How a value that the newest layer's scope or application keeps is made."""
        # an application also keeps what would else live in a scope
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
        """What meets a need without making anything, and the type of a keyword that should have and does not fit."""
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
        """The last keyword of that type; classes of `builtins` are too common to tell a value by its type."""
        if getattr(option, "__module__", None) == "builtins" or option in VAGUE:
            return None
        types = self.ground.keyword_types
        for position in range(len(types) - 1, -1, -1):
            if types[position] is not NONE_TYPE and option in types[position].__mro__:
                return Keyword(position, self.ground.keyword_names[position])
        return None

    # --- candidates

    def _search(self, wanted: Wanted, room: _Room) -> Value | tuple[Attempt, ...]:
        """The first candidate that can be completed, or what became of all of them."""
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
        """Find all arguments, or take back what was made for the first ones."""
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
