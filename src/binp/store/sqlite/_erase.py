"""Delete runs with all that belongs to them, in a transaction that is open."""

from __future__ import annotations

from collections.abc import Sequence

from ._file import File
from ._index import take_out

__all__ = ["KEPT_RECORDS", "erase", "thin"]

#: the first records of a run, which go with it and not before it: whatever else is kept of its records is made of these
KEPT_RECORDS = 1000


def erase(file: File, ids: Sequence[int]) -> list[int]:
    """Delete the runs *ids* with their records and labels, and what they are searched by.

    One that has not ended stays, and so does one with a child that has not; children outlive their parents otherwise.

    Returns:
        The ids of those that were deleted.
    """
    found = [run for run, _ in file.ask("find_erasable", ids)]
    if found:
        # what it consists of has to be there still
        take_out(file, found)
        # the labels first: which they are stands in the runs
        labels = {label for (label,) in file.bulk("erase_labels", found).fetchall()}
        if labels:
            file.forget_labels(text for (text,) in file.bulk("drop_labels", list(labels)).fetchall())
        file.bulk("erase_records", found)
        file.bulk("erase_steps", found)
        file.bulk("erase_runs", found)
    return found


def thin(file: File, run: int, most: int) -> int:
    """Delete up to *most* records of *run*, the last ones first, so that what is left of it is soon erased.

    The first :data:`KEPT_RECORDS` stay. It has to be one that :func:`erase` would delete.

    Returns:
        How many were deleted.
    """
    return file.run("thin_records", {"run": run, "kept": KEPT_RECORDS, "most": most}).rowcount
