"""What is not JSON, and where it is."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import math

import pytest
from pydantic import BaseModel

from binp import Secret
from binp.kv import NotJson
from binp.kv._json import decode, encode


class Door(BaseModel):
    code: Secret[str]


class Free(BaseModel):
    value: object = None


@dataclasses.dataclass
class Point:
    x: int = 1


@pytest.mark.parametrize(
    ("value", "problem", "fix"),
    [
        (object(), "key is of type object", "write its text, or the parts of it"),
        (b"a", "key is of type bytes", "decode it, or write it as base64"),
        (
            {"a": [0, {"b c": dt.datetime.now(dt.UTC)}]},
            "key.a[1]['b c'] is of type datetime.datetime",
            "write its isoformat()",
        ),
        ([dt.timedelta(1)], "key[0] is of type datetime.timedelta", "write its total_seconds()"),
        ((1, {2}), "key[1] is of type set", "make it a list: sorted(...)"),
        ({"a": {(1, 2): 3}}, "key.a has the key (1, 2), which is not text", "make the key a text"),
        ({5: decimal.Decimal(1)}, "key[5] is of type decimal.Decimal", "write its text, or the parts of it"),
        ({"p": Point()}, f"key.p is of type {__name__}.Point", "write dataclasses.asdict(...) of it"),
        ([Free()], f"key[0] is of type {__name__}.Free", 'write its model_dump(mode="json")'),
        ({"s": Secret("x")}, "key.s is of type buvar.secret.Secret", "secrets are not kept"),
        ({}.keys().mapping, "key is of type mappingproxy", "make it a dict"),
        (
            Door(code="1234"),
            "key has a Secret inside, which would be kept as its mask",
            "keep what it reveals under a key of its own, if that is meant",
        ),
    ],
)
def test_what_is_no_json_is_named_with_its_place(value, problem, fix):
    """KV-03: the error of a value that is not JSON names the key, the place in the value, and what to do."""
    with pytest.raises(TypeError) as caught:
        encode("key", value)

    assert isinstance(caught.value, NotJson)
    assert str(caught.value) == f"the value of 'key' is not JSON: {problem}\n  fix:   {fix}"
    assert caught.value.key == "key"
    assert problem.startswith(caught.value.path)


def test_what_has_no_end_is_no_json():
    """KV-03: values that hold themselves, and such that are nested too deeply, are refused in words."""
    ring = {"a": [1]}
    ring["a"].append(ring)
    deep = []
    for _ in range(100_000):
        deep = [deep]

    with pytest.raises(NotJson, match=r"^the value of 'key' is not JSON: key.a\[1\] holds itself$"):
        encode("key", ring)
    with pytest.raises(NotJson, match="^the value of 'key' is not JSON: key is nested too deeply$"):
        encode("key", deep)


def test_a_model_that_cannot_be_written():
    """KV-02: a pydantic model that cannot be written says so under the name of the key."""
    with pytest.raises(NotJson, match="^the value of 'key' is not JSON: key fails with .*invalid utf-8"):
        encode("key", Free(value=b"\xff"))


@pytest.mark.parametrize("value", [None, True, 0, -1.5, 'ä\0"', [], {}, [1, [2]], {"a": {"": None}}, 2**80, math.inf])
def test_values_come_back(value):
    """KV-03: what is JSON comes back as it was."""
    assert decode(encode("key", value)) == value


def test_values_of_another_hand():
    """A value that was written by hand may have whitespace around it."""
    assert decode(' {"a": 1}\n') == {"a": 1}
    assert math.isnan(decode("NaN"))
