"""Schedules: list them, pause them, fire them by hand."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from binp.runs import AlreadyStarted, RunHandle
from binp.schedule import ScheduleInfo
from binp.store.contract import Run

from ._models import ScheduleControl, Started
from ._once import Key, first_run
from ._platform import By, Here, Opened

__all__ = ["router"]

router = APIRouter(tags=["schedules"])


@router.get("/schedules/", operation_id="listSchedules")
async def list_schedules(platform: Here) -> list[ScheduleInfo]:
    """List the schedules with their next ticks, in the order of their definition."""
    return await platform.schedule.schedules()


@router.put("/schedule/{name:path}", operation_id="manageSchedule")
async def manage_schedule(platform: Here, by: By, name: str, control: ScheduleControl) -> None:
    """Pause or resume a schedule. Ticks that come while it is paused are skipped."""
    if control.paused:
        await platform.schedule.pause(name, actor=by.actor)
    else:
        await platform.schedule.resume(name, actor=by.actor)


@router.post("/schedule/{name:path}/runs", operation_id="fireSchedule", status_code=202)
async def fire_schedule(
    platform: Here, home: Opened, by: By, request: Request, response: Response, name: str, key: Key = None
) -> Started:
    """Fire a schedule now, even if it is paused."""
    started: RunHandle | Run
    try:
        started = await platform.schedule.fire(name, trigger=by, once=key)
    except AlreadyStarted as error:
        started = await first_run(home, key, error)
    url = f"{request.scope.get('root_path', '')}/runs/{started.id}"
    response.headers["location"] = url
    return Started(run=started.id, url=url)
