"""Key-value state: look at it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from ._models import Key
from ._platform import Opened

__all__ = ["router"]

router = APIRouter(prefix="/kv", tags=["kv"])

# names may contain anything, slashes too, so they travel in the query
Name = Annotated[str, Query(max_length=1000)]


@router.get("/namespaces", operation_id="listNamespaces")
async def list_namespaces(home: Opened) -> list[str]:
    """Namespaces that have at least one key."""
    return await home.store.namespaces()


@router.get("/keys", operation_id="listKeys")
async def list_keys(
    home: Opened,
    namespace: Name = "default",
    prefix: Name = "",
    after: Name = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> list[Key]:
    """Keys of a namespace, by name, behind *after*."""
    return [Key.of(row) for row in await home.store.list_keys(namespace, prefix=prefix, after=after, limit=limit)]


@router.get("/value", operation_id="getValue")
async def get_value(home: Opened, key: Name, namespace: Name = "default") -> Key:
    """One key."""
    found = await home.store.get_key(namespace, key)
    if found is None:
        raise HTTPException(404, f"key {key} not found in namespace {namespace}")
    return Key.of(found)
