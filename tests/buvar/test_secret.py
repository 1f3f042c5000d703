"""Secrets stay secret."""

import copy
import dataclasses
import pickle
import traceback
from typing import Annotated

import pydantic
import pytest

from buvar.secret import MASK, Secret


class Form(pydantic.BaseModel):
    password: Secret[str]
    pin: Secret[int] | None = None
    keys: list[Secret[Annotated[str, pydantic.Field(min_length=3)]]] = []
    anything: Secret = Secret(None)


def test_it_is_never_shown():
    """Text of every kind is the mask."""
    secret = Secret("hunter2")

    assert MASK == "***"
    assert [str(secret), repr(secret), f"{secret}", f"{secret!r}", f"{secret:>5}", f"{[secret]}"] == [
        "***", "***", "***", "***", "  ***", "[***]",
    ]  # fmt: skip
    assert secret.reveal() == "hunter2"
    assert not hasattr(secret, "__dict__")


def test_equality():
    """Secrets compare, hash and count as true by value, and only among each other."""
    assert Secret("x") == Secret("x") != Secret("y")
    assert Secret("x") != "x"
    assert hash(Secret("x")) == hash(Secret("x"))
    assert (bool(Secret("")), bool(Secret("x"))) == (False, True)


def test_copies_and_pickles():
    """Copies are the object itself; pickling is refused."""
    secret = Secret(["x"])

    assert copy.copy(secret) is secret
    assert copy.deepcopy({"a": secret})["a"] is secret
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="^a Secret cannot be pickled: pickle would write its value in the clear$"):
            pickle.dumps(secret, protocol)

    @dataclasses.dataclass
    class Holder:
        secret: Secret[list[str]]

    assert dataclasses.asdict(Holder(secret))["secret"] is secret


def test_a_field_takes_values_and_secrets():
    """A pydantic field takes a T or a Secret[T] and validates the T."""
    form = Form(password="x", pin="12", keys=["abc", Secret("def")], anything=object)

    assert form.password.reveal() == "x"
    assert form.pin.reveal() == 12
    assert [key.reveal() for key in form.keys] == ["abc", "def"]
    assert form.anything.reveal() is object
    assert Form(password=Secret("y")).password == Secret("y")
    assert Form.model_validate_json('{"password": "z", "pin": 3}').pin == Secret(3)
    assert repr(form).startswith("Form(password=***, pin=***")


def test_a_rejected_value_is_not_shown():
    """The error for a rejected value has the reason and the mask, not the value, nowhere."""
    given = {"password": "x", "pin": "hunter" + "2", "keys": ["ok!", "no"]}

    with pytest.raises(pydantic.ValidationError) as info:
        Form(**given)

    problems = info.value.errors()
    assert [problem["msg"] for problem in problems] == [
        "Value error, Input should be a valid integer, unable to parse string as an integer",
        "Value error, String should have at least 3 characters",
    ]
    assert [str(problem["input"]) for problem in problems] == ["***", "***"]
    shown = "".join(traceback.format_exception(info.value)) + repr(problems) + info.value.json()
    assert "hunter2" not in shown


def test_a_validator_that_raises_something_else():
    """A plain ValueError of a validator is replaced, since its text may hold the value."""

    def refuse(value):
        raise ValueError(f"no {value}")

    class Strict(pydantic.BaseModel):
        password: Secret[Annotated[str, pydantic.PlainValidator(refuse)]]

    class Wild:
        @classmethod
        def __get_pydantic_core_schema__(cls, source, handler):
            return {"type": "function-plain", "function": {"type": "no-info", "function": refuse}}

    class Wilder(pydantic.BaseModel):
        password: Secret[Wild]

    for form in (Strict, Wilder):
        with pytest.raises(pydantic.ValidationError) as info:
            form(password="hunter2")
        assert [problem["msg"] for problem in info.value.errors()] == ["Value error, not a valid value"]


def test_dumps():
    """JSON has the mask; Python objects keep the secret."""
    form = Form(password="x", pin=1)

    assert form.model_dump_json() == '{"password":"***","pin":"***","keys":[],"anything":"***"}'
    assert form.model_dump(mode="json")["password"] == "***"
    assert form.model_dump()["password"] is form.password


def test_json_schema():
    """The JSON schema is that of the value, marked as a password that is only written."""
    schema = Form.model_json_schema()["properties"]

    assert schema["password"] == {"title": "Password", "type": "string", "format": "password", "writeOnly": True}
    assert schema["pin"]["anyOf"][0] == {"type": "integer", "format": "password", "writeOnly": True}
    assert schema["keys"]["items"] == {"type": "string", "minLength": 3, "format": "password", "writeOnly": True}
