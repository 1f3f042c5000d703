"""Turn every refusal and failure into the same JSON shape."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from binp.auth import Problem
from binp.errors import BinpError
from binp.files import FileGone, FilesFull, FileTooLarge
from binp.kv import KeyConflict
from binp.operations import InvalidArguments, UnknownOperation
from binp.runs import RunLost, TooManyRuns
from binp.store.contract import BadLine, StoreClosed, StoreError
from binp.store.query import BadQuery

from ._bounds import BodyTooLarge, too_large
from ._once import FirstErased

__all__ = ["answer", "handle_problems"]


def answer(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """The response for *problem*."""
    return JSONResponse(
        problem.as_dict(), status_code=problem.status, headers=headers, media_type="application/problem+json"
    )


def handle_problems(app: FastAPI) -> None:
    """Let *app* respond with a problem to every exception."""
    for kind, make in _MAKERS.items():
        app.add_exception_handler(kind, _handler(make))


def _handler(make: Callable[[Any], Problem]) -> Callable[[Request, Exception], Awaitable[Response]]:
    # async, because a sync handler would be called in a thread
    async def handle(request: Request, error: Exception) -> Response:
        problem = make(error)
        headers = dict(getattr(error, "headers", None) or {})
        if problem.status == 503:
            headers.setdefault("retry-after", "1")
        return answer(problem, headers)

    return handle


def _refused(error: HTTPException) -> Problem:
    # Starlette's own messages, if no route matches
    fixes = {
        "Not Found": "there is no such route: GET /internal/docs shows all of them",
        "Method Not Allowed": f"use {(error.headers or {}).get('Allow', 'another method')}",
    }
    return Problem(status=error.status_code, code="refused", detail=str(error.detail), fix=fixes.get(str(error.detail)))


def _invalid_request(error: RequestValidationError) -> Problem:
    found = error.errors()
    problems = [{"loc": list(one["loc"]), "msg": one["msg"], "type": one["type"]} for one in found]
    text = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems)
    fix = None
    if found and found[0]["type"] == "json_invalid":
        place, why = found[0]["loc"][-1], found[0].get("ctx", {}).get("error", "it ends too early")
        text = f"the body is not JSON: {why} at character {place}"
    elif isinstance(error.body, bytes | str):
        # FastAPI only parses a body as JSON with the right Content-Type
        fix = "send JSON, with the header Content-Type: application/json"
    return Problem(status=422, code="invalid-request", detail=text, fix=fix, extra={"errors": problems})


def _invalid_arguments(error: InvalidArguments) -> Problem:
    return Problem(status=422, code="invalid-arguments", detail=error.what, extra={"errors": error.errors})


def _bad_query(error: BadQuery) -> Problem:
    extra = {"where": error.where, "start": error.start, "stop": error.stop}
    return Problem(status=422, code="bad-query", detail=error.what, fix=error.fix, extra=extra)


def _unknown(error: UnknownOperation) -> Problem:
    # the wording is kept for compatibility
    return Problem(status=404, code="unknown", detail=f"{error.kind} {error.name} not found", fix=error.fix)


def _lost(error: RunLost) -> Problem:
    return Problem(status=404, code="unknown", detail=error.what)


def _conflict(error: KeyConflict) -> Problem:
    extra = {"expected": error.expected, "found": error.found}
    return Problem(status=412, code="conflict", detail=error.what, fix="read it again, and decide anew", extra=extra)


def _bad_line(error: BadLine) -> Problem:
    return Problem(status=422, code="bad-line", detail=error.what, fix=error.fix, extra={"line": error.line})


def _large(error: FileTooLarge | FilesFull) -> Problem:
    return Problem(status=413, code="too-large", detail=error.what, fix=error.fix, extra={"where": error.where})


def _gone(error: FileGone) -> Problem:
    return Problem(status=410, code="gone", detail=error.what, fix=error.fix, extra={"where": error.where})


def _erased(error: FirstErased) -> Problem:
    fix = "nothing was started; if it is to be started once more, send it with another key"
    return Problem(status=410, code="gone", detail=error.detail, fix=fix, extra={"run": error.run})


def _busy(error: BinpError) -> Problem:
    # temporary: the same server, or the next one, will accept it later
    passes = isinstance(error, TooManyRuns | StoreClosed)
    return Problem(status=503, code="unavailable", detail=error.what, fix=error.fix, extra={"passes": passes})


def _ours(error: BinpError) -> Problem:
    return Problem(status=500, code="error", detail=error.what, fix=error.fix, extra={"where": error.where})


def _unexpected(error: Exception) -> Problem:
    return Problem(
        status=500,
        code="error",
        detail=f"the platform failed: {type(error).__name__}",
        fix="the log of the server has the traceback",
    )


_MAKERS: dict[type[Exception], Callable[[Any], Problem]] = {
    HTTPException: _refused,
    BodyTooLarge: too_large,
    FirstErased: _erased,
    RequestValidationError: _invalid_request,
    InvalidArguments: _invalid_arguments,
    BadQuery: _bad_query,
    UnknownOperation: _unknown,
    RunLost: _lost,
    KeyConflict: _conflict,
    FileTooLarge: _large,
    FilesFull: _large,
    FileGone: _gone,
    TooManyRuns: _busy,
    BadLine: _bad_line,
    StoreError: _busy,
    BinpError: _ours,
    Exception: _unexpected,
}
