"""The same with dishka."""

from __future__ import annotations

from dishka import Provider, Scope, make_async_container
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


def original() -> Operation:
    provider = Provider(scope=Scope.REQUEST)
    for kind in (Foo, NamedFoo, Bum):
        provider.from_context(provides=kind, scope=Scope.REQUEST)
    provider.provide(make_bar)
    provider.provide(make_baz)
    container = make_async_container(provider)

    async def operation() -> Baz:
        values = {Foo: Foo(), NamedFoo: NamedFoo(name="bar"), Bum: Bum()}
        async with container(context=values) as inside:
            return await inside.get(Baz)

    return prepare_original(operation)


def request() -> Operation:
    provider = Provider(scope=Scope.REQUEST)
    provider.from_context(provides=Request, scope=Scope.REQUEST)
    for kind in APPLICATION:
        provider.provide(kind, scope=Scope.APP)
    for source in (open_session, open_span, make_auth, make_user, *PLAIN):
        provider.provide(source)
    container = make_async_container(provider)

    async def operation() -> Handler:
        async with container(context={Request: Request()}) as inside:
            return await inside.get(Handler)

    return prepare_request(lambda values: container(context=values), operation)
