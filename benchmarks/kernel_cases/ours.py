"""The request with this project's kernel."""

from __future__ import annotations

import asyncio

from kernel_cases.graph import (
    APPLICATION,
    PLAIN,
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
