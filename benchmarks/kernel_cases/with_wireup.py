"""The same with wireup."""

from __future__ import annotations

import wireup
from kernel_cases.graph import (
    APPLICATION,
    PLAIN,
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
    make_auth,
    make_user,
    open_session,
    open_span,
    prepare,
)


class NamedFoo(Foo):
    """It has names for what it makes, none for what is handed in: a type of its own stands for one."""


def make_bar(foo: NamedFoo) -> Bar:
    return Bar(foo)


async def make_baz(bar: Bar, foo: Foo, bum: Bum) -> Baz:
    # one target and no defaults: less than is asked of us
    return Baz(foo=foo, bam=foo, bim="default", bar=bar, bum=bum)


def no_foo() -> Foo:
    raise LookupError("it is handed in")


def no_named_foo() -> NamedFoo:
    raise LookupError("it is handed in")


def no_bum() -> Bum:
    raise LookupError("it is handed in")


def no_request() -> Request:
    raise LookupError("it is handed in")


def original() -> Operation:
    sources = [no_foo, no_named_foo, no_bum, make_bar, make_baz]
    container = wireup.create_async_container(
        injectables=[wireup.injectable(source, lifetime="scoped") for source in sources]
    )

    async def operation() -> Baz:
        async with container.enter_scope({Foo: Foo(), NamedFoo: NamedFoo(name="bar"), Bum: Bum()}) as scope:
            return await scope.get(Baz)

    def check(found: Baz) -> None:
        assert found == WHOLE_BAZ

    return prepare(operation, check)


def request() -> Operation:
    scoped = [no_request, open_session, open_span, make_auth, make_user, *PLAIN]
    container = wireup.create_async_container(
        injectables=[
            *[wireup.injectable(source, lifetime="singleton") for source in APPLICATION],
            *[wireup.injectable(source, lifetime="scoped") for source in scoped],
        ]
    )

    async def checked() -> Handler:
        request = Request()
        async with container.enter_scope({Request: request}) as scope:
            handler = await scope.get(Handler)
            check_open(handler, request)
            return handler

    async def operation() -> Handler:
        async with container.enter_scope({Request: Request()}) as scope:
            return await scope.get(Handler)

    prepare(checked, check_closed)
    return prepare(operation, check_closed)
