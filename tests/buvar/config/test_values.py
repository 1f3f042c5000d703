"""What each type accepts, as a value of a file and as text."""

import collections
import datetime as dt
import decimal
import enum
import ipaddress
import pathlib
import re
import typing
import uuid

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from buvar import config

T = typing.TypeVar("T")
UserId = typing.NewType("UserId", int)


class Color(enum.Enum):
    RED = "red"
    TWO = 2


class Movie(typing.TypedDict):
    name: str


class Point(typing.NamedTuple):
    x: int
    y: int


class Odd:
    """Nobody knows how to make it."""


def load(tp, value):
    """Load a field `it` of a type from a file's value."""
    cls = attrs.make_class("Holder", {"it": attrs.field(type=tp)})
    return config.ConfigSource({"it": value}, environ={}).load(cls).it


def read(tp, text):
    """Load a field `it` of a type from the environment."""
    cls = attrs.make_class("Holder", {"it": attrs.field(type=tp)})
    return config.ConfigSource(environ={"IT": text}).load(cls).it


def complaint(load, tp, value):
    with pytest.raises(config.ConfigLoadError) as caught:
        load(tp, value)
    return "\n".join(each.message for each in caught.value.problems)


BOOLEAN = "is not a boolean (use true/false, yes/no, on/off or 1/0)"
SPAN = "is not a time span (seconds, or text such as '1h30m')"


@pytest.mark.parametrize("text", ["1", "true", "t", "yes", "y", "on", " YES ", "True", "ON"])
def test_text_that_is_true(text):
    """CFG-05: these texts are True in any case, stripped."""
    assert load(bool, text) is read(bool, text) is True


@pytest.mark.parametrize("text", ["0", "false", "f", "no", "n", "off", " No ", "FALSE"])
def test_text_that_is_false(text):
    """CFG-05: these texts are False in any case, stripped."""
    assert load(bool, text) is read(bool, text) is False


@pytest.mark.parametrize("value", ["ture", "2", "", 2, 1.0, None, []], ids=repr)
def test_what_is_no_boolean(value):
    """CFG-05: anything else is an error and never False silently (B-13)."""
    assert complaint(load, bool, value) == f"{value!r} {BOOLEAN}"


def test_numbers_and_booleans():
    """CFG-05: the numbers 1 and 0 are booleans (B-13)."""
    assert (load(bool, 1), load(bool, 0), load(bool, True), load(bool, False)) == (True, False, True, False)


@pytest.mark.parametrize(
    ("tp", "value", "expected"),
    [
        (int, 3, 3),
        (int, " 123 ", 123),
        (int, "-1_000", -1000),
        (float, 3, 3.0),
        (float, "1e3", 1000.0),
        (str, "", ""),
        (bytes, "ä", b"\xc3\xa4"),
        (bytes, b"x", b"x"),
        (UserId, "5", 5),
        (typing.Annotated[int, "positive"], "5", 5),
        (typing.Final[int], 5, 5),
        (typing.Any, {"a": [1]}, {"a": [1]}),
        (object, 5, 5),
        (T, 5, 5),
        (None | int, None, None),
        (int | None, 5, 5),
        (int | str, "5", "5"),
        (int | str, 5, 5),
        (list[int] | int, [1], [1]),
        (list[int] | None, None, None),
        (pathlib.Path, "a/b", pathlib.Path("a/b")),
        (pathlib.Path, pathlib.Path("a"), pathlib.Path("a")),
        (pathlib.PurePath, "a/b", pathlib.PurePath("a/b")),
        (dt.timedelta, 90, dt.timedelta(seconds=90)),
        (dt.timedelta, "1.5", dt.timedelta(seconds=1.5)),
        (dt.timedelta, "1w 2d 3h4m5s 6ms", dt.timedelta(9, 3 * 3600 + 4 * 60 + 5, 6000)),
        (dt.timedelta, dt.timedelta(1), dt.timedelta(1)),
        (dt.date, dt.date(2026, 1, 2), dt.date(2026, 1, 2)),
        (dt.date, "2026-01-02", dt.date(2026, 1, 2)),
        (dt.datetime, "2026-01-02T03:04:05+00:00", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
        (dt.time, "03:04", dt.time(3, 4)),
        (decimal.Decimal, "1.10", decimal.Decimal("1.10")),
        (decimal.Decimal, 1.1, decimal.Decimal("1.1")),
        (decimal.Decimal, decimal.Decimal(3), decimal.Decimal(3)),
        (uuid.UUID, "00000000-0000-0000-0000-000000000001", uuid.UUID(int=1)),
        (re.Pattern, "a+", re.compile("a+")),
        (re.Pattern[str], "a+", re.compile("a+")),
        (Color, "red", Color.RED),
        (Color, "TWO", Color.TWO),
        (Color, 2, Color.TWO),
        (Color, Color.RED, Color.RED),
        (typing.Literal["a", 1], 1, 1),
        (list[int], [1, "2"], [1, 2]),
        (list, [1, "2"], [1, "2"]),
        (tuple[int, ...], [1, 2], (1, 2)),
        (tuple[int, str], [1, "2"], (1, "2")),
        (tuple[()], [], ()),
        (tuple, [1], (1,)),
        (set[int], [1, 1], {1}),
        (frozenset[int], (1,), frozenset({1})),
        (collections.deque[int], [1], collections.deque([1])),
        (collections.abc.Sequence[int], {1}, [1]),
        (dict[str, int], {"a": "1"}, {"a": 1}),
        (dict[int, int], {"1": 1}, {1: 1}),
        (dict, {"a": 1}, {"a": 1}),
        (collections.abc.Mapping[str, list[int]], {"a": [1]}, {"a": [1]}),
        (Movie, {"name": "M"}, {"name": "M"}),
        (Point, [1, 2], Point(1, 2)),
        (ipaddress.IPv4Address, ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv4Address("127.0.0.1")),
    ],
    ids=str,
)
def test_values(tp, value, expected):
    """CFG-06: what each type takes from a file."""
    loaded = load(tp, value)
    assert loaded == expected
    assert type(loaded) is type(expected)


@pytest.mark.parametrize(
    ("tp", "text", "expected"),
    [
        (list[int], "1, 2", [1, 2]),
        (list[int], "[1, 2]", [1, 2]),
        (list[str], "a,b", ["a", "b"]),
        (list[str], "", []),
        (set[str], "a,a", {"a"}),
        (tuple[int, str], "1,x", (1, "x")),
        (dict[str, int], "a=1,b=2", {"a": 1, "b": 2}),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (dict[str, list[int]], '{"a": [1]}', {"a": [1]}),
        (dict[str, int], "", {}),
        (int | None, "", None),
        (int | None, "none", None),
        (str | None, "", None),
        (int | str, "5", 5),
        (str | int, "5", 5),
        (int | list[str], "a,b", ["a", "b"]),
        (typing.Literal["a", 1, True], "1", 1),
        (typing.Literal["a", False], "off", False),
        (Color, "2", Color.TWO),
        (Movie, "name=M", {"name": "M"}),
        (bool | None, "yes", True),
    ],
    ids=str,
)
def test_text(tp, text, expected):
    """CFG-03: what each type reads from the environment: lists, sets and maps by commas or as JSON (B-14)."""
    read_value = read(tp, text)
    assert read_value == expected
    assert type(read_value) is type(expected)


@pytest.mark.parametrize(
    ("tp", "value", "text"),
    [
        (int, 3.7, "3.7 is not an integer"),
        (int, True, "True is not an integer"),
        (int, "0x1f", "'0x1f' is not an integer"),
        (int, "9" * 5000, f"'{'9' * 56}... is too long for an integer"),
        (float, True, "True is not a number"),
        (float, "nan", "'nan' is not a number"),
        (float, "x", "'x' is not a number"),
        (float, 10**400, f"1{'0' * 56}... is not a number"),
        (float, None, "None is not a number"),
        (str, None, "None is not text (quote it)"),
        (str, 5, "5 is not text (quote it)"),
        (bytes, 5, "5 is not text (quote it)"),
        (dt.timedelta, "soon", f"'soon' {SPAN}"),
        (dt.timedelta, "1.2.3h", f"'1.2.3h' {SPAN}"),
        (dt.timedelta, "", f"'' {SPAN}"),
        (dt.timedelta, True, f"True {SPAN}"),
        (dt.timedelta, 1e300, "1e+300 is too long for a time span"),
        (dt.date, dt.datetime(2026, 1, 2), "datetime.datetime(2026, 1, 2, 0, 0) is not a date (ISO 8601)"),
        (dt.datetime, "x", "'x' is not a date and time (ISO 8601)"),
        (decimal.Decimal, "x", "'x' is not a number"),
        (decimal.Decimal, "nan", "'nan' is not a number"),
        (decimal.Decimal, True, "True is not a number"),
        (uuid.UUID, "x", "'x' is not a UUID"),
        (pathlib.Path, 5, "5 is not a path (quote it)"),
        (re.Pattern, "(", "'(' is not a regular expression"),
        (Color, "blue", "'blue' is not one of 'red', 2"),
        (Color, True, "True is not one of 'red', 2"),
        (typing.Literal["a", 1], True, "True is not one of 'a', 1"),
        (list[int], "1", "'1' is not a list"),
        (tuple[int, int], [1], "[1] has 1 items instead of 2"),
        (dict[str, int], [1], "[1] is not a table"),
        (int | list[int], "x", "'x' is not an integer and is not a list"),
        (int | list[int], ["x"], "['x'] holds what does not fit ('x' is not an integer) and is not an integer"),
        (int | Odd, "x", None),
        (Odd, 5, None),
        (Movie, {}, None),
    ],
    ids=str,
)
def test_what_does_not_fit(tp, value, text):
    """CFG-06: scalars are strict; every complaint shows the value and says what was wanted."""
    found = complaint(load, tp, value)
    if text is None:
        assert found.startswith(repr(value))
    else:
        assert found == text


@pytest.mark.parametrize(
    ("tp", "value", "text"),
    [
        (list[int], "[1", "'[1' is not a JSON list"),
        (dict[str, int], "{", "'{' is not a JSON object"),
        (dict[str, int], "a", """'a' is not a map (use key=value,key=value or {"key": "value"})"""),
        (dict[str, int], "=1", """'=1' is not a map (use key=value,key=value or {"key": "value"})"""),
        (bool, "", f"'' {BOOLEAN}"),
        (int, "", "'' is not an integer"),
    ],
    ids=str,
)
def test_text_that_does_not_fit(tp, value, text):
    """CFG-03: text that cannot be read is shown."""
    assert complaint(read, tp, value) == text


def test_hooks_for_types_of_your_own():
    """CFG-10: `converter` is `relaxed_converter`; hooks registered on it are used for types that are not known."""
    assert config.converter is config.relaxed_converter
    config.relaxed_converter.register_structure_hook(Odd, lambda value, _type: ("odd", value))
    assert load(Odd, 5) == ("odd", 5)
    assert load(dict[str, Odd], {"a": 1}) == {"a": ("odd", 1)}
    assert config.relaxed_converter.structure("yes", bool) is True


@given(st.integers())
def test_integers_survive_their_text(number):
    """CFG-06: every integer is read back from its text."""
    assert read(int, str(number)) == number


@given(st.lists(st.from_regex(r"[a-z]{1,5}", fullmatch=True), min_size=1))
def test_lists_survive_their_text(words):
    """CFG-03: every list of words is read back from its text."""
    assert read(list[str], ",".join(words)) == words


def test_literals_that_do_not_fit():
    """CFG-06: text that is none of a literal's choices is refused with all of them."""
    assert "'c' is not one of 'a', 1, True" in complaint(read, typing.Literal["a", 1, True], "c")


def test_aliases():
    """CFG-06: an alias of a type is that type."""
    from typing_extensions import TypeAliasType

    assert read(TypeAliasType("Port", int), "5") == 5
