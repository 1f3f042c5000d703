"""The database: whether it takes writes, how long runs are kept, what it takes up, and lines that are taken in."""

from __future__ import annotations

from fastapi import APIRouter, Response

from binp.store.contract import Import

from ._models import DatabaseHealth, Lines, RetentionInfo, Taken
from ._platform import Opened

__all__ = ["router"]

router = APIRouter(tags=["database"])


@router.get(
    "/health",
    operation_id="getHealth",
    responses={503: {"model": DatabaseHealth, "description": "The database takes no writes, or is damaged."}},
)
async def get_health(home: Opened, response: Response) -> DatabaseHealth:
    """Whether the database takes writes and is sound; if not, why, since when, and how that is mended."""
    found = DatabaseHealth.of(home.store)
    response.status_code = 503 if found.reason else 200
    return found


@router.get("/retention", operation_id="getRetention")
async def get_retention(home: Opened) -> RetentionInfo:
    """How long runs are kept, by which rules, and what the database holds and takes up now."""
    return RetentionInfo.of(home.retention, await home.store.get_usage())


@router.post("/import", operation_id="importLines")
async def import_lines(home: Opened, given: Lines) -> Taken:
    """Take in lines that were exported: what is not here yet, and later states of what is. All of them or none."""
    return Taken(taken=int(await home.store.write(Import(lines=tuple(given.lines)))))
