"""The request with the original's wheel; what it has no word for is put together from what it has."""

# the original reads annotations where `register` is called, so they are no text here
import contextlib

from kernel_cases.graph import (
    PLAIN,
    Cache,
    Handler,
    Operation,
    Pool,
    Request,
    Session,
    Settings,
    Span,
    check_closed,
    check_open,
    make_auth,
    make_user,
    open_session,
    open_span,
    prepare,
)

from buvar import context, di

session_manager = contextlib.asynccontextmanager(open_session)
span_manager = contextlib.contextmanager(open_span)


async def make_session(pool: Pool, stack: contextlib.AsyncExitStack) -> Session:
    return await stack.enter_async_context(session_manager(pool))


async def make_span(request: Request, stack: contextlib.AsyncExitStack) -> Span:
    return stack.enter_context(span_manager(request))


def request() -> Operation:
    adapters = di.Adapters()
    adapters.register(make_session, make_span, make_auth, make_user, *PLAIN)
    settings = context.add(Settings())
    context.add(Pool(settings))
    context.add(Cache(settings))

    async def checked() -> Handler:
        with context.child():
            async with contextlib.AsyncExitStack() as stack:
                context.add(stack)
                request = context.add(Request())
                handler: Handler = await adapters.nject(Handler)
                check_open(handler, request)
                return handler

    async def operation() -> Handler:
        with context.child():
            async with contextlib.AsyncExitStack() as stack:
                context.add(stack)
                context.add(Request())
                handler: Handler = await adapters.nject(Handler)
                return handler

    prepare(checked, check_closed)
    return prepare(operation, check_closed)
