"""Turn one Python file of functions into a production service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from buvar.di import Inject
    from buvar.secret import Secret

    from .action import Action
    from .api import create_app
    from .app import BINP
    from .files import Accept, File
    from .journals import Journals
    from .kv import KV
    from .service import Service

__all__ = [
    "BINP",
    "KV",
    "Accept",
    "Action",
    "File",
    "Inject",
    "Journals",
    "Secret",
    "Service",
    "__version__",
    "create_app",
]

_PLACES = {
    "BINP": "binp.app",
    "KV": "binp.kv",
    "Accept": "binp.files",
    "Action": "binp.action",
    "File": "binp.files",
    "Inject": "buvar.di",
    "Journals": "binp.journals",
    "Secret": "buvar.secret",
    "Service": "binp.service",
    "create_app": "binp.api",
}


def __getattr__(name: str) -> Any:
    # import names on first access: a command that needs none of them starts faster
    if name in _PLACES:
        import importlib

        value = getattr(importlib.import_module(_PLACES[name]), name)
    elif name == "__version__":
        import importlib.metadata

        value = importlib.metadata.version("binp")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
