"""Durable key-value state in namespaces."""

from __future__ import annotations

from ._entry import Entry, Event, KeyConflict
from ._json import NotJson
from ._kv import KV
from ._listing import Listing
from ._watch import Watch

__all__ = ["KV", "Entry", "Event", "KeyConflict", "Listing", "NotJson", "Watch"]
