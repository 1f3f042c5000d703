"""Draw a tree of where each value comes from, or of what was tried and why it failed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from buvar.names import did_you_mean, fqdn

from ._adapters import Candidate
from ._errors import ResolveError
from ._resolve import Attempt, HardProblem, Made, Problem, Value
from ._types import NONE_TYPE, type_name

#: The text of a node and the nodes below it.
Branch = tuple[str, list["Branch"]]

LIFETIMES = {"call": "", "scope": ", kept by the scope", "app": ", kept by the application"}


def draw(branch: Branch) -> str:
    """Draw a tree as text."""
    title, below = branch
    return "\n".join([title, *_draw_below(below, "")])


def _draw_below(branches: Sequence[Branch], indent: str) -> Iterator[str]:
    for position, (title, below) in enumerate(branches):
        is_last = position == len(branches) - 1
        yield f"{indent}{'└─' if is_last else '├─'} {title}"
        yield from _draw_below(below, indent + ("   " if is_last else "│  "))


def branch_of(title: str, value: Value, drawn: set[int]) -> Branch:
    """The tree of where a value comes from."""
    if not isinstance(value, Made):
        return f"{title}: {value}", []
    text = f"{title}: by {value.candidate}{LIFETIMES[value.candidate.adapter.lifetime]}"
    if id(value) in drawn:
        return f"{text} (the one above)", []
    drawn.add(id(value))
    return text, [branch_of(str(need), inner, drawn) for need, inner in value.arguments]


def branch_of_problem(problem: Problem, drawn: set[int], prefix: str = "") -> Branch:
    """The tree of why a dependency cannot be supplied."""
    title = prefix + str(problem.need)
    if problem.misfit is not None:
        title += f" (the keyword {problem.need.name!r} is a {type_name(problem.misfit)})"
    if not problem.attempts:
        return f"{title}: {'nothing has this name' if problem.need.wanted.is_vague else 'nobody provides it'}", []
    if id(problem) in drawn:
        return f"{title}: as above", []
    drawn.add(id(problem))
    return title, [_branch_of_attempt(attempt, drawn) for attempt in problem.attempts]


def _branch_of_attempt(attempt: Attempt, drawn: set[int]) -> Branch:
    title = f"by {attempt.candidate}"
    if attempt.problem is None:
        return f"{title}: is being built already ({way(attempt.cycle)})", []
    return title, [branch_of_problem(attempt.problem, drawn)]


def way(candidates: Iterable[Candidate]) -> str:
    """The types that a chain of candidates makes."""
    return " -> ".join(type_name(candidate.produces) for candidate in candidates)


def leaves(problem: Problem, seen: set[int]) -> Iterator[Problem | Attempt]:
    """The dependencies that nothing provides, and the attempts that closed a cycle."""
    if id(problem) in seen:
        return
    seen.add(id(problem))
    if not problem.attempts:
        yield problem
    for attempt in problem.attempts:
        if attempt.problem is None:
            yield attempt
        else:
            yield from leaves(attempt.problem, seen)


def error_of(
    problem: Problem, known: Sequence[Any], names: Sequence[str] = (), unreadable: Sequence[tuple[str, Exception]] = ()
) -> ResolveError:
    """The error for a problem.

    Args:
        problem: The dependency that cannot be resolved.
        known: The types that are provided.
        names: The names of components that have the missing type.
        unreadable: Adapters whose return annotation cannot be evaluated, with the reason.
    """
    ends = list(leaves(problem, set()))
    missing = [end for end in ends if isinstance(end, Problem)]
    cycles = [end for end in ends if isinstance(end, Attempt)]
    fixes = list(dict.fromkeys(_fix_for(end.need, known, end.misfit, names) for end in missing))
    if not missing:
        fixes = ["give one of the parameters in the cycle a default, or add one of the objects to the context"]
    fixes += [f"{name} could not be read: {error}" for name, error in unreadable]
    return _make_error(problem, _what(problem, missing, cycles), "\n".join(fixes), {})


def _what(problem: Problem, missing: list[Problem], cycles: list[Attempt]) -> str:
    title = " | ".join(map(type_name, problem.need.wanted.types))
    if problem.need.name is not None:
        title = f"the parameter {problem.need}"
    if not problem.attempts:
        return f"nobody provides {title}"
    lacking = list(dict.fromkeys(str(end.need) for end in missing))
    if not lacking:
        return f"cannot build {title}: it needs itself ({way(cycles[0].cycle)})"
    reason = f"nobody provides {lacking[0]}" if len(lacking) == 1 else f"{len(lacking)} things are missing"
    return f"cannot build {title}: {reason}"


def _fix_for(need: Any, known: Sequence[Any], misfit: type | None, names: Sequence[str]) -> str:
    if misfit is not None and misfit is not NONE_TYPE:
        return f"pass {need.name}= as {type_name(need.wanted.types[0])}, not as {type_name(misfit)}"
    if need.wanted.is_vague:
        return f"pass {need.name}=, or annotate the parameter"
    wanted = need.wanted.types[0]
    title = type_name(wanted)
    twins = [tp for tp in known if tp != wanted and type_name(tp) == title and isinstance(tp, type)]
    if twins and isinstance(wanted, type):
        return f"{fqdn(twins[0])} is provided, but {fqdn(wanted)} is asked for: two classes of one name"
    how = getattr(wanted, "__buvar_provided_by__", None)
    if isinstance(how, str):  # a class that always has the same provider names it itself
        return how
    if names:
        listed = ", ".join(map(repr, names))
        return f"there are {title} components named {listed}: name the parameter so, or add one unnamed"
    near = did_you_mean(title, [type_name(tp) for tp in known])
    hint = f" (did you mean {near}?)" if near else ""
    keyword = f", or pass {need.name}=" if need.name is not None else ""
    if getattr(wanted, "__module__", None) == "builtins":
        return f"pass {need.name}= as {title}{hint}" if need.name is not None else f"add a {title} to the context{hint}"
    return f"register an adapter that returns {title}, add one to the context{keyword}{hint}"


def _make_error(problem: Problem, what: str, fix: str | None, made: dict[int, ResolveError]) -> ResolveError:
    """The error, containing one error for each attempt; a shared problem gives the identical error."""
    known = made.get(id(problem))
    if known is not None:
        return known
    inner: list[ResolveError] = []
    for attempt in problem.attempts:
        if attempt.problem is None:
            cycle = way(attempt.cycle)
            inner.append(
                ResolveError(f"{attempt.candidate.adapter.name} needs itself ({cycle})", attempt.candidate.produces)
            )
        else:
            below = list(leaves(attempt.problem, set()))
            text = _what(
                attempt.problem,
                [end for end in below if isinstance(end, Problem)],
                [end for end in below if isinstance(end, Attempt)],
            )
            inner.append(_make_error(attempt.problem, text, None, made))
    target = problem.need.wanted.types[0] if len(problem.need.wanted.types) == 1 else problem.need.wanted.union
    where = draw(branch_of_problem(problem, set())) if fix is not None else None
    error = made[id(problem)] = ResolveError(what, target, inner, where=where, fix=fix)
    return error


def hard_error(target: Any, hard: HardProblem) -> ResolveError:
    """The error for a value that needs a scope while none is open."""
    last = hard.path[-1]
    name = type_name(last.produces)
    if hard.lifetime == "app":
        what = f"{name} lives as long as the application, and none is open"
        fix = "open one around the program: async with di.application():"
    elif hard.lifetime == "scope":
        what = f"{name} lives as long as a scope, and none is open"
        fix = "open one around the call: async with di.scope():"
    else:
        what = f"{name} has a teardown, and no scope is open that could run it"
        fix = "open one around the call: async with di.scope():\nor keep it for the whole application: "
        fix += 'register(..., scope="app")'
    branch: Branch = (f"by {last}", [])
    for candidate in reversed(hard.path[:-1]):
        branch = (f"by {candidate}", [branch])
    return ResolveError(what, target, where=draw((type_name(target), [branch])), fix=fix)
