"""Pytest fixtures: the application of the plugins under test, and a client for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pytest

# pytest imports this module in every project that has the package installed: import everything else on use
if TYPE_CHECKING:
    import aiohttp.web
    from aiohttp.test_utils import TestClient

    from buvar import plugin

__all__ = ["Client", "Pending", "buvar_aiohttp_app", "buvar_aiohttp_client"]

T = TypeVar("T")


class Pending(Generic[T]):
    """A pending response: await it, or enter it with ``async with``."""

    def __init__(self, start: Callable[[], Awaitable[T]]) -> None:
        self._start = start
        self._entered: Any = None

    def __await__(self) -> Generator[Any, None, T]:
        return self._start().__await__()

    async def __aenter__(self) -> T:
        self._entered = await self._start()
        entered: T = await self._entered.__aenter__()
        return entered

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._entered.__aexit__(kind, error, traceback)


class Client:
    """Sends requests to an application, which is served on a free port from the first request on.

    Args:
        app: The application; routes may be added until the first request.
    """

    def __init__(self, app: aiohttp.web.Application) -> None:
        self.app = app
        self._client: TestClient[Any, Any] | None = None

    async def start(self) -> TestClient[Any, Any]:
        """Serve the application, unless it is served already; returns aiohttp's client for it."""
        from aiohttp.test_utils import TestClient, TestServer

        if self._client is None:
            self._client = TestClient(TestServer(self.app))
            await self._client.start_server()
        return self._client

    async def close(self) -> None:
        """Shut down the server and all requests."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def request(self, method: str, path: str, **options: Any) -> Pending[aiohttp.ClientResponse]:
        """Send a request; *options* as for `aiohttp.ClientSession.request`."""

        async def send() -> aiohttp.ClientResponse:
            client = await self.start()
            return await client.request(method, path, **options)

        return Pending(send)

    def get(self, path: str, **options: Any) -> Pending[aiohttp.ClientResponse]:
        """Send a GET request."""
        return self.request("GET", path, **options)

    def head(self, path: str, **options: Any) -> Pending[aiohttp.ClientResponse]:
        """Send a HEAD request."""
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Any) -> Pending[aiohttp.ClientResponse]:
        """Send an OPTIONS request."""
        return self.request("OPTIONS", path, **options)

    def post(self, path: str, **options: Any) -> Pending[aiohttp.ClientResponse]:
        """Send a POST request."""
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Pending[aiohttp.ClientResponse]:
        """Send a PUT request."""
        return self.request("PUT", path, **options)

    def patch(self, path: str, **options: Any) -> Pending[aiohttp.ClientResponse]:
        """Send a PATCH request."""
        return self.request("PATCH", path, **options)

    def delete(self, path: str, **options: Any) -> Pending[aiohttp.ClientResponse]:
        """Send a DELETE request."""
        return self.request("DELETE", path, **options)

    def ws_connect(self, path: str, **options: Any) -> Pending[aiohttp.ClientWebSocketResponse[Any]]:
        """Open a WebSocket; *options* as for `aiohttp.ClientSession.ws_connect`."""

        async def connect() -> aiohttp.ClientWebSocketResponse[Any]:
            client = await self.start()
            opened: aiohttp.ClientWebSocketResponse[Any] = await client.ws_connect(path, **options)
            return opened

        return Pending(connect)


@pytest.fixture
def buvar_aiohttp_app(buvar_stage: plugin.Stage, buvar_load: Callable[..., Awaitable[None]]) -> aiohttp.web.Application:
    """The application to which the plugins of the test add their routes."""
    from buvar_aiohttp._plugin import make_app

    return buvar_stage.context.add(make_app(buvar_stage.context))


@pytest.fixture
def buvar_aiohttp_client(buvar_stage: plugin.Stage, buvar_aiohttp_app: aiohttp.web.Application) -> Client:
    """A client for `buvar_aiohttp_app`; it ends together with the stage."""
    client = Client(buvar_aiohttp_app)
    buvar_stage.teardown.add(client.close)
    return client
