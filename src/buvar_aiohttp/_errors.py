"""The errors of the aiohttp server."""

from __future__ import annotations

from collections.abc import Iterable

from buvar.errors import BuvarError


class AioHttpMissingError(BuvarError, ImportError):
    """The package aiohttp, an optional dependency, is not installed."""

    def __init__(self) -> None:
        super().__init__("buvar_aiohttp needs aiohttp, which is not installed", fix="pip install binp[aiohttp]")
        self.name = "aiohttp"


class AioHttpConfigError(BuvarError, ValueError):
    """No address to listen on is configured.

    Attributes:
        sockets: URIs of the shared sockets.
    """

    def __init__(self, sockets: Iterable[str] = ()) -> None:
        self.sockets = tuple(sockets)
        super().__init__(
            "the aiohttp server has no address",
            where="[aiohttp]",
            fix="set host and port, or path, or sock; or share one socket by fork.stage(..., sockets=[...])",
        )


def require() -> None:
    """Check that aiohttp is installed.

    Raises:
        AioHttpMissingError: it is not.
    """
    try:
        import aiohttp  # noqa: F401 - only checks that it can be imported
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise AioHttpMissingError from None
