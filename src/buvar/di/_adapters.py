"""Adapters: callables that provide an object, with their dependencies and the way to call them."""

from __future__ import annotations

import collections.abc
import contextlib
import functools
import inspect
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, NoReturn, Self, TypeAlias, TypeVar, get_args, get_origin

from buvar.components import MISSING

from ._errors import AdapterError
from ._signature import Names, evaluate
from ._types import NONE_TYPE, Wanted, bases_of, canonical, strip, type_name, unwrap

#: How long a value is kept: for one call of `nject`, while a `scope()` is open, or while the `application()` is open.
Lifetime: TypeAlias = Literal["call", "scope", "app"]
#: How to get the value from a call of the implementation.
Style: TypeAlias = Literal["plain", "await", "maybe", "agen", "gen", "acm", "cm"]

ITERATORS = frozenset(
    {
        collections.abc.AsyncGenerator,
        collections.abc.AsyncIterable,
        collections.abc.AsyncIterator,
        collections.abc.Generator,
        collections.abc.Iterable,
        collections.abc.Iterator,
    }
)
#: Errors that may disappear later: a name, or an attribute of a module, that does not exist yet.
NOT_YET = (NameError, AttributeError)
#: All errors that evaluating an annotation may raise.
UNREADABLE = (*NOT_YET, SyntaxError, TypeError)


@dataclass(frozen=True, slots=True, eq=False)
class Need:
    """A dependency: one parameter of an adapter, or one target."""

    #: The name of the parameter; `None` for a target.
    name: str | None
    #: What the annotation asks for.
    wanted: Wanted
    #: Used if nothing else is found; `MISSING` makes it required.
    default: Any = MISSING
    #: Whether it can be passed by position.
    is_positional: bool = True

    def __str__(self) -> str:
        title = "anything" if self.wanted.is_vague else " | ".join(map(type_name, self.wanted.types))
        return title if self.name is None else f"{self.name}: {title}"


class Adapter:
    """A registered callable.

    Args:
        implementation: The callable.
        frame: The frame whose names the annotations may use.
        lifetime: How long its values are kept.
        number: Its position in the order of registration.

    Raises:
        AdapterError: its signature cannot be used.
    """

    def __init__(
        self, implementation: Any, frame: types.FrameType | None, lifetime: Lifetime = "call", number: int = 0
    ) -> None:
        #: The registered callable.
        self.implementation = implementation
        #: How long its values are kept.
        self.lifetime = lifetime
        #: Its position in the order of registration.
        self.number = number
        #: For a generic classmethod: the class whose subclasses it can provide too.
        self.owner: type | None = None
        #: The keys of its values, by the class that it is bound to and the overrides that they depend on.
        self.keys: dict[tuple[type | None, tuple[object, ...]], Key] = {}
        self._target: Any = MISSING
        self._needs: tuple[Need, ...] | None = None
        if not callable(implementation):
            raise AdapterError(
                implementation,
                "is not callable",
                fix="register a function, a method or a class; an object that exists is a component: context.add(...)",
            )
        self._call = implementation if _is_plain_callable(implementation) else implementation.__call__
        self.style = _style_of(self._call)
        receiver = getattr(self._call, "__self__", None)
        #: For a classmethod: the class that it is called on.
        self.receiver: type | None = receiver if inspect.ismethod(self._call) and isinstance(receiver, type) else None
        self._signature = self._read_signature()
        owner = self._call if isinstance(self._call, type) else self.receiver
        if owner is None and inspect.ismethod(self._call):
            owner = type(receiver)
        self._names = Names(_annotated_function(self._call), owner, frame)
        #: Why the signature cannot be evaluated yet.
        self.unreadable: Exception | None = None
        self.evaluate()
        self._names.forget_frames(self._annotations())

    def __repr__(self) -> str:
        return f"<Adapter {self.name}>"

    @property
    def name(self) -> str:
        """The name of the implementation, without its module."""
        named = self.implementation
        while isinstance(named, functools.partial):
            named = named.func
        qualname = getattr(named, "__qualname__", None) or type(named).__qualname__
        return str(qualname).rpartition("<locals>.")[2]

    @property
    def module(self) -> str:
        """The module of the implementation."""
        return str(getattr(self.implementation, "__module__", None) or type(self.implementation).__module__)

    @property
    def target(self) -> Any:
        """The type that it provides; `MISSING` as long as its return annotation cannot be evaluated."""
        return self._target

    @property
    def needs(self) -> tuple[Need, ...]:
        """Its parameters, as dependencies.

        Raises:
            AdapterError: a parameter's annotation cannot be evaluated.
        """
        if self._needs is None:
            try:
                self._needs = tuple(self._need(parameter) for parameter in self._signature.parameters.values())
            except UNREADABLE as error:
                raise AdapterError(
                    self.implementation,
                    f"has an annotation that cannot be evaluated: {error}",
                    fix="import the name where the function is defined, or define it before it is registered",
                ) from error
        return self._needs

    def is_same(self, other: Adapter) -> bool:
        """Whether both have the same implementation; registering it again only makes it the newest."""
        ours, theirs = self.implementation, other.implementation
        return ours is theirs or (inspect.ismethod(ours) and inspect.ismethod(theirs) and bool(ours == theirs))

    def evaluate(self) -> bool:
        """Try again to evaluate the annotations; returns whether the target is known now."""
        try:
            self._target = self._read_target()
        except AdapterError:
            raise
        except NOT_YET as error:
            self.unreadable = error
            return False
        except UNREADABLE as error:
            raise AdapterError(
                self.implementation,
                f"has a return annotation that is none: {error}",
                fix="annotate what it returns: def make(...) -> Thing",
            ) from error
        self.unreadable = None
        with contextlib.suppress(AdapterError):  # raised when the parameters are needed
            self.needs  # noqa: B018 - evaluates and remembers
        return True

    def refuse(self) -> NoReturn:
        """Raise that the return annotation cannot be evaluated."""
        raise AdapterError(
            self.implementation,
            f"has a return annotation that cannot be evaluated: {self.unreadable}",
            fix="import the name where the function is defined, or define it before it is registered",
        ) from self.unreadable

    def function_for(self, bound: type | None) -> tuple[Callable[..., Any], type | None]:
        """The function to call, and the class to pass as its first argument, in order to make a *bound*."""
        if bound is None or bound is self.receiver:
            return self._call, None
        return self._call.__func__, bound

    def _read_signature(self) -> inspect.Signature:
        try:
            signature = inspect.signature(self._call)
        except (ValueError, TypeError) as error:
            raise AdapterError(
                self.implementation, "has no signature that can be read", fix="wrap it in a function with annotations"
            ) from error
        for parameter in signature.parameters.values():
            if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
                raise AdapterError(
                    self.implementation,
                    f"takes {str(parameter).partition(':')[0]}, and nothing says what belongs there",
                    fix="wrap it in a function that names its parameters",
                )
        if signature.return_annotation is signature.empty and not isinstance(self._call, type):
            raise AdapterError(
                self.implementation,
                "has no return annotation, so nothing says what it provides",
                fix="annotate what it returns: def make(...) -> Thing",
            )
        return signature

    def _annotations(self) -> dict[str, Any]:
        found = {name: parameter.annotation for name, parameter in self._signature.parameters.items()}
        if not isinstance(self._call, type):
            found["return"] = self._signature.return_annotation
        return found

    def _need(self, parameter: inspect.Parameter) -> Need:
        wanted = Wanted((object,), None, takes_none=True, is_vague=True)
        if parameter.annotation is not parameter.empty:
            wanted = unwrap(evaluate(parameter.annotation, self._names))
        default = MISSING if parameter.default is parameter.empty else parameter.default
        if default is None and not wanted.takes_none:
            wanted = Wanted(wanted.types, wanted.union, takes_none=True)
        return Need(parameter.name, wanted, default, parameter.kind is not parameter.KEYWORD_ONLY)

    def _read_target(self) -> Any:
        if isinstance(self._call, type):
            return self._call
        target = strip(evaluate(self._signature.return_annotation, self._names))
        if self.style in {"agen", "gen", "acm", "cm"}:
            if get_origin(target) not in ITERATORS:
                raise AdapterError(
                    self.implementation,
                    f"is a generator that returns {type_name(target)}, so nothing says what it yields",
                    fix="annotate what it yields: -> AsyncIterator[Thing] or -> Iterator[Thing]",
                )
            target = strip(get_args(target)[0])
        if target is Self or isinstance(target, TypeVar):
            return self._read_own_class()
        if target in {Any, object, NONE_TYPE, None}:
            raise AdapterError(
                self.implementation,
                f"returns {type_name(target)}, which says nothing about what it provides",
                fix="annotate the type of what it returns",
            )
        if self.receiver is not None and target in {self.receiver, _definer(self.receiver, self._call.__name__)}:
            return self._read_own_class()
        return canonical(target)

    def _read_own_class(self) -> type:
        if self.receiver is not None:
            self.owner = self.receiver
            return self.receiver
        receiver = getattr(self._call, "__self__", None)
        if receiver is None:
            raise AdapterError(
                self.implementation,
                "returns a type variable, which says nothing about what it provides",
                fix="return a class, or make it a classmethod of the class that it builds",
            )
        return type(receiver)


class Candidate(NamedTuple):
    """An adapter that may answer a request; a generic classmethod is bound to the requested class."""

    adapter: Adapter
    #: The class to make, for a generic classmethod of one of its bases.
    bound: type | None

    @property
    def produces(self) -> Any:
        """The type that it makes."""
        return self.bound or self.adapter.target

    @property
    def stands_for(self) -> tuple[Any, ...]:
        """All types that the made object can be used as."""
        return bases_of(self.produces)

    def __str__(self) -> str:
        name = self.adapter.name
        if self.bound is not None:
            name = f"{type_name(self.bound)}.{name.rpartition('.')[2]}"
        return f"{name}({', '.join(map(str, self.adapter.needs))}) in {self.adapter.module}"


class Key:
    """The key of a value in a scope. There is one object per value, because identity is the fastest lookup."""

    __slots__ = ("candidate",)

    def __init__(self, candidate: Candidate) -> None:
        #: Makes the value.
        self.candidate = candidate

    @classmethod
    def of(cls, candidate: Candidate, overrides: tuple[object, ...]) -> Key:
        """The key for what *candidate* makes while these overrides are active."""
        keys = candidate.adapter.keys
        which = (candidate.bound, overrides)
        found = keys.get(which)
        if found is None:
            found = keys[which] = cls(candidate)
        return found


def _is_plain_callable(implementation: Any) -> bool:
    return (
        isinstance(implementation, type | functools.partial)
        or inspect.isroutine(implementation)
        or hasattr(implementation, "__wrapped__")
    )


def _annotated_function(call: Any) -> Any:
    """The function that has the annotations of the signature."""
    if not isinstance(call, type):
        return call
    initialise = inspect.getattr_static(call, "__init__")
    return initialise if inspect.isfunction(initialise) else call.__new__


def _definer(cls: type, name: str) -> type | None:
    return next((base for base in cls.__mro__ if name in vars(base)), None)


def _style_of(call: Any) -> Style:
    if isinstance(call, type):
        return "plain"
    if inspect.isasyncgenfunction(call):
        return "agen"
    if inspect.isgeneratorfunction(call):
        return "gen"
    if inspect.iscoroutinefunction(call):
        return "await"
    inner = inspect.unwrap(call)
    if getattr(call, "__globals__", None) is vars(contextlib):
        return "acm" if inspect.isasyncgenfunction(inner) else "cm"
    # a decorated coroutine function looks synchronous: only its result can tell
    return "maybe" if inspect.iscoroutinefunction(inner) else "plain"
