"""`Inject[T]`: mark the parameters of any function that injection supplies."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
import types
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin

from buvar.components import MISSING

from ._adapters import UNREADABLE, Need
from ._errors import AdapterError
from ._resolve import Constant, Value
from ._signature import Names, evaluate
from ._types import unwrap

if TYPE_CHECKING:
    from ._registry import Adapters

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class _Marker:
    """The object that `Inject` adds to an annotation."""

    def __repr__(self) -> str:
        return "INJECT"


INJECT: Final = _Marker()

#: ``name: Inject[T]`` marks a parameter that injection supplies; for a type checker it is just ``T``.
Inject = Annotated[T, INJECT]

#: The default of a dependency that is left out if nothing is found, so that the function's own default applies.
LEFT_OUT: Final = _Marker()


class Wants:
    """The ``Inject[...]`` parameters of one function, as dependencies; compared by identity."""

    __slots__ = ("__weakref__", "needs", "rests")

    def __init__(self, needs: tuple[Need, ...]) -> None:
        self.needs = needs
        #: Results of `without`; remembered, because plans are cached by identity.
        self.rests: dict[frozenset[str], Wants] = {}

    def is_left_out(self, value: Value) -> bool:
        """Whether nothing was found, so that the function's own default applies."""
        return isinstance(value, Constant) and value.value is LEFT_OUT

    def without(self, names: frozenset[str]) -> Wants:
        """The same without the given names; always the identical object."""
        gone = names.intersection(need.name or "" for need in self.needs)
        if not gone:
            return self
        rest = self.rests.get(gone)
        if rest is None:
            rest = self.rests[gone] = Wants(tuple(need for need in self.needs if need.name not in gone))
        return rest


_known: weakref.WeakKeyDictionary[Callable[..., Any], Wants] = weakref.WeakKeyDictionary()


def injected(func: Callable[..., Any]) -> dict[str, Any]:
    """The ``Inject[...]`` parameters of *func*: name to type; empty if there are none.

    String annotations are evaluated with the variables that *func* closes over, the locals of the functions around it
    that are running, and its module. Annotations without `Inject` need not be evaluable.

    Raises:
        AdapterError: an annotation that looks like ``Inject[...]`` cannot be evaluated.
    """
    return _injected(func, sys._getframe(1))  # noqa: SLF001 - local names are found in the caller's frame


def _injected(func: Callable[..., Any], frame: types.FrameType | None) -> dict[str, Any]:
    try:
        parameters = inspect.signature(func).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature has no annotations either
        return {}
    names = Names(func, None, frame)
    found: dict[str, Any] = {}
    for parameter in parameters:
        annotation = parameter.annotation
        try:
            type_ = _marked(evaluate(annotation, names))
        except UNREADABLE as error:
            if "Inject" not in str(annotation):
                continue
            raise AdapterError(
                func,
                f"has a parameter {parameter.name!r} whose annotation cannot be evaluated: {error}",
                fix=f"make the names in {annotation!r} importable from the module of the function",
            ) from error
        if type_ is not MISSING:
            found[parameter.name] = type_
    return found


def _marked(annotation: Any) -> Any:
    """The type inside ``Inject[...]``, also as a member of a union; `MISSING` if there is no `Inject`."""
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        if INJECT in metadata:
            rest = tuple(one for one in metadata if one is not INJECT)
            return Annotated[(inner, *rest)] if rest else inner
        return _marked(inner)
    if type(annotation).__name__ == "TypeAliasType":
        return _marked(annotation.__value__)
    if get_origin(annotation) in {Union, types.UnionType}:
        members = [(_marked(member), member) for member in get_args(annotation)]
        if any(inner is not MISSING for inner, _ in members):
            return Union[tuple(member if inner is MISSING else inner for inner, member in members)]  # noqa: UP007 - known at run time only
    return MISSING


def wants_of(func: Callable[..., Any], frame: types.FrameType | None = None) -> Wants:
    """The dependencies of *func*, cached as long as it exists.

    Raises:
        AdapterError: an annotation that looks like ``Inject[...]`` cannot be evaluated.
    """
    # a bound method is a new object at each access; its function is not
    lasting = func.__func__ if isinstance(func, types.MethodType) else func
    try:
        known = _known.get(lasting)
    except TypeError:  # neither hashable nor weakly referable
        return _read_wants(func, frame)
    if known is None:
        known = _known[lasting] = _read_wants(func, frame)
    return known


def _read_wants(func: Callable[..., Any], frame: types.FrameType | None) -> Wants:
    parameters = inspect.signature(func).parameters
    return Wants(
        tuple(
            Need(name, unwrap(type_), MISSING if parameters[name].default is inspect.Parameter.empty else LEFT_OUT)
            for name, type_ in _injected(func, frame).items()
        )
    )


def needs_of(targets: tuple[Any, ...] | Wants) -> Sequence[Need]:
    """The dependencies behind a request."""
    return targets.needs if isinstance(targets, Wants) else [Need(None, unwrap(target)) for target in targets]


def hide_injected(func: F, frame: types.FrameType | None, registry: Callable[[], Adapters]) -> F:
    """What `inject` returns: *func* in a scope of its own, without its ``Inject[...]`` parameters."""
    wants = wants_of(func, frame)
    hidden = frozenset(need.name or "" for need in wants.needs)
    full = inspect.signature(func)
    shown = full.replace(parameters=[one for name, one in full.parameters.items() if name not in hidden])
    is_async = inspect.iscoroutinefunction(func)

    @functools.wraps(func)
    async def call(*args: Any, **kwargs: Any) -> Any:
        passed = {name: kwargs.pop(name) for name in hidden.intersection(kwargs)}
        rest = wants.without(frozenset(passed))
        arguments = shown.bind(*args, **kwargs).arguments
        adapters = registry()
        async with adapters.scope() as scope:
            found = await adapters._provide_in(scope.components, rest)  # noqa: SLF001 - two halves of one
            bound = full.bind_partial()
            bound.arguments.update(arguments | passed | found)
            if is_async:
                return await func(*bound.args, **bound.kwargs)
            return await asyncio.to_thread(func, *bound.args, **bound.kwargs)

    vars(call)["__signature__"] = shown
    return cast("F", call)
