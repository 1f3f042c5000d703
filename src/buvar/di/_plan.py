"""Compile a resolution into one straight-line async function."""

from __future__ import annotations

import itertools
import linecache
import weakref
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from ._adapters import Candidate, Key
from ._errors import AdapterError
from ._ground import Plan
from ._resolve import GENERATORS, Component, Keyword, Made, Value
from ._types import may_be_none, type_name

#: Returns the value that a scope keeps, making it if necessary: ``await keep(owner, key)``.
Keep: TypeAlias = Callable[[Any, Key], Coroutine[Any, Any, Any]]

#: The code that gets the value, per style of generator; the generator is the variable g.
_STARTS = {
    "agen": "try: {variable} = await g.__anext__()\nexcept StopAsyncIteration: raise no_value({candidate}) from None",
    "gen": "try: {variable} = next(g)\nexcept StopIteration: raise no_value({candidate}) from None",
    "acm": "{variable} = await g.__aenter__()",
    "cm": "{variable} = g.__enter__()",
}

_numbers = itertools.count(1)


def compile_plan(
    title: str,
    results: Sequence[Value],
    steps: Sequence[Made],
    keywords: int,
    keep: Keep,
    names: Sequence[str] | None = None,
) -> Plan:
    """Generate and compile the function that carries out *steps* and returns *results*.

    Args:
        title: What it builds, for tracebacks.
        results: The values to return: a single one as it is, several as a list.
        steps: The values to make, in order.
        keywords: Number of keywords of the call.
        keep: See `Keep`.
        names: If given, the results are returned as a dict with these keys.
    """
    writer = _Writer(keep)
    for made in steps:
        writer.make(made)
    found = [writer.value(result) for result in results]
    if names is not None:
        result = "{" + ", ".join(f"{name!r}: {value}" for name, value in zip(names, found, strict=True)) + "}"
    else:
        result = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
    parameters = ", ".join(["ls", *(f"d{position}" for position in range(keywords))])
    body = [*writer.loads, *writer.lines, f"return {result}"]
    source = f"async def plan({parameters}):\n" + "".join(f"    {line}\n" for line in body)
    return _compile(title, source, writer.constants)


def _compile(title: str, source: str, constants: dict[str, Any]) -> Plan:
    filename = f"<buvar.di {next(_numbers)}: {title}>"
    exec(compile(source, filename, "exec"), constants)  # noqa: S102 - the source is generated here and contains only generated names
    plan: Plan = constants.pop("plan")
    # lets tracebacks show the source lines of the plan, as long as the plan exists
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    weakref.finalize(plan, linecache.cache.pop, filename, None).atexit = False
    return plan


class _Writer:
    """Collects the source lines of a plan, and the objects that they refer to."""

    def __init__(self, keep: Keep) -> None:
        self.constants: dict[str, Any] = {"keep": keep, "no_value": no_value, "no_object": no_object}
        self.loads: list[str] = []
        self.lines: list[str] = []
        self._names: dict[int, str] = {}
        self._variables: dict[Any, str] = {}
        #: The scopes that are known to be open, because nothing was awaited since they were checked.
        self._checked: set[str] = set()

    def constant(self, value: Any) -> str:
        """The name of a constant. `constants` keeps the object alive, so its id is not reused."""
        name = self._names.get(id(value))
        if name is None:
            name = self._names[id(value)] = f"k{len(self._names)}"
            self.constants[name] = value
        return name

    def value(self, value: Value) -> str:
        """The source expression for a value."""
        if isinstance(value, Keyword):
            return f"d{value.position}"
        if isinstance(value, Component):
            return self._component(value)
        if isinstance(value, Made):
            return self._variables[value]
        return self.constant(value.value)

    def _component(self, value: Component) -> str:
        where = (value.depth, value.namespace, value.name)
        variable = self._variables.get(where)
        if variable is None:
            variable = self._variables[where] = f"x{len(self.loads)}"
            namespace = self.constant(value.namespace)
            place = f"plain[{namespace}]" if value.name is None else f"named[{namespace}][{value.name!r}]"
            self.loads.append(f"{variable} = ls[-{value.depth}].{place}")
        return variable

    def _owner(self, depth: int) -> str:
        variable = self._variables.get(depth)
        if variable is None:
            variable = self._variables[depth] = f"s{depth}"
            self.loads.append(f"{variable} = ls[-{depth}].owner")
        return variable

    def make(self, made: Made) -> None:
        """Write the lines that make one value."""
        variable = self._variables[made] = f"v{len(self._variables)}"
        if made.key is None:
            self._call(made, variable)
            return
        owner, key = self._owner(made.depth), self.constant(made.key)
        self.lines.append(f"m = {owner}.values")
        self.lines.append(f"{variable} = m[{key}] if {key} in m else await keep({owner}, {key})")
        self._checked.clear()

    def _call(self, made: Made, variable: str) -> None:
        adapter = made.candidate.adapter
        function, first = adapter.function_for(made.candidate.bound)
        arguments = [] if first is None else [self.constant(first)]
        arguments += [
            self.value(value) if need.is_positional else f"{need.name}={self.value(value)}"
            for need, value in made.arguments
        ]
        call = f"{self.constant(function)}({', '.join(arguments)})"
        style = adapter.style
        if style in {"plain", "await", "maybe"}:
            self.lines.append(f"{variable} = {'await ' if style == 'await' else ''}{call}")
            if style == "maybe":
                self.lines.append(f"if hasattr({variable}, '__await__'): {variable} = await {variable}")
            self._check(made, variable)
            if style != "plain":
                self._checked.clear()
            return
        owner = self._owner(made.depth)
        candidate = self.constant(made.candidate)
        if owner not in self._checked:
            self.lines.append(f"if {owner}.is_closed: {owner}.refuse({candidate}.adapter.name)")
            self._checked.add(owner)
        self.lines += [f"g = {call}", *_STARTS[style].format(variable=variable, candidate=candidate).split("\n")]
        if style in {"agen", "acm"}:
            self.lines.append(f"if {owner}.is_closed: await {owner}.too_late(g)")
            self._checked = {owner}
        self.lines.append(f"{owner}.opened.append(g)")
        self._check(made, variable)

    def _check(self, made: Made, variable: str) -> None:
        """Write the line that rejects None from an adapter, unless it is declared; a class always makes an instance."""
        adapter = made.candidate.adapter
        if not isinstance(adapter.implementation, type) and not may_be_none(adapter.target):
            self.lines.append(f"if {variable} is None: raise no_object({self.constant(made.candidate)})")


def no_value(candidate: Candidate) -> AdapterError:
    """The error for a generator that ends without yielding."""
    return AdapterError(
        candidate.adapter.implementation,
        "ended without yielding anything",
        fix="yield the value once; what comes behind the yield is the teardown",
    )


def no_object(candidate: Candidate) -> AdapterError:
    """The error for an adapter that returns None although its return annotation does not allow it."""
    promised = type_name(candidate.produces)
    gave = "yielded" if candidate.adapter.style in GENERATORS else "returned"
    return AdapterError(
        candidate.adapter.implementation,
        f"{gave} None, and promises {promised}",
        fix=f"give one, or say in the annotation that there may be none: {promised} | None",
    )
