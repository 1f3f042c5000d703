"""Delete runs with all that belongs to them, in a transaction that is open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import orjson

from ._file import File
from ._index import SLICE, take_out, tidy

__all__ = ["KEPT_RECORDS", "erase", "release_labels", "thin"]

#: the first records of a run, which go with it and not before it: whatever else is kept of its records is made of these
KEPT_RECORDS = 1000


def erase(file: File, ids: Sequence[int]) -> list[int]:
    """Delete the runs *ids* with their records and labels, and what they are searched by.

    One that has not ended stays, and so does one with a child that has not; children outlive their parents otherwise.

    Returns:
        The ids of those that were deleted.
    """
    # each once: it is counted what goes
    found = [run for run, _ in file.ask("find_erasable", list(dict.fromkeys(ids)))]
    if found:
        # what it consists of has to be there still
        is_hollow = take_out(file, found)
        release_labels(file, found)
        file.bulk("erase_records", found)
        file.bulk("erase_steps", found)
        file.bulk("erase_runs", found)
        if is_hollow:
            tidy(file, SLICE)
    return found


def release_labels(file: File, runs: Sequence[int]) -> None:
    """The labels of *runs*, which are about to go, are labels of so many runs less; those of none go as well."""
    labels = Counter(label for text in file.ask("get_labels", runs) for label in orjson.loads(text))
    if labels:
        left = file.bulk("release_labels", list(labels.items())).fetchall()
        unused = [label for label, number in left if number <= 0]
        file.forget_labels(text for (text,) in file.bulk("drop_labels", unused).fetchall())


def thin(file: File, run: int, most: int) -> int:
    """Delete up to *most* records of *run*, the last ones first, so that what is left of it is soon erased.

    The first :data:`KEPT_RECORDS` stay. It has to be one that :func:`erase` would delete.

    Returns:
        How many were deleted.
    """
    return file.run("thin_records", {"run": run, "kept": KEPT_RECORDS, "most": most}).rowcount
