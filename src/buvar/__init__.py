"""Plugins, components, dependency injection, configuration, logging and workers for asyncio programs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buvar.components import ComponentLookupError, Components
    from buvar.config import ConfigSource
    from buvar.plugin import Cancel, Teardown, run, stage

    __version__: str
    __version_info__: tuple[str, ...]

__all__ = [
    "Cancel",
    "ComponentLookupError",
    "Components",
    "ConfigSource",
    "Teardown",
    "__version__",
    "__version_info__",
    "run",
    "stage",
]

# name -> module; imported on first access, so that `import buvar` stays cheap
_LAZY = {
    "Cancel": "buvar.plugin",
    "ComponentLookupError": "buvar.components",
    "Components": "buvar.components",
    "ConfigSource": "buvar.config",
    "Teardown": "buvar.plugin",
    "run": "buvar.plugin",
    "stage": "buvar.plugin",
}


def __getattr__(name: str) -> Any:
    value: Any
    if name in _LAZY:
        value = getattr(importlib.import_module(_LAZY[name]), name)
    elif name == "__version__":
        value = importlib.import_module("importlib.metadata").version("binp")
    elif name == "__version_info__":
        value = tuple(__getattr__("__version__").split("."))
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
