"""The models of keys in requests and responses."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from binp.store.contract import KeyValue, KeyVersion, as_datetime

from ._strict import Strict

__all__ = ["Key", "KeyDetail", "KeyPut", "KeyState", "KeyWritten"]


class Key(BaseModel):
    """A key in a list."""

    namespace: str
    key: str
    #: null for a value that is too long, and for NaN and infinity
    value: Any
    #: the value is too long for a list
    is_cut: bool
    module: str | None
    version: int
    updated_at: datetime
    #: when it expires
    expires_at: datetime | None
    #: the run that wrote it
    run: int | None
    #: who wrote it, if known
    actor: str | None

    @classmethod
    def of(cls, row: KeyValue, longest: int) -> Key:
        """Build it from a row of the store; a longer value is left out."""
        return cls(**_key_fields(row, longest))


class KeyDetail(Key):
    """A key with its value."""

    #: the value exactly as stored: JSON, or NaN and the like, and integers of any size
    text: str

    @classmethod
    def whole(cls, row: KeyValue) -> KeyDetail:
        """Build it from a row of the store."""
        return cls(**_key_fields(row, len(row.value)), text=row.value)


class KeyPut(Strict):
    """Which key to write, and its time to live."""

    key: str = Field(max_length=1000)
    namespace: str = Field("default", max_length=1000)
    ttl: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="seconds after which it is not there any more"
    )
    keep_ttl: bool = Field(False, description="it expires when it would have before")


class KeyWritten(BaseModel):
    """A written key."""

    namespace: str
    key: str
    version: int


class KeyState(BaseModel):
    """A version of a key."""

    version: int
    event: Literal["set", "removed", "expired"]
    #: null if there is none or it was not kept, and for NaN and infinity
    value: Any
    #: exactly as stored; null if there is none, or it was too long
    text: str | None
    at: datetime
    run: int | None
    actor: str | None

    @classmethod
    def of(cls, row: KeyVersion) -> KeyState:
        """Build it from a row of the store."""
        return cls(
            version=row.version,
            event="expired" if row.is_expired else "removed" if row.is_removed else "set",
            value=_json(row.value),
            text=row.value,
            at=as_datetime(row.at),
            run=row.run,
            actor=row.actor,
        )


def _json(text: str | None) -> Any:
    """The value of a JSON text; NaN and infinity become null."""
    return None if text is None else json.loads(text, parse_constant=lambda _: None)


def _key_fields(row: KeyValue, longest: int) -> dict[str, Any]:
    is_cut = len(row.value) > longest
    return {
        "namespace": row.namespace,
        "key": row.key,
        "value": None if is_cut else _json(row.value),
        "is_cut": is_cut,
        "module": row.module,
        "version": row.version,
        "updated_at": as_datetime(row.updated),
        "expires_at": None if row.expires is None else as_datetime(row.expires),
        "run": row.run,
        "actor": row.actor,
    }
