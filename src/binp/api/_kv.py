"""Key-value state: read it and change it."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response

from binp.home import Home
from binp.kv import KeyConflict
from binp.runs import now
from binp.store.contract import PutKey

from ._key_models import Key, KeyDetail, KeyPut, KeyState, KeyWritten
from ._platform import MAX_INTEGER, By, Opened

__all__ = ["router"]

router = APIRouter(prefix="/kv", tags=["kv"])

# names may contain anything, including slashes, so they are query parameters
Name = Annotated[str, Query(max_length=1000)]
IfMatch = Annotated[str | None, Header(description="the version that the key must have, as ETag")]
IfNoneMatch = Annotated[str | None, Header(description="`*`: the key must not be there")]

#: longer values are left out of lists, in characters
_LONGEST = 4096
#: the latest possible expiry, in microseconds since the epoch
_LAST = 2**53 - 1

_BODY = {"requestBody": {"required": True, "description": "the value", "content": {"application/json": {"schema": {}}}}}
_CONFLICT: dict[int | str, dict[str, Any]] = {412: {"description": "The key is in another version"}}


@router.get("/namespaces", operation_id="listNamespaces")
async def list_namespaces(home: Opened) -> list[str]:
    """List the namespaces that have at least one key."""
    return await home.store.namespaces()


@router.get("/keys", operation_id="listKeys")
async def list_keys(
    home: Opened,
    namespace: Name = "default",
    prefix: Name = "",
    after: Name = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> list[Key]:
    """List the keys of a namespace after *after*, by name. Values of more than 4,096 characters are left out."""
    rows = await home.store.list_keys(namespace, prefix=prefix, after=after, limit=limit)
    return [Key.of(row, longest=_LONGEST) for row in rows]


@router.get(
    "/value", operation_id="getValue", response_model=KeyDetail, responses={304: {"description": "It has this version"}}
)
async def get_value(
    home: Opened, response: Response, key: Name, namespace: Name = "default", if_none_match: IfNoneMatch = None
) -> Any:
    """Get a key, with its version as ETag."""
    found = await home.store.get_key(namespace, key)
    if found is None:
        raise _missing(namespace, key)
    response.headers["etag"] = _etag(found.version)
    if if_none_match == _etag(found.version):
        return Response(status_code=304, headers={"etag": _etag(found.version)})
    return KeyDetail.whole(found)


@router.put("/value", operation_id="putValue", openapi_extra=_BODY, responses=_CONFLICT)
async def put_value(
    home: Opened,
    by: By,
    request: Request,
    response: Response,
    wanted: Annotated[KeyPut, Query()],
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> KeyWritten:
    """Write a key; the body is its value. Conditional on its version with ``If-Match`` or ``If-None-Match``."""
    at = now()
    write = PutKey(
        namespace=wanted.namespace,
        key=wanted.key,
        value=_value(await request.body()),
        expires=None if wanted.ttl is None else min(at + int(wanted.ttl * 1e6), _LAST),
        keeps_expiry=wanted.keep_ttl,
        expected=_expected(if_match, if_none_match),
        actor=by.actor,
        at=at,
    )
    version = await _write(home, write)
    response.headers["etag"] = _etag(version)
    return KeyWritten(namespace=wanted.namespace, key=wanted.key, version=version)


@router.delete("/value", operation_id="removeValue", status_code=204, responses=_CONFLICT)
async def remove_value(home: Opened, by: By, key: Name, namespace: Name = "default", if_match: IfMatch = None) -> None:
    """Remove a key; with ``If-Match`` only that version."""
    expected = _expected(if_match, None)
    write = PutKey(namespace=namespace, key=key, value=None, expected=expected, actor=by.actor, at=now())
    if not await _write(home, write):
        raise _missing(namespace, key)


@router.get("/history", operation_id="listVersions")
async def list_versions(
    home: Opened, key: Name, namespace: Name = "default", limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> list[KeyState]:
    """List the stored versions of a key, newest first, including removals."""
    found = await home.store.get_key_history(namespace, key, limit=limit)
    if not found:
        raise _missing(namespace, key)
    return [KeyState.of(row) for row in found]


async def _write(home: Home, write: PutKey) -> int:
    """The version of the key after *write*; 0 if there was nothing to remove."""
    done = await home.store.write(write)
    if not done.is_done:
        raise KeyConflict(write.namespace, write.key, write.expected or None, done.version or None)
    return int(done.version)


def _value(body: bytes) -> str:
    """The JSON text of the sent value."""
    try:
        return json.dumps(json.loads(body, parse_constant=_refuse), ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise HTTPException(422, f"the body is not JSON: {error}") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _expected(if_match: str | None, if_none_match: str | None) -> int | None:
    """The version that the headers require; None for any, 0 if the key must not exist."""
    if if_none_match is not None:
        if if_none_match.strip() != "*" or if_match is not None:
            raise HTTPException(422, "If-None-Match is '*' here, and is not combined with If-Match")
        return 0
    if if_match is None:
        return None
    text = if_match.strip().strip('"')
    if not (text.isascii() and text.isdigit() and 0 < int(text[:17]) <= MAX_INTEGER):
        raise HTTPException(422, 'If-Match names one version, as in If-Match: "5"')
    return int(text)


def _etag(version: int) -> str:
    return f'"{version}"'


def _missing(namespace: str, key: str) -> HTTPException:
    return HTTPException(404, f"key {key} not found in namespace {namespace}")
