"""The two graphs that are built: that of a request, and that of the original's own benchmark."""

# the original reads annotations where `register` is called, so they are no text here
import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

#: One operation, to be awaited.
Operation = Callable[[], Coroutine[Any, Any, object]]


# the request: three objects for the application, two that are closed behind the request, seven in between


class Settings:
    """Lives as long as the application."""


class Pool:
    """Lives as long as the application."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings


class Cache:
    """Lives as long as the application."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings


class Request:
    """A new one is handed in each time."""


class Session:
    """Is closed behind the request, by asynchronous code."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.is_closed = False


class Span:
    """Is closed behind the request, by synchronous code."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.is_closed = False


class Users:
    """Stands on the session."""

    def __init__(self, session: Session) -> None:
        self.session = session


class Orders:
    """Stands on the session."""

    def __init__(self, session: Session) -> None:
        self.session = session


class Auth:
    """Is made by a coroutine function."""

    def __init__(self, cache: Cache, users: Users) -> None:
        self.cache = cache
        self.users = users


class User:
    """Is made by a coroutine function."""

    def __init__(self, request: Request, auth: Auth) -> None:
        self.request = request
        self.auth = auth


class Mailer:
    """Stands on the settings."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings


class Service:
    """Stands on three others."""

    def __init__(self, orders: Orders, user: User, mailer: Mailer) -> None:
        self.orders = orders
        self.user = user
        self.mailer = mailer


class Handler:
    """What is asked for."""

    def __init__(self, service: Service, span: Span, request: Request) -> None:
        self.service = service
        self.span = span
        self.request = request


async def open_session(pool: Pool) -> AsyncIterator[Session]:
    session = Session(pool)
    try:
        yield session
    finally:
        session.is_closed = True


def open_span(request: Request) -> Iterator[Span]:
    span = Span(request)
    try:
        yield span
    finally:
        span.is_closed = True


async def make_auth(cache: Cache, users: Users) -> Auth:
    return Auth(cache, users)


async def make_user(request: Request, auth: Auth) -> User:
    return User(request, auth)


PLAIN = (Users, Orders, Mailer, Service, Handler)
APPLICATION = (Settings, Pool, Cache)


def check_open(handler: Handler, request: Request) -> None:
    """Make sure that a handler is put together as it must be; before timing only."""
    session = handler.service.orders.session
    assert handler.request is request
    assert handler.span.request is request
    assert handler.service.user.request is request
    assert handler.service.user.auth.users.session is session
    assert session.pool.settings is handler.service.mailer.settings is handler.service.user.auth.cache.settings
    assert not session.is_closed
    assert not handler.span.is_closed


def check_closed(handler: Handler) -> None:
    """Make sure that both are closed."""
    assert handler.service.orders.session.is_closed
    assert handler.span.is_closed


# the original's own benchmark: a name goes before a type, defaults apply, one thing is handed in


class Foo(dict[str, Any]):
    """A component, with and without name."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name=name, foo=True)


class Bar(dict[str, Any]):
    """Takes the Foo that has the name of its parameter."""

    def __init__(self, bar: Foo) -> None:
        super().__init__(foo=bar, bar=True)


class Baz(dict[str, Any]):
    """What is asked for."""

    def __init__(self, **values: Any) -> None:
        super().__init__(baz=True, **values)


class Bim:
    """Nobody provides one."""


class Bum(dict[str, Any]):
    """Is handed in."""

    def __init__(self) -> None:
        super().__init__(bum=True)


WHOLE_BAZ = {
    "baz": True,
    "bam": {"foo": True, "name": None},
    "foo": {"foo": True, "name": None},
    "bim": "default",
    "bum": {"bum": True},
    "bar": {"bar": True, "foo": {"foo": True, "name": "bar"}},
}


def prepare(operation: Operation, check: Callable[[Any], None]) -> Operation:
    """Run an operation twice, check what it gives, and return it."""
    loop = asyncio.get_event_loop()
    for _ in range(2):
        check(loop.run_until_complete(operation()))
    return operation
