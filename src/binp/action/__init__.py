"""Actions: functions that the console shows with a button and a typed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._action import Action

if TYPE_CHECKING:
    from ._models import ActionInfo

__all__ = ["Action", "ActionInfo"]


def __getattr__(name: str) -> Any:
    if name == "ActionInfo":
        # import pydantic only when an action is described, not when one is defined
        from ._models import ActionInfo

        return ActionInfo
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
