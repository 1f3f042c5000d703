"""An entry of the key-value store, and the error for a version conflict."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from binp.errors import BinpError
from binp.store.contract import KeyValue, KeyVersion, as_datetime

from ._json import decode

__all__ = ["Entry", "Event", "KeyConflict"]


class Event(enum.StrEnum):
    """What happened to a key."""

    #: it was written
    SET = "set"
    #: it was removed
    REMOVED = "removed"
    #: its time to live ended
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A key with its value, its version, and who wrote it when."""

    namespace: str
    key: str
    #: None if there is no value, see :attr:`has_value`
    value: Any
    #: 1, 2, 3...: grows by one with each change of the key, and never goes back
    version: int
    #: the change that made this version
    event: Event = Event.SET
    #: False if the key was removed or expired, and for an old version whose value was too long to keep
    has_value: bool = True
    #: when this version was made
    updated_at: datetime
    #: when the key expires; None for never
    expires_at: datetime | None = None
    #: the run that wrote it; None outside of a run
    run: int | None = None
    #: who wrote it, if known
    actor: str | None = None

    @classmethod
    def of(cls, row: KeyValue) -> Entry:
        """Build it from a row of the store."""
        return cls(
            namespace=row.namespace,
            key=row.key,
            value=decode(row.value),
            version=row.version,
            updated_at=as_datetime(row.updated),
            expires_at=None if row.expires is None else as_datetime(row.expires),
            run=row.run,
            actor=row.actor,
        )

    @classmethod
    def of_version(cls, namespace: str, key: str, row: KeyVersion) -> Entry:
        """Build it from a row of the store's history."""
        return cls(
            namespace=namespace,
            key=key,
            value=None if row.value is None else decode(row.value),
            version=row.version,
            event=Event.EXPIRED if row.is_expired else Event.REMOVED if row.is_removed else Event.SET,
            has_value=row.value is not None,
            updated_at=as_datetime(row.at),
            run=row.run,
            actor=row.actor,
        )


class KeyConflict(BinpError):
    """A key does not have the expected version. Nothing was written.

    Attributes:
        namespace: The namespace of the key.
        key: The key.
        expected: The expected version; None if the key was expected not to exist.
        found: The actual version; None if the key does not exist.
    """

    def __init__(self, namespace: str, key: str, expected: int | None, found: int | None) -> None:
        name = f"key {key!r} of namespace {namespace!r}"
        fix = "read it again with entry(), or let update() do that"
        if expected is None:
            what = f"{name} is there already, in version {found}"
            fix = "use put() to write it whether it is there or not"
        elif found is None:
            what = f"{name} is not there, and was expected in version {expected}"
        else:
            what = f"{name} is in version {found}, and was expected in version {expected}"
        super().__init__(what, namespace, key, expected, found, fix=fix)
        self.namespace = namespace
        self.key = key
        self.expected = expected
        self.found = found
