"""All runs: list them, look at one, read its records, cancel it."""

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
#: media types that a browser might execute: such a file is nothing but bytes
_ACTIVE = re.compile("html|xml|script|svg|flash|pdf")

_GLANCES = TypeAdapter(dict[str, list[RunGlance]])

Digest = Annotated[str | None, Query(description="which one, where a run has returned several")]
Seq = Annotated[int, Query(ge=0, le=MAX_INTEGER)]


@router.get("/runs", operation_id="listRuns")
async def list_runs(home: Opened, wanted: Annotated[RunFilter, Query()]) -> RunList:
    """Runs for which all given conditions hold, newest first."""
    return RunList.of(await home.store.find_runs(wanted.query()))


@router.get("/runs/latest", operation_id="latestRuns", response_model=dict[str, list[RunGlance]])
async def latest_runs(
    platform: Here, home: Opened, request: Request, limit: Annotated[int, Query(ge=1, le=50)] = 20
) -> Response:
    """The newest runs of each action and of each function that a schedule starts, by its name."""
    names = [operation.name for operation in home.operations.all("action")]
    names += [schedule.operation for schedule in await platform.schedule.schedules()]
    found = {name: await home.store.find_runs(RunQuery(operation=name, limit=limit)) for name in dict.fromkeys(names)}
    body = _GLANCES.dump_json({name: [RunGlance.of(run) for run in page.runs] for name, page in found.items()})
    headers = {"vary": "accept-encoding"}
    # with many actions it is large, says much the same again and again, and is read often
    if "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["content-encoding"] = gzip.compress(body, 5), "gzip"
    return Response(body, media_type="application/json", headers=headers)


@router.get("/runs/counts", operation_id="countRuns")
async def count_runs(home: Opened, wanted: Annotated[RunChart, Query()]) -> RunNumbers:
    """How many runs there are for which all given conditions hold, by time, action and state."""
    return RunNumbers.of(await home.store.count_runs(wanted.query(), buckets=wanted.buckets))


@router.get("/runs/{run_id}", operation_id="getRun")
async def get_run(home: Opened, run_id: RunId) -> RunDetail:
    """A run with all that is known of it, and its first 200 records."""
    run = await home.store.get_run(run_id)
    if run is None:
        raise HTTPException(404, f"run {run_id} not found")
    return RunDetail.whole(run, await home.store.get_records(run_id, limit=200))


@router.get("/runs/{run_id}/records", operation_id="listRecords")
async def list_records(
    home: Opened, run_id: RunId, after: Seq = 0, limit: Annotated[int, Query(ge=1, le=200)] = 200
) -> list[RecordInfo]:
    """Records of a run behind the one numbered *after*, oldest first."""
    found = [RecordInfo.of(row) for row in await home.store.get_records(run_id, after=after, limit=limit)]
    if not found and await home.store.get_run(run_id) is None:
        raise HTTPException(404, f"run {run_id} not found")
    return found


@router.get("/runs/{run_id}/file", operation_id="downloadFile", response_class=FileResponse)
async def download_file(home: Opened, run_id: RunId, sha256: Digest = None) -> FileResponse:
    """The file that a run returned, or one in what it returned, to be saved; a part of it if a range is asked for."""
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
    # made anew, so that nothing that a function returned becomes a header as it is
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
    """Start an action again with the arguments of a run, or with others in their place.

    With the same arguments, a run that did not succeed is followed by a further attempt, which need not do the steps
    again that are done.
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
    """Ask for a run to be cancelled. The answer does not wait until it has ended."""
    if await home.runs.cancel(run_id, actor=by.actor):
        return
    run = await home.store.get_run(run_id)
    if run is None:
        raise HTTPException(404, f"run {run_id} not found")
    if run.state in FINISHED:
        raise HTTPException(409, f"run {run_id} has ended: {run.state}")
