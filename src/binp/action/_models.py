"""The public description of an action."""

from __future__ import annotations

from pydantic import BaseModel

__all__ = ["ActionInfo"]


class ActionInfo(BaseModel):
    """The name and description of an action, as shown in a list."""

    name: str
    description: str
