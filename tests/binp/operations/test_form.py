"""The form of a function's parameters."""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Le
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, NaiveDatetime, SecretStr

from binp import Inject, Secret
from binp.operations import FormError, InvalidArguments, Operation


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    name: str
    zip: int = 0


class Pool:
    pass


class Unfinished:
    """A type that says itself how it is read, and fails at it."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> None:
        raise ImportError("there is no `colour` of it")


def even(n: int) -> int:
    if n % 2:
        raise ValueError("must be even")
    assert n < 10, "must be small"
    return n


def form_of(function: Callable[..., Any], name: str = "op"):
    return Operation(kind="action", name=name, function=function).form


def test_schema_of_all_kinds():
    """The signature becomes a JSON Schema: names, types, constraints, defaults, required."""

    def op(
        room: Literal["bath", "office"],
        target: Annotated[float, Ge(5), Le(25)] = 20,
        *,
        color: Color = Color.RED,
        place: Place | None = None,
        when: datetime | None = None,
        price: Decimal = Decimal("1.5"),
        tags: list[str] = ["a"],
        folder: Path = Path("."),
        anything=None,
        note: Annotated[str, Field(description="what to say", max_length=5)] = "",
    ) -> None: ...

    schema = form_of(op).schema
    assert schema["required"] == ["room"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["room"] == {"enum": ["bath", "office"], "title": "Room", "type": "string"}
    assert schema["properties"]["target"] == {
        "default": 20,
        "maximum": 25,
        "minimum": 5,
        "title": "Target",
        "type": "number",
    }
    assert schema["properties"]["color"]["default"] == "red"
    assert schema["properties"]["folder"]["default"] == "."
    assert schema["properties"]["note"]["description"] == "what to say"
    assert list(schema["properties"]) == [
        "room",
        "target",
        "color",
        "place",
        "when",
        "price",
        "tags",
        "folder",
        "anything",
        "note",
    ]
    json.dumps(schema)


def test_bind_converts_and_records():
    """Arguments are converted by the types; what is recorded has the defaults and is plain JSON."""

    def op(a: int, /, place: Place, *, color: Color = Color.BLUE, path: Path = Path("/x"), when: datetime) -> None: ...

    call = form_of(op).bind({"a": "5", "place": {"name": "x"}, "when": "2026-01-02T03:04:05Z", "color": "red"})
    assert call.args == (5,)
    assert call.kwargs == {
        "place": Place(name="x"),
        "color": Color.RED,
        "path": Path("/x"),
        "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    }
    assert json.loads(call.recorded) == {
        "a": 5,
        "place": {"name": "x", "zip": 0},
        "color": "red",
        "path": "/x",
        "when": "2026-01-02T03:04:05Z",
    }


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (Annotated[str, Field(pattern="(")], "unclosed group"),
        (Unfinished, "there is no `colour` of it"),
        (Callable[[], int], "a type that no JSON is"),
    ],
)
def test_why_a_type_has_no_form_is_told(annotation, said):
    """ACT-06: what is wrong with an annotation is said in the words of whoever noticed it."""

    def op(x) -> None: ...

    op.__annotations__["x"] = annotation
    with pytest.raises(FormError, match="no form can be made of action 'op'") as caught:
        form_of(op).schema  # noqa: B018 - made when it is looked at
    assert said in str(caught.value)


def test_a_function_that_does_not_tell_its_parameters_has_no_form():
    """ACT-06: some functions that are written in C have no signature."""
    with pytest.raises(FormError, match="its parameters are not known\n.*\n  fix:   call it in a function of yours"):
        form_of(max).schema  # noqa: B018 - made when it is looked at


def test_what_a_validator_says_is_said_in_its_words():
    """ACT-06: the name of the exception is left out."""

    def op(n: Annotated[int, AfterValidator(even)], pin: Secret[int]) -> None: ...

    with pytest.raises(InvalidArguments) as caught:
        form_of(op).bind({"n": 3, "pin": "x"})
    assert [error["msg"] for error in caught.value.errors] == [
        "must be even",
        "Input should be a valid integer, unable to parse string as an integer",
    ]
    with pytest.raises(InvalidArguments, match="n: must be small"):
        form_of(op).bind({"n": 12, "pin": 1})


def test_every_problem_is_named():
    """All problems come at once, each with its place, and none echoes a value."""

    def op(place: Place, n: int, tags: list[int]) -> None: ...

    with pytest.raises(InvalidArguments) as caught:
        form_of(op).bind({"place": {"zip": "SENSITIVE"}, "tags": [1, "SENSITIVE"], "N": 3})
    assert [(error["loc"], error["type"]) for error in caught.value.errors] == [
        (["place", "name"], "missing"),
        (["place", "zip"], "int_parsing"),
        (["n"], "missing"),
        (["tags", 1], "int_parsing"),
        (["N"], "extra_forbidden"),
    ]
    assert "SENSITIVE" not in str(caught.value)
    assert caught.value.errors[4]["msg"] == "there is no such parameter; did you mean 'n'?"


def test_names_that_pydantic_keeps_for_itself():
    """A parameter may have any name that Python allows, also those that a model has for itself."""

    def op(schema: str, _private: int, model_config: int = 1, copy: int = 2, json: int = 3, self: int = 4) -> None: ...

    form = form_of(op)
    assert list(form.schema["properties"]) == ["schema", "_private", "model_config", "copy", "json", "self"]
    assert form.bind({"schema": "s", "_private": 1}).kwargs == {
        "schema": "s",
        "_private": 1,
        "model_config": 1,
        "copy": 2,
        "json": 3,
        "self": 4,
    }


def test_star_arguments_get_nothing():
    """``*args`` and ``**kwargs`` are no part of the form."""

    def op(a: int = 1, *args: int, **kwargs: int) -> None: ...

    assert list(form_of(op).schema["properties"]) == ["a"]
    with pytest.raises(InvalidArguments):
        form_of(op).bind({"kwargs": 1})


def test_injected_parameters_are_no_part():
    """``Inject[...]`` vanishes from the form, in whatever place."""

    def op(pool: Inject[Pool], a: int = 1, *, other: Inject[Pool]) -> None: ...

    form = form_of(op)
    assert form.injected == {"pool", "other"}
    assert list(form.schema["properties"]) == ["a"]


def test_secrets_are_masked_in_what_is_recorded():
    """A Secret parameter is a password field, is passed as a Secret, and is recorded masked, also inside a list."""

    def op(password: Secret[str], keys: list[Secret[str]], maybe: Secret[str] | None = None) -> None: ...

    form = form_of(op)
    assert form.schema["properties"]["password"]["format"] == "password"
    assert form.schema["properties"]["password"]["writeOnly"] is True
    call = form.bind({"password": "hunter2", "keys": ["k1"], "maybe": "m"})
    assert call.kwargs["password"].reveal() == "hunter2"
    assert json.loads(call.recorded) == {"password": "***", "keys": ["***"], "maybe": "***"}
    assert json.loads(form.record_direct(("hunter2", ["k1"]), {})) == {"password": "***", "keys": "***", "maybe": None}


def test_the_secrets_of_pydantic_are_secrets():
    """``SecretStr`` is as secret as ours: its value is not kept, and its default stays out of the schema."""

    def op(password: SecretStr, key: SecretStr | None = None, pin: SecretStr = "1234") -> None: ...

    form = form_of(op)
    assert form.secret_names == {"password", "key", "pin"}
    assert "1234" not in str(form.schema)
    call = form.bind({"password": "hunter2"})
    assert call.kwargs["password"].get_secret_value() == "hunter2"
    assert call.kwargs["pin"] == "1234"
    assert "hunter2" not in call.recorded
    assert json.loads(form.record_direct((SecretStr("hunter2"),), {})) == {"password": "***", "key": None, "pin": "***"}


def test_a_call_knows_its_secrets():
    """What is secret in a call is found whatever way it was given; without any there is nothing to look for."""

    def op(password: Secret[str], user: str = "me") -> None: ...

    def other(user: str) -> None: ...

    form = form_of(op)
    assert form.secrets((Secret("hunter2"),), {}) == [Secret("hunter2")]
    assert form.secrets(("hunter2",), {"user": "you"}) == [Secret("hunter2")]
    assert form.secrets(("a", "b"), {"x": "c"}) == ["a", "b", "c"]
    assert form_of(other).secrets(("you",), {}) == []


def test_a_rejected_secret_is_not_echoed():
    """The message about a wrong secret does not contain it."""

    def op(pin: Secret[int]) -> None: ...

    with pytest.raises(InvalidArguments) as caught:
        form_of(op).bind({"pin": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert caught.value.errors[0]["loc"] == ["pin"]


def test_direct_calls_that_do_not_fit_are_recorded_without_values():
    """A direct call that fails to bind is recorded by its shape: nothing is known of what is secret in it."""

    def op(password: Secret[str]) -> None: ...

    assert json.loads(form_of(op).record_direct(("a", "b"), {"x": "c"})) == {"args": ["***", "***"], "kwargs": ["x"]}


def test_annotations_that_cannot_be_evaluated():
    """A name that does not exist at run time is named, with the way out; nothing of a direct call is shown then."""

    def op(x: Missing) -> None: ...  # noqa: F821 - that it is missing is the point

    form = form_of(op)
    with pytest.raises(FormError) as caught:
        form.bind({"x": 1})
    assert "the name 'Missing' in its annotations is not defined" in str(caught.value)
    assert caught.value.fix.startswith("import 'Missing'")
    assert caught.value.where.startswith(__file__)
    assert json.loads(form.record_direct((1,), {})) == {"x": "***"}


def test_partials_and_callable_objects():
    """The form of a partial and of an object with ``__call__`` is that of what is left to give."""

    def op(a: int, b: int) -> int:
        return a + b

    class Caller:
        def __call__(self, x: int) -> int:
            return x

    assert form_of(functools.partial(op, 1)).bind({"b": "2"}).kwargs == {"b": 2}
    assert form_of(Caller()).bind({"x": "2"}).kwargs == {"x": 2}


def test_a_default_that_is_no_json():
    """A default that JSON cannot carry stays out of the schema without noise, and is passed as it is."""
    marker = object()

    def op(x: Any = marker) -> None: ...

    form = form_of(op)
    assert "default" not in form.schema["properties"]["x"]
    call = form.bind({})
    assert call.kwargs == {"x": marker}
    assert "$repr" in call.recorded


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (AwareDatetime, "2026-03-29T02:30:00", "must have a zone, as 2026-03-29T02:30:00+01:00 has"),
        (NaiveDatetime, "2026-03-29T02:30:00Z", "must have no zone, as 2026-03-29T02:30:00 has none"),
        (time, "9:15", "must be a time of day, as 09:15 is"),
        (timedelta, "1h30m", "must be a duration, as PT1H30M or 01:30:00 is"),
    ],
)
def test_moments_that_do_not_fit_are_told_with_one_that_does(annotation, value, text):
    """What is wrong with a moment is said by an example, and the example is taken."""

    def f(x): ...

    f.__annotations__["x"] = annotation
    form = form_of(f)
    with pytest.raises(InvalidArguments) as caught:
        form.bind({"x": value})
    assert [problem["msg"] for problem in caught.value.errors] == [text]
    form.bind({"x": text.partition(", as ")[2].partition(" ")[0]})
