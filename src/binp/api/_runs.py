"""Runs: list them, get one, read its records, cancel it."""

from __future__ import annotations

import gzip
import json
import re
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import TypeAdapter

from binp.files import MARK, File, described_in
from binp.runs import AlreadyStarted, RunHandle
from binp.store.contract import FINISHED, Run, RunQuery

from ._models import Again, RecordInfo, RunDetail, RunGlance, Started
from ._once import Key, first_run
from ._platform import MAX_INTEGER, By, Here, Opened
from ._search_models import RunChart, RunFilter, RunList, RunNumbers

__all__ = ["router"]

router = APIRouter(tags=["runs"])

RunId = Annotated[int, Path(ge=0, le=MAX_INTEGER)]
#: media types that a browser might execute: such files are served as plain bytes
_ACTIVE = re.compile("html|xml|script|svg|flash|pdf")

_GLANCES = TypeAdapter(dict[str, list[RunGlance]])

Digest = Annotated[str | None, Query(description="which one, where a run has returned several")]
Seq = Annotated[int, Query(ge=0, le=MAX_INTEGER)]


@router.get("/runs", operation_id="listRuns")
async def list_runs(home: Opened, wanted: Annotated[RunFilter, Query()]) -> RunList:
    """List the runs that match all given conditions, newest first."""
    return RunList.of(await home.store.find_runs(wanted.query()))


@router.get("/runs/latest", operation_id="latestRuns", response_model=dict[str, list[RunGlance]])
async def latest_runs(
    platform: Here, home: Opened, request: Request, limit: Annotated[int, Query(ge=1, le=50)] = 20
) -> Response:
    """Get the newest runs of each action, and of each function that a schedule starts, by name."""
    names = [operation.name for operation in home.operations.all("action")]
    names += [schedule.operation for schedule in await platform.schedule.schedules()]
    found = {name: await home.store.find_runs(RunQuery(operation=name, limit=limit)) for name in dict.fromkeys(names)}
    body = _GLANCES.dump_json({name: [RunGlance.of(run) for run in page.runs] for name, page in found.items()})
    headers = {"vary": "accept-encoding"}
    # compressed: with many actions it is large and repetitive, and it is requested often
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["content-encoding"] = gzip.compress(body, 5), "gzip"
    return Response(body, media_type="application/json", headers=headers)


@router.get("/runs/counts", operation_id="countRuns")
async def count_runs(home: Opened, wanted: Annotated[RunChart, Query()]) -> RunNumbers:
    """Count the runs that match all given conditions, by time, action and state."""
    return RunNumbers.of(await home.store.count_runs(wanted.query(), buckets=wanted.buckets))


@router.get("/runs/{run_id}", operation_id="getRun")
async def get_run(home: Opened, run_id: RunId) -> RunDetail:
    """Get a run with all its details, and its first 200 records."""
    run = await home.store.get_run(run_id)
    if run is None:
        raise HTTPException(404, f"run {run_id} not found")
    return RunDetail.whole(run, await home.store.get_records(run_id, limit=200))


@router.get("/runs/{run_id}/records", operation_id="listRecords")
async def list_records(
    home: Opened, run_id: RunId, after: Seq = 0, limit: Annotated[int, Query(ge=1, le=200)] = 200
) -> list[RecordInfo]:
    """List the records of a run after number *after*, oldest first."""
    found = [RecordInfo.of(row) for row in await home.store.get_records(run_id, after=after, limit=limit)]
    if not found and await home.store.get_run(run_id) is None:
        raise HTTPException(404, f"run {run_id} not found")
    return found


@router.get("/runs/{run_id}/file", operation_id="downloadFile", response_class=FileResponse)
async def download_file(home: Opened, run_id: RunId, sha256: Digest = None) -> FileResponse:
    """Download the file that a run returned, or one inside its result; supports range requests."""
    run = await home.store.get_run(run_id)
    if run is None:
        raise HTTPException(404, f"run {run_id} not found")
    result = None if run.result is None else json.loads(run.result)
    found = {str(one["sha256"]): one for one in described_in(result) if sha256 in (None, one["sha256"])}
    if len(found) != 1:
        what = "several files: name one by its sha256" if found else "no file" if sha256 is None else "no such file"
        raise HTTPException(404, f"run {run_id} has returned {what}")
    ((digest, described),) = found.items()
    path = home.runs.files.shelf.result_of(run_id, None if described is result else digest)
    # rebuilt, so that a returned name or type is cleaned before it goes into a header
    file = File(path, name=str(described[MARK]), type=str(described.get("type")))
    kind = "application/octet-stream" if _ACTIVE.search(file.type) else file.type
    return FileResponse(
        path, media_type=kind, filename=file.name, headers={"content-security-policy": "sandbox; default-src 'none'"}
    )


@router.post("/runs/{run_id}/rerun", operation_id="rerun", status_code=202)
async def rerun(
    platform: Here,
    home: Opened,
    by: By,
    request: Request,
    response: Response,
    run_id: RunId,
    again: Again | None = None,
    key: Key = None,
) -> Started:
    """Start an action again with the arguments of an earlier run, some of which can be changed.

    If the arguments are the same and the earlier run did not succeed, the new run is a further attempt, which skips
    the steps that are already done.
    """
    started: RunHandle | Run
    try:
        started = await platform.action.rerun(run_id, again.arguments if again else None, trigger=by, once=key)
    except AlreadyStarted as error:
        started = await first_run(home, key, error)
    url = f"{request.scope.get('root_path', '')}/runs/{started.id}"
    response.headers["location"] = url
    return Started(run=started.id, url=url)


@router.post("/runs/{run_id}/cancel", operation_id="cancelRun", status_code=202)
async def cancel_run(home: Opened, by: By, run_id: RunId) -> None:
    """Request the cancellation of a run. Responds without waiting for its end."""
    if await home.runs.cancel(run_id, actor=by.actor):
        return
    run = await home.store.get_run(run_id)
    if run is None:
        raise HTTPException(404, f"run {run_id} not found")
    if run.state in FINISHED:
        raise HTTPException(409, f"run {run_id} has ended: {run.state}")
