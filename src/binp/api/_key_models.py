"""What goes over the wire of keys."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from binp.store.contract import KeyValue, KeyVersion, as_datetime

from ._strict import Strict

__all__ = ["Key", "KeyDetail", "KeyPut", "KeyState", "KeyWritten"]


class Key(BaseModel):
    """A key as it is listed."""

    namespace: str
    key: str
    #: null for one that is too long, and for NaN and infinity
    value: Any
    #: the value is too long to be listed
    is_cut: bool
    module: str | None
    version: int
    updated_at: datetime
    #: from when on it is not there any more
    expires_at: datetime | None
    #: in which it was written
    run: int | None
    #: who wrote it, as far as is known
    actor: str | None

    @classmethod
    def of(cls, row: KeyValue, longest: int) -> Key:
        """From the row of a store, without a value that is longer."""
        return cls(**_key_fields(row, longest))


class KeyDetail(Key):
    """A key with its value."""

    #: the value exactly as it is kept: JSON, or NaN and the like, and integers of any size
    text: str

    @classmethod
    def whole(cls, row: KeyValue) -> KeyDetail:
        """From the row of a store."""
        return cls(**_key_fields(row, len(row.value)), text=row.value)


class KeyPut(Strict):
    """Which key is written, and for how long."""

    key: str = Field(max_length=1000)
    namespace: str = Field("default", max_length=1000)
    ttl: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="seconds after which it is not there any more"
    )
    keep_ttl: bool = Field(False, description="it expires when it would have before")


class KeyWritten(BaseModel):
    """What a key has become."""

    namespace: str
    key: str
    version: int


class KeyState(BaseModel):
    """A version of a key."""

    version: int
    event: Literal["set", "removed", "expired"]
    #: null if there is none, or it is not kept, and for NaN and infinity
    value: Any
    #: exactly as it is kept; null if there is none, or it was too long
    text: str | None
    at: datetime
    run: int | None
    actor: str | None

    @classmethod
    def of(cls, row: KeyVersion) -> KeyState:
        """From the row of a store."""
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
    """The value of a JSON text, as far as JSON goes: NaN and infinity are null."""
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
