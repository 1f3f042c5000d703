"""Search conditions for runs, beyond those that have a field of their own in a query."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["Condition", "Key"]


class Key(enum.StrEnum):
    """The subject of a condition."""

    #: words in any of the run's texts: operation, labels, arguments, records and their fields, error
    TEXT = "text"
    #: exact name of the operation
    ACTION = "action"
    #: a :class:`State`
    STATE = "state"
    #: exact label
    LABEL = "label"
    #: exact name of who started it
    BY = "by"
    #: what started it
    TRIGGER = "trigger"
    #: the process that held it last
    NODE = "node"
    #: id of the run in which it was started
    PARENT = "parent"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that a run must, or must not, fulfil.

    Texts are searched word by word: only letters and digits count, case and accents are ignored, and several words must
    be adjacent and in order. A text without letters and digits matches nothing. Only the first thousand records of a
    run, and the beginning of very long texts, are searched.
    """

    key: Key
    #: at least one; any of these must match
    values: tuple[str, ...]
    #: none of them may match
    negated: bool = False
