"""Services: background functions that are kept alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._registry import Service
from ._status import Status
from ._wishes import Commanded

if TYPE_CHECKING:
    from ._models import Info
    from ._supervisor import Handler

__all__ = ["Commanded", "Handler", "Info", "Service", "Status"]


def __getattr__(name: str) -> Any:
    if name == "Info":
        # import pydantic only when a service is described, not when one is defined
        from ._models import Info

        return Info
    if name == "Handler":
        from ._supervisor import Handler

        return Handler
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
