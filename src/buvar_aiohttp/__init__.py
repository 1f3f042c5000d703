"""An aiohttp server as a plugin of the kernel."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buvar_aiohttp._config import AioHttpConfig
    from buvar_aiohttp._errors import AioHttpConfigError, AioHttpMissingError
    from buvar_aiohttp._plugin import prepare, prepare_app, prepare_client_session, prepare_server

__all__ = [
    "AioHttpConfig",
    "AioHttpConfigError",
    "AioHttpMissingError",
    "prepare",
    "prepare_app",
    "prepare_client_session",
    "prepare_server",
]

# name -> module; imported on first access, because pytest imports this package's fixtures in every project
_LAZY = {
    "AioHttpConfig": "buvar_aiohttp._config",
    "AioHttpConfigError": "buvar_aiohttp._errors",
    "AioHttpMissingError": "buvar_aiohttp._errors",
    "prepare": "buvar_aiohttp._plugin",
    "prepare_app": "buvar_aiohttp._plugin",
    "prepare_client_session": "buvar_aiohttp._plugin",
    "prepare_server": "buvar_aiohttp._plugin",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_LAZY[name]), name)
    return value
