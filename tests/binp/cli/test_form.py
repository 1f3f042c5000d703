"""The form of an action in words."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import Any, Literal

import pytest
from pydantic import AwareDatetime, BaseModel

from binp import File, Secret
from binp.cli._form import models, parameters
from binp.operations import Form


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Room(BaseModel):
    name: str
    inner: Room | None = None


@pytest.mark.parametrize(
    ("annotation", "options", "text"),
    [
        (int, {}, "x: integer"),
        (float, {"default": 0.5}, "x: number = 0.5"),
        (Color, {"default": Color.RED}, 'x: "red" | "blue" = "red"'),
        (Literal["a", 1], {}, 'x: "a" | 1'),
        (str | None, {"default": None}, "x: string | null = null"),
        (list[int], {}, "x: list of integer"),
        (list[File], {}, "x: list of file"),
        (dict[str, int], {}, "x: object"),
        (Room, {}, "x: Room"),
        (Secret[str], {"default": Secret("hidden")}, "x: secret = ..."),
        (timedelta, {}, "x: duration"),
        (datetime, {}, "x: date and time"),
        (list[AwareDatetime], {}, "x: list of date and time with zone"),
        (Any, {}, "x: any JSON"),
    ],
)
def test_a_parameter(annotation: Any, options: dict[str, Any], text: str) -> None:
    """A parameter is told with what it takes, and with its default if it need not be given; never a secret one."""

    def work(x: Any) -> None: ...

    work.__annotations__["x"] = annotation
    work.__defaults__ = tuple(options.values()) or None

    assert list(parameters(Form(work, "action 'work'", "here").schema)) == [text]


class House(BaseModel):
    """With rooms."""

    rooms: list[Room]
    color: Color = Color.RED


def test_a_model_is_told_behind_the_parameters() -> None:
    """Each model that is taken, also one inside of another, is told once, field by field, in the order of the form."""

    def build(house: House, spare: Room | None = None, times: int = 1) -> None: ...

    assert list(models(Form(build, "action 'build'", "here").schema)) == [
        ("House", "rooms: list of Room"),
        ("House", 'color: "red" | "blue" = "red"'),
        ("Room", "name: string"),
        ("Room", "inner: Room | null = null"),
    ]
