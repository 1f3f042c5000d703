"""The same with dishka."""

from __future__ import annotations

from dishka import Provider, Scope, make_async_container
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
    """It has no names: a type of its own stands for one."""


def make_bar(foo: NamedFoo) -> Bar:
    return Bar(foo)


async def make_baz(bar: Bar, foo: Foo, bum: Bum) -> Baz:
    # one target and no defaults: less than is asked of us
    return Baz(foo=foo, bam=foo, bim="default", bar=bar, bum=bum)


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

    def check(found: Baz) -> None:
        assert found == WHOLE_BAZ

    return prepare(operation, check)


def request() -> Operation:
    provider = Provider(scope=Scope.REQUEST)
    provider.from_context(provides=Request, scope=Scope.REQUEST)
    for kind in APPLICATION:
        provider.provide(kind, scope=Scope.APP)
    for source in (open_session, open_span, make_auth, make_user, *PLAIN):
        provider.provide(source)
    container = make_async_container(provider)

    async def checked() -> Handler:
        request = Request()
        async with container(context={Request: request}) as inside:
            handler = await inside.get(Handler)
            check_open(handler, request)
            return handler

    async def operation() -> Handler:
        async with container(context={Request: Request()}) as inside:
            return await inside.get(Handler)

    prepare(checked, check_closed)
    return prepare(operation, check_closed)
