"""The history of journaled functions, for compatible clients."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path
from fastapi import Query as QueryParameter

from binp.journals import Headline, Journal

from ._models import Query
from ._platform import MAX_INTEGER, Here

__all__ = ["router"]

router = APIRouter(tags=["journals"])

_PAGE = 20

Page = Annotated[int, QueryParameter(le=MAX_INTEGER // _PAGE, description=f"{_PAGE} per page; below 0 is the first")]


@router.get("/journals/", operation_id="listJournals")
async def list_journals(platform: Here, page: Page = 0) -> list[Headline]:
    """List journaled runs, newest first."""
    return await platform.journal.history(offset=_PAGE * max(0, page), limit=_PAGE)


@router.post("/journals/search", operation_id="searchJournals")
async def search_journals(platform: Here, query: Query, page: Page = 0) -> list[Headline]:
    """List the journaled runs that match all given conditions, newest first."""
    return await platform.journal.search(
        operation=query.operation,
        failed=query.failed,
        pending=query.pending,
        labels=query.labels,
        offset=_PAGE * max(0, page),
        limit=_PAGE,
    )


@router.get("/journal/{journal_id}", operation_id="getJournal")
async def get_journal(platform: Here, journal_id: Annotated[int, Path(ge=-MAX_INTEGER, le=MAX_INTEGER)]) -> Journal:
    """Get a journaled run with its records, newest first."""
    journal = await platform.journal.get(journal_id)
    if journal is None:
        raise HTTPException(404, f"journal {journal_id} not found")
    return journal
