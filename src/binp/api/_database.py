"""The database: its health, retention and size, and imports."""

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
    """Get the health of the database: whether it accepts writes; if not, why, since when, and how to fix it."""
    found = DatabaseHealth.of(home.store)
    response.status_code = 503 if found.reason else 200
    return found


@router.get("/retention", operation_id="getRetention")
async def get_retention(home: Opened) -> RetentionInfo:
    """Get the retention rules, and the present content and size of the database."""
    return RetentionInfo.of(home.retention, await home.store.get_usage())


@router.post("/import", operation_id="importLines")
async def import_lines(home: Opened, given: Lines) -> Taken:
    """Import exported lines: new rows, and later states of existing ones. All or none."""
    return Taken(taken=int(await home.store.write(Import(lines=tuple(given.lines)))))
