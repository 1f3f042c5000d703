"""What the cases of the peers share: they have no names for what is handed in, and one way to ask a scope."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from kernel_cases.graph import (
    WHOLE_BAZ,
    Bar,
    Baz,
    Bum,
    Foo,
    Handler,
    Operation,
    Request,
    check_closed,
    check_open,
    prepare,
)

#: Opens a scope with what is handed in.
Enter = Callable[[Mapping[type, object]], AbstractAsyncContextManager[Any]]


class NamedFoo(Foo):
    """A type of its own stands for the name."""


def make_bar(foo: NamedFoo) -> Bar:
    return Bar(foo)


async def make_baz(bar: Bar, foo: Foo, bum: Bum) -> Baz:
    # one target and no defaults: less than is asked of us
    return Baz(foo=foo, bam=foo, bim="default", bar=bar, bum=bum)


def prepare_original(operation: Operation) -> Operation:
    """Check that an operation gives the original's benchmark graph."""

    def check(found: Baz) -> None:
        assert found == WHOLE_BAZ

    return prepare(operation, check)


def prepare_request(enter: Enter, operation: Operation) -> Operation:
    """Check that what a scope of *enter* gives is a request's graph, open inside, and closed behind *operation*."""

    async def checked() -> Handler:
        request = Request()
        async with enter({Request: request}) as inside:
            handler: Handler = await inside.get(Handler)
            check_open(handler, request)
            return handler

    prepare(checked, check_closed)
    return prepare(operation, check_closed)
