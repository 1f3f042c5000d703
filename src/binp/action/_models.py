"""What is shown of an action."""

from __future__ import annotations

from pydantic import BaseModel

__all__ = ["ActionInfo"]


class ActionInfo(BaseModel):
    """An action as it is listed."""

    name: str
    description: str
