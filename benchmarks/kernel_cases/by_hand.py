"""The request wired by hand, as one would write it without any library."""

from __future__ import annotations

import contextlib

from kernel_cases.graph import (
    Cache,
    Handler,
    Mailer,
    Operation,
    Orders,
    Pool,
    Request,
    Service,
    Session,
    Settings,
    Span,
    Users,
    check_closed,
    make_auth,
    make_user,
    open_session,
    open_span,
    prepare,
)


async def build(settings: Settings, cache: Cache, request: Request, session: Session, span: Span) -> Handler:
    users = Users(session)
    user = await make_user(request, await make_auth(cache, users))
    return Handler(Service(Orders(session), user, Mailer(settings)), span, request)


def request() -> Operation:
    """The very same factories, driven by hand: what a library can at best come down to."""
    settings = Settings()
    pool, cache = Pool(settings), Cache(settings)

    async def operation() -> Handler:
        request = Request()
        sessions = open_session(pool)
        session = await anext(sessions)
        try:
            spans = open_span(request)
            span = next(spans)
            try:
                users = Users(session)
                user = await make_user(request, await make_auth(cache, users))
                return Handler(Service(Orders(session), user, Mailer(settings)), span, request)
            finally:
                next(spans, None)
        finally:
            await anext(sessions, None)

    return prepare(operation, check_closed)


def with_managers() -> Operation:
    """The same factories as context managers of the standard library."""
    settings = Settings()
    pool, cache = Pool(settings), Cache(settings)
    sessions, spans = contextlib.asynccontextmanager(open_session), contextlib.contextmanager(open_span)

    async def operation() -> Handler:
        request = Request()
        async with sessions(pool) as session:
            with spans(request) as span:
                return await build(settings, cache, request, session, span)

    return prepare(operation, check_closed)


def without_factories() -> Operation:
    """No generators at all: what opens and closes is written into the operation itself."""
    settings = Settings()
    pool, cache = Pool(settings), Cache(settings)

    async def operation() -> Handler:
        request = Request()
        session = Session(pool)
        try:
            span = Span(request)
            try:
                return await build(settings, cache, request, session, span)
            finally:
                span.is_closed = True
        finally:
            session.is_closed = True

    return prepare(operation, check_closed)
