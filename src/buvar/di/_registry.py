"""The registry of adapters, and the cache of its plans."""

from __future__ import annotations

import contextvars
import sys
import threading
import types
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from typing import Any, TypeVar, get_origin, overload

from buvar.components import Components, Layer
from buvar.context import buvar_context

from ._adapters import Adapter, Candidate, Key, Lifetime, Need
from ._errors import ResolveError
from ._explain import branch_of, draw, error_of, hard_error
from ._ground import Family, Ground, Plan
from ._inject import Wants, hide_injected, needs_of, wants_of
from ._override import Override, Overrides
from ._plan import compile_plan
from ._resolve import Attempt, HardProblem, Problem, Resolver, Value
from ._scope import Application, Scope
from ._types import VAGUE, bases_of, canonical, serves, shelves, type_name, unwrap

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

PLAN_LIMIT = 4096  # size limits: cached plans, and variants of one request, before the cache is cleared
VARIANT_LIMIT = 256


class Adapters:
    """An independent registry of adapters."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._adapters: list[Adapter] = []
        self._pending: list[tuple[Adapter, bool]] = []
        self._by_base: dict[Any, list[Adapter]] = {}
        self._overrides = Overrides(self._lock, self._forget)
        self._count = 0
        self._forget()

    def _forget(self) -> None:
        """Clear all caches; running readers keep the objects that they hold."""
        self._found: dict[Any, tuple[Candidate, ...]] = {}
        self._plans: dict[tuple[Any, ...], Plan] = {}
        self._families: dict[tuple[Any, ...], Family] = {}

    # --- registering

    def register(
        self,
        *implementations: Any,
        replace: bool = False,
        scope: Lifetime = "call",
        frame: types.FrameType | None = None,
    ) -> None:
        """Register adapters: functions, methods, classes, classmethods, generators; sync or async.

        The return annotation is the provided type; a class provides itself. If several adapters can provide a
        requested type, those for exactly this type come first, then generic classmethods of its bases, then those for
        its subclasses; within each group the newest first.

        Args:
            implementations: The callables.
            replace: First drop the adapters registered for the same types and their bases.
            scope: How long a value is kept: ``"call"`` for one call of `nject`; ``"scope"``: made once per open
                `scope`; ``"app"``: made once in the open `application`.
            frame: The frame whose names string annotations may use. Default: that of the caller.

        Raises:
            AdapterError: an implementation cannot be used as an adapter.
            ValueError: there is no such *scope*.
        """
        if scope not in {"call", "scope", "app"}:
            raise ValueError(f"scope={scope!r}: expected 'call', 'scope' or 'app'")
        frame = frame or sys._getframe(1)  # noqa: SLF001 - local classes are found in the caller's frame
        with self._lock:
            for implementation in implementations:
                self._count += 1
                adapter = Adapter(implementation, frame, scope, self._count)
                self._drop(adapter.is_same)
                if adapter.unreadable is not None:
                    self._pending.append((adapter, replace))
                else:
                    self._file(adapter, replace=replace)
            self._forget()

    def _file(self, adapter: Adapter, *, replace: bool = False) -> None:
        if replace:
            replaced = frozenset(bases_of(adapter.target))
            self._drop(lambda old: old.target in replaced)
        self._adapters.append(adapter)
        for base in shelves(adapter.target):
            self._by_base.setdefault(base, []).append(adapter)
            self._by_base[base].sort(key=lambda one: -one.number)

    def _drop(self, is_dropped: Callable[[Adapter], bool]) -> None:
        self._adapters = [old for old in self._adapters if not is_dropped(old)]
        for base, filed in self._by_base.items():
            self._by_base[base] = [old for old in filed if not is_dropped(old)]
        self._pending = [(old, replace) for old, replace in self._pending if not is_dropped(old)]

    def _read_pending(self) -> None:
        """Register the pending adapters whose return annotation can be evaluated by now."""
        ready = [(adapter, replace) for adapter, replace in self._pending if adapter.evaluate()]
        if ready:
            self._pending = [one for one in self._pending if one not in ready]
            for adapter, replace in ready:
                self._file(adapter, replace=replace)
            self._forget()

    # --- looking up

    def lookup(self, type_: Any) -> list[Adapter]:
        """The adapters that can provide *type_*, best first. Never changes the registry."""
        with self._lock:
            self._read_pending()
            wanted = unwrap(type_)
            options = wanted.types if wanted.union is None else (*wanted.types, wanted.union)
            return list(
                dict.fromkeys(candidate.adapter for option in options for candidate in self._candidates(option))
            )

    def _candidates(self, wanted: Any) -> tuple[Candidate, ...]:
        found = self._found.get(wanted)
        if found is None:
            found = self._found[wanted] = tuple(self._find_candidates(wanted))
        return found

    def _find_candidates(self, wanted: Any) -> Iterable[Candidate]:
        filed = self._by_base.get(get_origin(wanted) or wanted, ())
        yield from (Candidate(adapter, None) for adapter in filed if adapter.target == wanted)
        if isinstance(wanted, type):
            for base in wanted.__mro__[1:]:
                for adapter in self._by_base.get(base, ()):
                    if adapter.owner is base:
                        yield Candidate(adapter, wanted)
        if wanted not in VAGUE:
            yield from (
                Candidate(adapter, None)
                for adapter in filed
                if adapter.target != wanted and serves(adapter.target, wanted)
            )

    # --- building

    @overload
    async def nject(self, target: type[T], /, **dependencies: Any) -> T: ...
    @overload
    async def nject(self, /, *targets: Any, **dependencies: Any) -> Any: ...
    async def nject(self, /, *targets: Any, **dependencies: Any) -> Any:
        """Build *targets* from the components of the current context, the keywords, and the adapters.

        Each parameter of an adapter is looked up in this order: a keyword of its name and a fitting type; a component
        of its name; a keyword of its type (never for a class of `builtins`); an object made earlier in the same call;
        an unnamed component; another adapter; its default. Targets are looked up likewise, without a name. An object
        made in a call is shared within that call: by every parameter of its type, or of a base of its adapter's
        declared type.

        An adapter that lacks a dependency is skipped, and nothing is called for it. Exceptions raised by adapters are
        propagated unchanged.

        Args:
            targets: Types; ``Optional``, unions and ``Annotated`` are unwrapped.
            dependencies: Further objects for this call. `None` fits a parameter that allows it.

        Returns:
            For one target the object, for several a list in their order, for none ``[]``.

        Raises:
            ResolveError: a target cannot be built, or it needs a scope or an application and none is open.
            AdapterError: the annotations of a candidate adapter cannot be evaluated.
            ValueError: a keyword is a class.
        """
        return await self._nject_in(buvar_context.get(), targets, dependencies)

    def _nject_in(
        self, components: Components, targets: tuple[Any, ...], dependencies: dict[str, Any]
    ) -> Coroutine[Any, Any, Any]:
        if not dependencies:
            key: tuple[Any, ...] = (components.chain, targets)
            plan = self._plans.get(key) or self._plan(key, components, targets, dependencies)
            return plan(components.layers)
        key = (components.chain, targets, *dependencies, *[type(value) for value in dependencies.values()])
        plan = self._plans.get(key) or self._plan(key, components, targets, dependencies)
        return plan(components.layers, *dependencies.values())

    async def _provide_in(
        self, components: Components, func: Callable[..., Any] | Wants, *, skip: Collection[str] = ()
    ) -> dict[str, Any]:
        wants = func if isinstance(func, Wants) else wants_of(func)
        if skip:
            wants = wants.without(frozenset(skip))
        if not wants.needs:
            return {}
        key = (components.chain, wants)
        plan = self._plans.get(key) or self._plan(key, components, wants, {})
        found: dict[str, Any] = await plan(components.layers)
        return found

    def _plan(
        self,
        key: tuple[Any, ...],
        components: Components,
        targets: tuple[Any, ...] | Wants,
        dependencies: dict[str, Any],
    ) -> Plan:
        """Find or make the plan for a request that is not cached for these components."""
        for value in dependencies.values():
            if isinstance(value, type):
                raise ValueError("A component should be an instance.")  # noqa: TRY004 - the contract names the class
        with self._lock:
            self._read_pending()
            if len(self._plans) >= PLAN_LIMIT:
                self._forget()
            family = self._families.setdefault(key[1:], Family())
            plan = family.plans.get(family.answers(components.layers))
            if plan is None:
                ground = Ground(
                    components.layers,
                    tuple(dependencies),
                    tuple(map(type, dependencies.values())),
                    self._overrides.current,
                )
                plan = self._make_plan(ground, targets)
                if len(family.plans) >= VARIANT_LIMIT or any(
                    question not in family.probes for question in ground.probes
                ):
                    family.plans.clear()
                    family.probes.update(dict.fromkeys(ground.probes))
                family.plans[family.answers(components.layers)] = plan
            self._plans[key] = plan
        return plan

    def _make_plan(self, ground: Ground, targets: tuple[Any, ...] | Wants) -> Plan:
        needs = needs_of(targets)
        resolver = Resolver(ground, self._candidates)
        results = [self._resolve(resolver, need) for need in needs]
        names = None
        if isinstance(targets, Wants):
            kept = [
                (need.name or "", value)
                for need, value in zip(needs, results, strict=True)
                if not targets.is_left_out(value)
            ]
            names, results = [name for name, _ in kept], [value for _, value in kept]
        title = ", ".join(type_name(tp) for need in needs for tp in need.wanted.types)
        return compile_plan(title, results, resolver.room.steps, len(ground.keyword_names), self._keep, names)

    def _resolve(self, resolver: Resolver, need: Need) -> Value:
        try:
            value = resolver.resolve(need)
        except HardProblem as hard:
            raise hard_error(need.wanted.types[0], hard) from None
        if isinstance(value, Problem):
            raise self._error(value, resolver.ground.layers)
        return value

    def _error(self, problem: Problem, layers: Sequence[Layer]) -> ResolveError:
        known = dict.fromkeys(base for adapter in self._adapters for base in bases_of(adapter.target))
        known.update(dict.fromkeys(base for layer in layers for base in layer.plain if base not in VAGUE))
        wanted = problem.need.wanted.types[0]
        names = dict.fromkeys(str(name) for layer in layers for name in layer.named.get(wanted, ()))
        unreadable = [(adapter.name, adapter.unreadable) for adapter, _ in self._pending if adapter.unreadable]
        return error_of(problem, list(known), list(names) if not problem.attempts else [], unreadable)

    async def _keep(self, owner: Scope | Application, key: Key) -> Any:
        """The value that a scope keeps under *key*."""

        async def build() -> Any:
            with self._lock:
                ground = Ground(owner.components.layers, overrides=self._overrides.current)
                resolver = Resolver(ground, self._candidates)
                try:
                    made = resolver.resolve_kept(key.candidate)
                except HardProblem as hard:
                    raise hard_error(key.candidate.produces, hard) from None
                if isinstance(made, Attempt):
                    raise self._error(Problem(Need(None, unwrap(key.candidate.produces)), (made,)), ground.layers)
                title = type_name(key.candidate.produces)
                plan = compile_plan(title, [made], [*resolver.room.steps, made], 0, self._keep)
            return await plan(owner.components.layers)

        return await owner.once(key, build)

    # --- scopes

    def scope(self, components: Components | None = None) -> Scope:
        """A scope on the current context, or on *components*; see `Scope`.

        Inside the block, its components are the current context, and what is added goes to its own layer.
        """
        return Scope(self, components)

    def application(self, components: Components | None = None) -> Application:
        """The application scope, on a new layer of the current context, or on the newest layer of *components*.

        See `Application`. Inside the block, its components are the current context.
        """
        return Application(self, components)

    def override(self, type_: Any, value: Any) -> Override:
        """Inside the ``with`` or ``async with`` block, every request for *type_* in this registry gets *value*.

        It applies in all tasks, takes precedence over components and keywords, and also replaces what an adapter of
        *type_* would make when a base class is requested. Kept values that depend on it are made again for the duration
        of the override; the previous ones return when it ends. The newest override of a type applies.
        """
        return Override(self._overrides, canonical(type_), value)

    # --- around functions

    def inject(self, func: F) -> F:
        """Decorate a function: each call gets a scope of its own, which supplies the ``Inject[...]`` parameters.

        These are hidden from the signature, so that a framework does not ask for them. If they are passed as keywords
        (in a test), the given values are used. The result is a coroutine function; a sync *func* runs in a thread.

        Raises:
            AdapterError: an annotation that looks like ``Inject[...]`` cannot be evaluated.
        """
        return hide_injected(func, sys._getframe(1), lambda: self)  # noqa: SLF001 - local names are found in the caller's frame

    # --- looking ahead

    def validate(self, targets: Iterable[Any], provided: Iterable[Any] = ()) -> None:
        """Check that *targets* can be built, without building anything.

        Args:
            targets: Types, or functions with ``Inject[...]`` parameters.
            provided: Types of components that will be present at run time.

        Raises:
            ResolveError: at least one cannot be built; `where` shows all of them, `errors` has an error for each.
            AdapterError: an adapter's annotations cannot be evaluated.
        """
        problems: list[ResolveError] = []
        with self._lock:
            self._read_pending()
            for adapter, _ in self._pending:
                adapter.refuse()
            resolver = Resolver(self._ground_ahead(provided), self._candidates)
            for target in targets:
                resolver.begin()
                for need in needs_of(wants_of(target) if isinstance(target, types.FunctionType) else (target,)):
                    try:
                        self._resolve(resolver, need)
                    except ResolveError as error:
                        problems.append(error)
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise ResolveError(
                f"{len(problems)} targets cannot be built",
                tuple(problem.target for problem in problems),
                problems,
                where="\n".join(f"{problem.what}\n{problem.where}" for problem in problems),
                fix="\n".join(dict.fromkeys(problem.fix for problem in problems if problem.fix)),
            )

    def explain(self, target: Any) -> str:
        """Where *target* and its dependencies would come from in the current context, drawn as a tree.

        Other adapters that could provide *target* are listed below it. Needed scopes count as open.

        Raises:
            ResolveError: it cannot be built.
        """
        with self._lock:
            self._read_pending()
            ground = self._ground_ahead(())
            need = Need(None, unwrap(target))
            value = self._resolve(Resolver(ground, self._candidates), need)
            text = draw(branch_of(str(need), value, set()))
            others = [
                candidate
                for option in need.wanted.types
                for candidate in self._candidates(option)
                if candidate != getattr(value, "candidate", None)
            ]
        return "\n".join([text, *(f"also: {candidate}" for candidate in others)])

    def _ground_ahead(self, provided: Iterable[Any]) -> Ground:
        presumed = frozenset(base for tp in provided for base in bases_of(canonical(tp)))
        layers = buvar_context.get().layers
        return Ground(layers, overrides=self._overrides.current, presumed=presumed, presumes_scopes=True)


#: The registry that the module's functions use; by default one shared registry, which modules fill at import.
buvar_adapters: contextvars.ContextVar[Adapters] = contextvars.ContextVar("buvar.di.adapters", default=Adapters())  # noqa: B039 - shared
