"""Actions: list them, get their forms, start them."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from binp.action import ActionInfo
from binp.auth import Problem
from binp.home import Home
from binp.runs import AlreadyStarted, RunHandle, Trigger
from binp.store.contract import EndRun, Run, State

from ._models import ActionForm, InvokeResult, Question, Started
from ._once import Key, first_run
from ._platform import By, Here, Opened, Platform
from ._problems import answer

__all__ = ["invoke_action", "router"]

router = APIRouter(tags=["actions"])

#: with files, a form: a part for each parameter, named after it; other arguments may also be JSON in ``arguments``
_FORM = {
    "requestBody": {
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "description": "files and fields by the names of their parameters",
                    "properties": {"arguments": {"type": "object", "description": "further arguments, as JSON"}},
                    "additionalProperties": True,
                }
            }
        }
    }
}

Arguments = Annotated[dict[str, Any] | None, Body(description="arguments by name")]


@router.get("/actions/", operation_id="listActions")
async def list_actions(platform: Here) -> list[ActionInfo]:
    """List the actions, in the order of their definition."""
    return platform.action.actions


@router.post("/action/{name:path}", operation_id="invokeAction", response_model=InvokeResult, openapi_extra=_FORM)
async def invoke_action(
    platform: Here, home: Opened, by: By, name: str, arguments: Arguments = None, key: Key = None
) -> Any:
    """Start an action and wait for its end. The run continues if the client disconnects."""
    started = await _start(platform, home, by, name, arguments, key)
    # the end of a run that was started here is known without reading it
    end = await started.ended() if isinstance(started, RunHandle) else None
    run: Run | EndRun = end or await home.runs.watch.ended(started.id)
    if run.state is State.SUCCEEDED:
        head = json.dumps({"name": name, "duration": (run.duration or 0) / 1e6, "run": run.id}, separators=(",", ":"))
        # the result is JSON already, and parsing it could change it
        return Response(f'{head[:-1]},"result":{run.result or "null"}}}', media_type="application/json")
    return answer(
        Problem(
            status=409 if run.state is State.CANCELLED else 500,
            code=f"run-{run.state}",
            detail=f"the run was {run.state}" if run.error in (None, run.state) else run.error,
            fix=f"the run {run.id} has its records and, if it failed, its traceback",
            extra={"run": run.id, "error_type": run.error_type},
        )
    )


@router.get("/actions/{name:path}", operation_id="getAction")
async def get_action(platform: Here, name: str) -> ActionForm:
    """Get an action with the JSON Schema of its arguments."""
    operation = platform.action.find(name)
    concurrency = operation.policy.concurrency
    return ActionForm(
        name=operation.name,
        description=operation.description,
        labels=list(operation.policy.labels),
        arguments=operation.form.schema,
        timeout=operation.policy.timeout,
        retries=operation.policy.retry.limit if operation.policy.retry else 0,
        concurrency=concurrency.places if concurrency else None,
        per=list(concurrency.per) if concurrency else [],
        when_full=concurrency.when_full if concurrency else None,
        confirm=operation.policy.confirm is not None,
        grace=operation.policy.grace,
        process=operation.policy.process,
    )


@router.post("/actions/{name:path}/question", operation_id="askAction")
async def ask_action(platform: Here, home: Opened, name: str, arguments: Arguments = None) -> Question:
    """Get the question to confirm before the action is started with these arguments. Nothing is started."""
    operation = platform.action.find(name)
    return Question(question=operation.question(operation.form.bind(arguments or {}, home.runs.files.shelf.find)))


@router.post("/actions/{name:path}/runs", operation_id="startAction", status_code=202, openapi_extra=_FORM)
async def start_action(
    platform: Here,
    home: Opened,
    by: By,
    request: Request,
    response: Response,
    name: str,
    arguments: Arguments = None,
    key: Key = None,
) -> Started:
    """Start an action. Responds when its run is committed, without waiting for its end."""
    run = (await _start(platform, home, by, name, arguments, key)).id
    url = f"{request.scope.get('root_path', '')}/runs/{run}"
    response.headers["location"] = url
    return Started(run=run, url=url)


async def _start(
    platform: Platform, home: Home, by: Trigger, name: str, arguments: dict[str, Any] | None, key: str | None
) -> RunHandle | Run:
    """Start the action; returns the earlier run if it was already started with the same key."""
    operation = platform.action.find(name)
    call = operation.form.bind(arguments or {}, home.runs.files.shelf.find)
    once = None if key is None else f"press {operation.name} {key}"
    try:
        return await home.runs.start(operation, call, trigger=by, once=once)
    except AlreadyStarted as error:
        return await first_run(home, key, error)
