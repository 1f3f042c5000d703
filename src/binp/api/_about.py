"""The versions of the platform and of Python."""

from __future__ import annotations

import importlib.metadata
import platform

from fastapi import APIRouter
from pydantic import BaseModel

__all__ = ["router"]

router = APIRouter(tags=["about"])


class About(BaseModel):
    """The versions of the server."""

    version: str
    #: version of Python
    python: str


@router.get("/about", operation_id="getAbout")
async def get_about() -> About:
    """Get the versions of the platform and of Python."""
    return About(version=importlib.metadata.version("binp"), python=platform.python_version())
