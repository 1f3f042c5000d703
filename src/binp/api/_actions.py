"""Actions: list them, look at their forms, start them."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from binp.action import ActionInfo
from binp.auth import Problem
from binp.home import Home
from binp.runs import RunHandle, Trigger
from binp.store.contract import State

from ._models import ActionForm, InvokeResult, Started
from ._platform import By, Here, Opened, Platform
from ._problems import answer

__all__ = ["router"]

router = APIRouter(tags=["actions"])

Arguments = Annotated[dict[str, Any] | None, Body(description="arguments by name")]


@router.get("/actions/", operation_id="listActions")
async def list_actions(platform: Here) -> list[ActionInfo]:
    """The actions, in the order of their definition."""
    return platform.action.actions


@router.post("/action/{name:path}", operation_id="invokeAction", response_model=InvokeResult)
async def invoke_action(platform: Here, home: Opened, by: By, name: str, arguments: Arguments = None) -> Any:
    """Start an action and wait for its end. The run goes on when the client does not wait that long."""
    handle = await _start(platform, home, by, name, arguments)
    run = await handle.wait()
    if run.state is State.SUCCEEDED:
        result = None if run.result is None else json.loads(run.result)
        return InvokeResult(name=name, duration=(run.duration or 0) / 1e6, run=run.id, result=result)
    return answer(
        Problem(
            status=409 if run.state is State.CANCELLED else 500,
            code=f"run-{run.state}",
            detail=run.error or str(run.state),
            fix=f"the run {run.id} has its records and, if it failed, its traceback",
            extra={"run": run.id, "error_type": run.error_type},
        )
    )


@router.get("/actions/{name:path}", operation_id="getAction")
async def get_action(platform: Here, name: str) -> ActionForm:
    """An action with the JSON Schema of its arguments."""
    operation = platform.action.find(name)
    return ActionForm(
        name=operation.name,
        description=operation.description,
        labels=list(operation.policy.labels),
        arguments=operation.form.schema,
    )


@router.post("/actions/{name:path}/runs", operation_id="startAction", status_code=202)
async def start_action(
    platform: Here, home: Opened, by: By, request: Request, response: Response, name: str, arguments: Arguments = None
) -> Started:
    """Start an action; the answer comes when its run is committed, and does not wait for its end."""
    handle = await _start(platform, home, by, name, arguments)
    url = f"{request.scope.get('root_path', '')}/runs/{handle.id}"
    response.headers["location"] = url
    return Started(run=handle.id, url=url)


async def _start(platform: Platform, home: Home, by: Trigger, name: str, arguments: dict[str, Any] | None) -> RunHandle:
    operation = platform.action.find(name)
    return await home.runs.start(operation, operation.form.bind(arguments or {}), trigger=by)
