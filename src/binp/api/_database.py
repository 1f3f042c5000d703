"""The database: how long runs are kept, what it takes up, and lines that are taken in."""

from __future__ import annotations

from fastapi import APIRouter

from binp.store.contract import Import

from ._models import Lines, RetentionInfo, Taken
from ._platform import Opened

__all__ = ["router"]

router = APIRouter(tags=["database"])


@router.get("/retention", operation_id="getRetention")
async def get_retention(home: Opened) -> RetentionInfo:
    """How long runs are kept, by which rules, and what the database holds and takes up now."""
    return RetentionInfo.of(home.retention, await home.store.get_usage())


@router.post("/import", operation_id="importLines")
async def import_lines(home: Opened, given: Lines) -> Taken:
    """Take in lines that were exported: what is not here yet, and later states of what is. All of them or none."""
    return Taken(taken=int(await home.store.write(Import(lines=tuple(given.lines)))))
