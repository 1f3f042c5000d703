"""JSON of objects that know how to describe themselves."""

import dataclasses
import datetime as dt
import enum
import json
import uuid

import attrs
import pytest

from buvar import context
from buvar_aiohttp.json import Jsonify, jsonify, prepare, response


@dataclasses.dataclass
class Point:
    x: int
    inner: object = None


@dataclasses.dataclass
class Hidden:
    secret: str = "no"

    def __json__(self):
        return {"shown": True}


@attrs.define
class Attrs:
    y: int


class Colour(enum.Enum):
    RED = "red"


def test_a_response():
    """AIO-05: `response(data, status, reason, headers)` carries JSON."""
    made = response({"a": Point(1, Hidden())}, 201, "Made", {"X-Y": "z"})

    assert (made.status, made.reason, made.content_type, made.headers["X-Y"]) == (201, "Made", "application/json", "z")
    assert json.loads(made.body) == {"a": {"x": 1, "inner": {"shown": True}}}
    assert response([]).status == 200


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Hidden(), '{"shown":true}'),
        (Attrs(2), '{"y":2}'),
        ({1: frozenset([2])}, '{"1":[2]}'),
        (Colour.RED, '"red"'),
        (dt.date(2026, 1, 2), '"2026-01-02"'),
        (uuid.UUID(int=0), '"00000000-0000-0000-0000-000000000000"'),
    ],
)
def test_what_is_known(value, text):
    """AIO-05: `__json__()` wins, then dataclasses, attrs classes and the usual types."""
    assert jsonify(value).decode() == text


def test_what_is_not():
    """An object without JSON is a TypeError that says what to do; a class is no object of itself."""
    with pytest.raises(TypeError) as caught:
        jsonify(object())
    assert "give it a method __json__()" in str(caught.value.__cause__ or caught.value)


@pytest.mark.buvar_plugins("buvar_aiohttp.json")
async def test_the_plugin():
    """AIO-05: the module is a plugin that adds the default."""
    assert context.get(Jsonify)(1) == b"1"
    before = context.get(Jsonify)
    await prepare()
    assert context.get(Jsonify) is before


def test_one_of_ones_own():
    """A `Jsonify` of the context replaces the default."""

    class Mine(Jsonify):
        def __call__(self, data):
            return b"mine"

    with context.child():
        context.add(Mine())
        assert response({}).body == b"mine"
