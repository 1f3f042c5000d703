"""Check a graph of 500 adapters, each with up to four dependencies, as an application does when it starts."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from buvar import di

SIZE = 500


def graph(size: int) -> tuple[di.Adapters, list[type]]:
    """Adapters for as many classes, each needing some of those before."""
    chosen = random.Random(7)
    adapters = di.Adapters()
    classes: list[type] = []
    for number in range(size):
        cls = type(f"Node{number}", (), {})
        needed = chosen.sample(classes, min(len(classes), chosen.randint(1, 4)))
        adapters.register(_maker(cls, needed))
        classes.append(cls)
    return adapters, classes


def _maker(cls: type, needed: list[type]) -> Callable[..., Any]:
    def make() -> Any:
        return cls()

    def make_of_one(a: Any) -> Any:
        return cls()

    def make_of_two(a: Any, b: Any) -> Any:
        return cls()

    def make_of_three(a: Any, b: Any, c: Any) -> Any:
        return cls()

    def make_of_four(a: Any, b: Any, c: Any, d: Any) -> Any:
        return cls()

    maker = (make, make_of_one, make_of_two, make_of_three, make_of_four)[len(needed)]
    maker.__annotations__ = {**dict(zip("abcd", needed, strict=False)), "return": cls}
    return maker


def ours() -> Callable[[], object]:
    adapters, classes = graph(SIZE)

    def validate() -> None:
        # what was worked out before is forgotten, as it is when the program starts
        adapters._forget()  # noqa: SLF001 - there is no other way to begin anew without registering
        adapters.validate(classes)

    return validate
