"""What it is that answers: its version, and that of what it runs on."""

from __future__ import annotations

import importlib.metadata
import platform

from fastapi import APIRouter
from pydantic import BaseModel

__all__ = ["router"]

router = APIRouter(tags=["about"])


class About(BaseModel):
    """What answers."""

    version: str
    #: of Python
    python: str


@router.get("/about", operation_id="getAbout")
async def get_about() -> About:
    """The version of the platform, and of the Python that it runs on."""
    return About(version=importlib.metadata.version("binp"), python=platform.python_version())
