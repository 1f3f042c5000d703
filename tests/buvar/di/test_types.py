"""What annotations ask for and what types stand in for."""

# ruff: noqa: UP006, UP007, UP035, UP045 - spellings of types are what is tested

from collections.abc import Callable
from typing import Annotated, Any, Dict, Generic, List, Literal, NewType, Optional, TypeGuard, TypeVar, Union

from buvar.di import _types

T = TypeVar("T")
K = TypeVar("K")


class A: ...


class B(A): ...


class Pair(Generic[T, K]): ...


class Raw(Pair): ...


class TypeAliasType:
    """Looks like what the `type` statement of Python 3.12 makes."""

    def __init__(self, value):
        self.__value__ = value


def test_unwrap():
    """Decision 8: Annotated, aliases, Optional and unions are taken apart."""
    assert _types.unwrap(Annotated[TypeAliasType(A | None), 1]).types == (A,)
    assert _types.unwrap(Union[A, None, B]).types == (A, B)
    assert _types.unwrap(Optional[A]).takes_none
    assert not _types.unwrap(A).takes_none
    assert _types.unwrap(None).types == (type(None),)
    assert _types.unwrap(Any).is_vague


def test_canonical():
    """DI-09: all spellings of a type are one; what cannot be respelt stays."""
    assert _types.canonical(Dict[str, List[int]]) == dict[str, list[int]]
    assert _types.canonical(Callable[[int], str]) == Callable[[int], str]
    assert _types.canonical(Literal["a"]) == Literal["a"]
    assert _types.canonical(Pair[T, int]) == Pair[T, int]
    assert _types.canonical(Callable[..., str]) == Callable[..., str]
    assert _types.canonical(type[A]) == type[A]
    assert _types.canonical(TypeGuard[int]) == TypeGuard[int]


def test_bases():
    """DI-09: a class stands in for its bases and for the generics they are made of."""
    assert _types.bases_of(Raw) == (Raw, Pair)
    assert _types.bases_of("text") == ("text",)
    assert _types.serves(Pair[B, int], Pair[A, object])
    assert _types.serves(Pair[B, int], Pair[A, Any])
    assert not _types.serves(Pair[A, int], Pair[B, int])
    assert not _types.serves(Optional[A], A)
    assert _types.serves(B, Union[A, int])
    assert not _types.serves(A, object)


def test_fits():
    """Decision 7: a value passed by name is checked as far as its type tells."""
    fits = lambda given, annotation: _types.fits(given, _types.unwrap(annotation))  # noqa: E731
    assert fits(int, float)
    assert fits(float, complex)
    assert not fits(float, int)
    assert fits(B, A | int)
    assert fits(int, NewType("Id", int))
    assert fits(str, Literal["a"])
    assert not fits(int, Literal["a"])
    assert not fits(str, "a name of its own")
    assert fits(int, T)


def test_type_names():
    """Types are written as people do."""
    assert [_types.type_name(tp) for tp in (A, None.__class__, Optional[A], Literal["a", 1], Callable[[int], A])] == [
        "A", "None", "A | None", "Literal['a', 1]", "Callable[..., A]",
    ]  # fmt: skip
    assert [_types.type_name(tp) for tp in (Any, T, NewType("Id", int), "text", dict[str, A])] == [
        "Any", "T", "Id", "'text'", "dict[str, A]",
    ]  # fmt: skip


def test_may_be_none():
    """DI-09: unions with None, Literal[None] and names for them may be None; nothing else may."""
    maybe = NewType("maybe", Optional[A])
    for tp in (None, type(None), Optional[A], A | None, Literal["a", None], maybe, Annotated[A | None, 1]):
        assert _types.may_be_none(tp), tp
    for tp in (A, A | B, Literal["a"], NewType("name", A), List[A], Annotated[A, None], list[A | None]):
        assert not _types.may_be_none(tp), tp
