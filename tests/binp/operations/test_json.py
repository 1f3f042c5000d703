"""JSON of any value."""

from __future__ import annotations

import dataclasses
import enum
import json
import uuid
from collections import deque
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from binp import Secret
from binp.operations import REPR_KEY, as_json, as_text


class Model(BaseModel):
    x: int
    password: Secret[str]


@dataclasses.dataclass
class Point:
    x: int
    y: object


class Place(NamedTuple):
    x: int
    y: object


class Kind(enum.Enum):
    A = "a"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ({"a": [1, 2.5, "ü", True]}, {"a": [1, 2.5, "ü", True]}),
        (Model(x=1, password="p"), {"x": 1, "password": "***"}),
        (Point(1, Secret("p")), {"x": 1, "y": "***"}),
        (Kind.A, "a"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (Path("/x"), "/x"),
        (Decimal("1.50"), "1.50"),
        (timedelta(minutes=5), "0:05:00"),
        (ip_address("::1"), "::1"),
        ({1: {2: 3}}, {"1": {"2": 3}}),
        ((1, {2}), [1, [2]]),
        ({"at": Place(1, Place(2, b"x"))}, {"at": [1, [2, "x"]]}),
        ([deque([1]), {2: 3}.keys(), {2: 3}.values(), {2: 3}.items()], [[1], [2], [3], [[2, 3]]]),
        (b"\xffa", "\\xffa"),
        (2**100, 2**100),
        (float("nan"), None),
        ("a\x00b", "a\x00b"),
    ],
)
def test_what_becomes_of_values(value, expected):
    """Common values become what one expects."""
    assert json.loads(as_json(value)) == expected


@pytest.mark.parametrize("value", [object(), 1j, lambda: 1, ValueError("x")])
def test_what_is_no_json_is_marked(value):
    """What is not JSON stands there as its representation, with its type, marked."""
    found = json.loads(as_json({"v": value}))["v"]
    assert found[REPR_KEY] == repr(value)
    assert found["$type"].endswith(type(value).__qualname__)


def test_cycles_and_depth():
    """A cycle, or endless depth, ends in a marked representation."""
    cycle: list[object] = []
    cycle.append(cycle)
    deep: object = 1
    for _ in range(5000):
        deep = [deep]

    assert REPR_KEY in as_json(cycle)
    as_json(deep)


def test_rude_objects():
    """A value whose repr, str or serializer raises cannot break anything."""

    class Rude:
        def __repr__(self) -> str:
            raise RuntimeError

    class RudeModel(BaseModel):
        def model_dump(self, **_: object) -> dict[str, object]:
            raise RuntimeError

    assert "whose repr raised RuntimeError" in as_json([Rude()])
    assert REPR_KEY in as_json(RudeModel())
    assert as_text(Rude()) == "<test_rude_objects.<locals>.Rude whose repr raised RuntimeError>"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates() | st.builds(object),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers() | st.binary(), inner) | st.tuples(inner),
    max_leaves=20,
)


@given(anything)
@settings(max_examples=300)
def test_it_is_always_json(value):
    """For any value there is JSON, and it can be read back."""
    json.loads(as_json(value))
