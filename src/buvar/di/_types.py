"""What an annotation asks for, which types can substitute for another, and how types are written in messages."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NewType, Protocol, TypeVar, Union, get_args, get_origin

NONE_TYPE = type(None)

#: Bases that say nothing about an object; no object is provided as one of these.
VAGUE: frozenset[Any] = frozenset({object, Generic, Protocol})


@dataclass(frozen=True, slots=True)
class Wanted:
    """An unwrapped annotation: which types fit, in the order in which to try them."""

    #: The types that fit, canonical and without `None`.
    types: tuple[Any, ...]
    #: The union itself if there is one, for adapters that return exactly this union.
    union: Any
    #: Whether `None` fits.
    takes_none: bool
    #: Whether the annotation says nothing, so that only the name can select a value.
    is_vague: bool = False


def unwrap(annotation: Any) -> Wanted:
    """What *annotation* asks for: ``Annotated``, type aliases, ``Optional`` and other unions are unwrapped."""
    if annotation is Any:
        return Wanted((object,), None, takes_none=True, is_vague=True)
    plain = strip(annotation)
    if get_origin(plain) not in {Union, types.UnionType}:
        return Wanted((canonical(plain),), None, takes_none=plain in {None, NONE_TYPE, object})
    members = [strip(member) for member in get_args(plain)]
    wanted = tuple(canonical(member) for member in members if member is not NONE_TYPE)
    return Wanted(wanted, canonical(plain), takes_none=NONE_TYPE in members)


def strip(annotation: Any) -> Any:
    """The annotation without ``Annotated[...]`` and type aliases around it."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        elif isinstance(annotation, dataclasses.InitVar):
            annotation = annotation.type
        else:
            return annotation


def canonical(tp: Any) -> Any:
    """The canonical form of a type: ``typing.List[X]`` becomes ``list[X]``, ``X | None`` a ``Union``."""
    tp = strip(tp)
    if tp is None:
        return NONE_TYPE
    origin = get_origin(tp)
    if origin is None or origin is Literal:
        return tp
    args = get_args(tp)
    if origin in {Union, types.UnionType}:
        return Union[tuple(canonical(arg) for arg in args)]  # noqa: UP007 - the members are known at run time only
    if not all(isinstance(arg, type) or get_origin(arg) is not None or arg is Any for arg in args):
        return tp
    try:
        return origin[tuple(canonical(arg) for arg in args)]
    except TypeError:  # a special form with arguments of another shape
        return tp


def may_be_none(tp: Any) -> bool:
    """Whether an object of type *tp* may be `None`."""
    tp = strip(tp)
    if isinstance(tp, NewType):
        return may_be_none(tp.__supertype__)
    if get_origin(tp) in {Union, types.UnionType}:
        return any(may_be_none(member) for member in get_args(tp))
    if get_origin(tp) is Literal:
        return None in get_args(tp)
    return tp in {None, NONE_TYPE}


def mro_of(tp: Any) -> tuple[type, ...]:
    """The MRO of *tp*, or of the origin of a generic *tp*; empty if it is not a class."""
    cls = get_origin(tp) or tp
    return cls.__mro__ if isinstance(cls, type) else ()


@functools.lru_cache(maxsize=4096)
def bases_of(tp: Any) -> tuple[Any, ...]:
    """All types that *tp* can be used as, itself first: its classes and the generics it inherits from."""
    found = [tp]
    classes = mro_of(tp)
    if classes:
        found.extend(alias for alias in _generic_bases(tp) if alias not in found)
    found.extend(base for base in classes if base not in VAGUE and base not in found)
    return tuple(found)


def _generic_bases(tp: Any) -> Iterator[Any]:
    """The parametrised bases of *tp*, with type variables replaced by the arguments of *tp*."""
    origin = get_origin(tp)
    cls = origin or tp
    filled = dict(zip(getattr(cls, "__parameters__", ()), get_args(tp), strict=False)) if origin else {}
    for base in getattr(cls, "__orig_bases__", ()):
        base_origin = get_origin(base)
        if base_origin is None or base_origin in VAGUE:
            continue
        concrete = canonical(_substitute(base, filled))
        yield concrete
        yield from _generic_bases(concrete)
    if not origin:
        for base in cls.__bases__:
            if base not in VAGUE:
                yield from _generic_bases(base)


def _substitute(alias: Any, filled: dict[Any, Any]) -> Any:
    parameters = getattr(alias, "__parameters__", ())
    if not parameters:
        return alias
    return alias[tuple(filled.get(parameter, parameter) for parameter in parameters)]


def serves(have: Any, want: Any) -> bool:
    """Whether an object of type *have* can be used as *want*; generics are covariant in their arguments."""
    if have == want:
        return True
    if get_origin(want) is Union:
        members = get_args(have) if get_origin(have) is Union else (have,)
        return all(any(serves(member, option) for option in get_args(want)) for member in members)
    if want in VAGUE or get_origin(have) is Union:
        return False
    return any(base == want or _same_shape(base, want) for base in bases_of(have))


def _same_shape(have: Any, want: Any) -> bool:
    """Whether two generics of the same origin have compatible arguments."""
    origin = get_origin(want)
    if origin is None or get_origin(have) is not origin:
        return False
    ours, theirs = get_args(have), get_args(want)
    return len(ours) == len(theirs) and all(
        theirs_one in {Any, object} or serves(ours_one, theirs_one)
        for ours_one, theirs_one in zip(ours, theirs, strict=True)
    )


def fits(given: type, wanted: Wanted) -> bool:
    """Whether a value of type *given* may be passed to the parameter of the same name."""
    if given is NONE_TYPE:
        return wanted.takes_none
    return any(_fits_one(given, option) for option in wanted.types)


def _fits_one(given: type, option: Any) -> bool:
    if isinstance(option, NewType):
        return _fits_one(given, strip(option.__supertype__))
    origin = get_origin(option)
    if origin is Literal:
        return any(type(value) is given for value in get_args(option))
    cls = origin or option
    if isinstance(cls, TypeVar):
        return True
    if not isinstance(cls, type):
        return False
    if cls in given.__mro__ or (cls is float and given is int) or (cls is complex and given in {int, float}):
        return True
    try:
        return issubclass(given, cls)
    except TypeError:  # a protocol that cannot be checked at run time: accept it by its name
        return True


def type_name(tp: Any) -> str:
    """The type as people write it, without modules."""
    if tp is NONE_TYPE:
        return "None"
    origin = get_origin(tp)
    args = get_args(tp)
    if origin in {Union, types.UnionType}:
        return " | ".join(type_name(arg) for arg in args)
    if origin is Literal:
        return f"Literal[{', '.join(map(repr, args))}]"
    if origin is not None and args and isinstance(origin, type):
        inside = ", ".join(type_name(arg) if not isinstance(arg, list) else "..." for arg in args)
        return f"{type_name(origin)}[{inside}]"
    if isinstance(tp, type | types.FunctionType) or hasattr(tp, "__qualname__"):
        return str(tp.__qualname__).rpartition("<locals>.")[2]
    name = getattr(tp, "__name__", None)
    return name if isinstance(name, str) else repr(tp).replace("typing.", "")


def shelves(target: Any) -> tuple[Any, ...]:
    """The types under which an adapter is indexed, so that a lookup need not search all adapters."""
    if get_origin(target) is Union:
        return (Union,)
    return tuple(base for base in mro_of(target) if base not in VAGUE) or (target,)
