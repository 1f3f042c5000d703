"""A key as it was at one moment, and what is raised when it is in another version than expected."""

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

    #: it got a value
    SET = "set"
    #: somebody removed it
    REMOVED = "removed"
    #: its time was over
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A key with its value, and how it came to that."""

    namespace: str
    key: str
    #: None where there is none, see :attr:`has_value`
    value: Any
    #: 1, 2, 3... one more for each change of the key, never going back
    version: int
    #: what made this version
    event: Event = Event.SET
    #: False if it was removed or expired, and for an earlier version whose value was too long to be kept
    has_value: bool = True
    #: when this version was made
    updated_at: datetime
    #: from when on the key is not there; None for never
    expires_at: datetime | None = None
    #: the run in which it was written; None outside of any
    run: int | None = None
    #: who wrote it, as far as is known
    actor: str | None = None

    @classmethod
    def of(cls, row: KeyValue) -> Entry:
        """From the row of a store."""
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
        """From the row of a store's history."""
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
    """A key is not in the version in which it was to be written. Nothing was written.

    Attributes:
        namespace: Where the key is.
        key: Its name.
        expected: The version it was expected in; None if it was expected not to be there.
        found: The version it is in; None if it is not there.
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
