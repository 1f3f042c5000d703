"""What may be asked of a run, beyond what has a field of its own in a query."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Condition", "Key"]


class Key(enum.StrEnum):
    """What a condition is about."""

    #: words that it has anywhere in its texts: operation, labels, arguments, records and their fields, error
    TEXT = "text"
    #: exact name of the operation
    ACTION = "action"
    #: one of :class:`State`
    STATE = "state"
    #: exact label
    LABEL = "label"
    #: exact name of who started it
    BY = "by"
    #: what started it
    TRIGGER = "trigger"
    #: process that held it last
    NODE = "node"
    #: id of the run inside which it was started
    PARENT = "parent"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that holds for a run, or does not hold for it.

    A text is looked for word by word: letters and digits count, case and accents do not, and several words have to
    stand next to each other in this order. A text without letters and digits is found nowhere. Of a run's records the
    first thousand are looked at, and of very long texts the beginning.
    """

    key: Key
    #: any one of these; at least one
    values: tuple[str, ...]
    #: none of them
    negated: bool = False
