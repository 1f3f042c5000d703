"""The two graphs with this project's kernel."""

from __future__ import annotations

import asyncio

from kernel_cases.graph import (
    APPLICATION,
    PLAIN,
    WHOLE_BAZ,
    Bar,
    Baz,
    Bim,
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

from buvar import context, di


async def make_baz(bar: Bar, bam: Foo = 1, bim: Bim = "default", *, bum: Bum, foo: Foo | None = None) -> Baz:  # type: ignore[assignment]  # as the original's benchmark has it
    return Baz(foo=foo, bam=bam, bim=bim, bar=bar, bum=bum)


def original() -> Operation:
    di.register(Bar, make_baz)

    async def operation() -> tuple[Baz, Bum]:
        context.add(Foo())
        context.add(Foo(name="bar"), name="bar")
        baz, bum = await di.nject(Baz, Bum, bum=Bum())
        return baz, bum

    def check(found: tuple[Baz, Bum]) -> None:
        assert found == (WHOLE_BAZ, {"bum": True})

    return prepare(operation, check)


def request() -> Operation:
    di.register(*APPLICATION, scope="app")
    di.register(open_session, open_span, make_auth, make_user, *PLAIN)
    # as long as the process
    application = di.application(context.current_context())
    asyncio.get_event_loop().run_until_complete(application.__aenter__())

    async def checked() -> Handler:
        async with di.scope() as scope:
            request = scope.components.add(Request())
            handler = await scope.nject(Handler)
            check_open(handler, request)
            return handler

    async def operation() -> Handler:
        async with di.scope() as scope:
            scope.components.add(Request())
            return await scope.nject(Handler)

    prepare(checked, check_closed)
    return prepare(operation, check_closed)
