"""The same with wireup."""

from __future__ import annotations

import wireup
from kernel_cases.graph import (
    APPLICATION,
    PLAIN,
    Baz,
    Bum,
    Foo,
    Handler,
    Operation,
    Request,
    make_auth,
    make_user,
    open_session,
    open_span,
)
from kernel_cases.peers import NamedFoo, make_bar, make_baz, prepare_original, prepare_request


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

    return prepare_original(operation)


def request() -> Operation:
    scoped = [no_request, open_session, open_span, make_auth, make_user, *PLAIN]
    container = wireup.create_async_container(
        injectables=[
            *[wireup.injectable(source, lifetime="singleton") for source in APPLICATION],
            *[wireup.injectable(source, lifetime="scoped") for source in scoped],
        ]
    )

    async def operation() -> Handler:
        async with container.enter_scope({Request: Request()}) as scope:
            return await scope.get(Handler)

    return prepare_request(container.enter_scope, operation)
