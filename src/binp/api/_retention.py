"""How long runs are kept, and what the database takes up."""

from __future__ import annotations

from fastapi import APIRouter

from ._models import RetentionInfo
from ._platform import Opened

__all__ = ["router"]

router = APIRouter(tags=["database"])


@router.get("/retention", operation_id="getRetention")
async def get_retention(home: Opened) -> RetentionInfo:
    """How long runs are kept, by which rules, and what the database holds and takes up now."""
    return RetentionInfo.of(home.retention, await home.store.get_usage())
