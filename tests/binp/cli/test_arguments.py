"""Arguments that were typed become what the form's schema says."""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from binp.cli._arguments import read_arguments
from binp.errors import UsageError
from binp.operations import Form


class Colour(Enum):
    RED = "red"
    ONE = 1


class Point(BaseModel):
    x: int
    y: int = 0


class Drawing(BaseModel):
    name: str
    colour: Colour
    at: Point
    to: Point | None = None
    notes: dict[str, int] = {}
    inside: Drawing | None = None


def schema_of(annotation: Any) -> dict[str, Any]:
    def function(x): ...

    function.__annotations__["x"] = annotation
    return Form(function, "action 'f'", "here").schema


@pytest.mark.parametrize(
    ("annotation", "texts", "value"),
    [
        (str, ["1"], "1"),
        (str, ["null"], "null"),
        (str, [""], ""),
        (str, ["a=b"], "a=b"),
        (Path, ["/srv"], "/srv"),
        (int, ["1"], 1),
        (int, ["x"], "x"),
        (int, ["true"], "true"),
        (float, ["1"], 1),
        (float, ["1.5"], 1.5),
        (bool, ["true"], True),
        (bool, ["yes"], "yes"),
        (bool, ["1"], "1"),
        (int | None, ["null"], None),
        (int | None, ["3"], 3),
        (str | None, ["null"], None),
        (str | None, ["3"], "3"),
        (int | str, ["3"], 3),
        (float | str, ["3.5"], 3.5),
        (Decimal, ["12.5"], 12.5),
        (Decimal, ["12.30"], "12.30"),
        (Decimal, ["12345678901234567.89"], "12345678901234567.89"),
        (Decimal | None, ["0.10"], "0.10"),
        (Decimal | None, ["null"], None),
        (Annotated[Decimal, Field(gt=0, max_digits=20)], ["0.10"], "0.10"),
        (list[Decimal], ["0.10", "2"], ["0.10", 2]),
        (int | str, ["three"], "three"),
        (list[int], ["[1, 2]"], [1, 2]),
        (list[int], ["1"], [1]),
        (list[int], ["1", "2"], [1, 2]),
        (list[str], ["1", "2"], ["1", "2"]),
        (list[str], ["a,b"], ["a,b"]),
        (list[Path], ["/srv"], ["/srv"]),
        (list[Path] | None, ["/srv", "/home"], ["/srv", "/home"]),
        (list, ["1", "x"], [1, "x"]),
        (dict[str, int], ['{"a": 1}'], {"a": 1}),
        (Point, ['{"x": 1}'], {"x": 1}),
        (Point | None, ['{"x": 1}'], {"x": 1}),
        (list[Point], ['{"x": 1}', '{"x": 2}'], [{"x": 1}, {"x": 2}]),
        (Literal["a", "b"], ["a"], "a"),
        (Literal[1, 2], ["1"], 1),
        (Literal[1], ["1"], 1),
        (Colour, ["red"], "red"),
        (Colour, ["1"], 1),
        (Any, ["1"], 1),
        (Any, ["x"], "x"),
        (Any | None, ["[1]"], [1]),
        (int, ["1", "2"], [1, 2]),
    ],
)
def test_a_value_is_json_where_that_fits(annotation: Any, texts: list[str], value: Any) -> None:
    """A value is JSON if that fits the parameter, else text; a key that is repeated makes a list."""
    assert read_arguments([f"x={text}" for text in texts], None, schema_of(annotation)) == {"x": value}


def test_pairs_win_over_the_object() -> None:
    """Arguments given as pairs win over those of the object; unknown ones are passed on, for the form to refuse."""
    schema = schema_of(int)

    assert read_arguments(["x=2", "y=3"], '{"x": 1, "z": 4}', schema) == {"x": 2, "z": 4, "y": 3}


@pytest.mark.parametrize(
    ("pairs", "given", "text"),
    [
        (["x"], None, "'x' is not an argument\n  fix:   write it as key=value"),
        (["=1"], None, "'=1' is not an argument\n  fix:   write it as key=value"),
        ([], "1", '--json is no object\n  fix:   write it like --json \'{"key": "value"}\''),
        (
            [],
            "{",
            (
                "--json is not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)\n"
                '  fix:   write it like --json \'{"key": "value"}\''
            ),
        ),
    ],
)
def test_what_is_no_argument(pairs: list[str], given: str | None, text: str) -> None:
    """A pair without a key or an equals sign, and JSON that is no object, are refused."""
    with pytest.raises(UsageError) as caught:
        read_arguments(pairs, given, {})

    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("annotation", "text", "fix"),
    [
        (Point, "a=1", """x='{"x": 0}', or each field like x.x=..."""),
        (dict, "hush", """x='{"field": "value"}', or each field like x.field=..."""),
        (Point | None, "{'x': 1}", """x='{"x": 0}', or each field like x.x=..."""),
        (list[Point], "7 8", """x='{"x": 0}'"""),
        (Drawing, "hush", """x='{"name": "...", "colour": "red", "at": {"x": 0}}', or each field like x.name=..."""),
    ],
)
def test_what_must_be_an_object_is_json(annotation: Any, text: str, fix: str) -> None:
    """A value that can be written as JSON alone, and is none, is told as that, with how to write it."""
    with pytest.raises(UsageError) as caught:
        read_arguments([f"x={text}"], None, schema_of(annotation))
    assert str(caught.value).startswith("x takes an object, and what is given is not JSON: ")
    # there may be a secret in it
    assert text not in str(caught.value)
    assert caught.value.fix == f"write it like {fix}"
    assert read_arguments(["x=null"], None, schema_of(Point | None)) == {"x": None}


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        (["x.name=7", "x.colour=1", "x.at.x=3"], {"name": "7", "colour": 1, "at": {"x": 3}}),
        # the deeper one wins, whatever comes first, and what is beside it stays
        (["x.at.y=2", 'x={"name": "a", "at": {"x": 1, "y": 0}}'], {"name": "a", "at": {"x": 1, "y": 2}}),
        (["x.to.x=1", "x.notes.a.b=2"], {"to": {"x": 1}, "notes": {"a.b": 2}}),
        (["x.inside.inside.name=deep"], {"inside": {"inside": {"name": "deep"}}}),
    ],
)
def test_an_object_is_given_field_by_field(pairs: list[str], value: Any) -> None:
    """Each field is read by its own schema, through models, those that may be none, and tables."""
    assert read_arguments(pairs, None, schema_of(Drawing)) == {"x": value}
    assert read_arguments(pairs, None, schema_of(Drawing | None)) == {"x": value}


def test_fields_win_over_the_object_that_was_given() -> None:
    """What --json says stays where no pair says something else; it is not changed itself."""
    assert read_arguments(["x.y=2"], '{"x": {"x": 1}}', schema_of(Point)) == {"x": {"x": 1, "y": 2}}
    assert read_arguments(["x.y=2"], '{"x": null}', schema_of(Point | None)) == {"x": {"y": 2}}


@pytest.mark.parametrize(("pair", "fix"), [("x.at.z=1", "it has x, y"), ("x.at.yy=1", "did you mean 'y'?")])
def test_a_field_that_is_none_is_told(pair: str, fix: str) -> None:
    """A model ignores fields that it does not know: a typing error must not pass for a default."""
    with pytest.raises(UsageError) as caught:
        read_arguments([pair], None, schema_of(Drawing))
    assert (caught.value.what.partition(" has")[0], caught.value.fix) == ("x.at", fix)


@pytest.mark.parametrize("annotation", [int, str, list[Point], Any])
def test_a_dot_leads_into_objects_alone(annotation: Any) -> None:
    """Where there is no object a key with a dot is a name as any, for the form to refuse."""
    assert read_arguments(["x.y=1"], None, schema_of(annotation)) == {"x.y": 1}
