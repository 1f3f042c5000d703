"""What can be missing for an aiohttp server."""

from __future__ import annotations

from collections.abc import Iterable

from buvar.errors import BuvarError


class AioHttpMissingError(BuvarError, ImportError):
    """The package aiohttp, an extra, is not installed."""

    def __init__(self) -> None:
        super().__init__("buvar_aiohttp needs aiohttp, which is not installed", fix="pip install binp[aiohttp]")
        self.name = "aiohttp"


class AioHttpConfigError(BuvarError, ValueError):
    """The configuration says nowhere where to listen.

    Attributes:
        sockets: URIs of the sockets that are shared.
    """

    def __init__(self, sockets: Iterable[str] = ()) -> None:
        self.sockets = tuple(sockets)
        super().__init__(
            "the aiohttp server has no address",
            where="[aiohttp]",
            fix="set host and port, or path, or sock; or share one socket by fork.stage(..., sockets=[...])",
        )


def require() -> None:
    """Complain when aiohttp is missing.

    Raises:
        AioHttpMissingError: it is.
    """
    try:
        import aiohttp  # noqa: F401 - whether it can be imported is the question
    except ModuleNotFoundError as error:
        if error.name != "aiohttp":
            raise
        raise AioHttpMissingError from None
