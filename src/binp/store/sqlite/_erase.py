"""Delete runs with everything that belongs to them, in an open transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import orjson

from ._file import File
from ._index import SLICE, take_out, tidy

__all__ = ["KEPT_RECORDS", "erase", "release_labels", "thin"]

#: the first records of a run, which are only deleted together with it: everything derived from records uses only these
KEPT_RECORDS = 1000


def erase(file: File, ids: Sequence[int]) -> list[int]:
    """Delete the runs *ids* with their records and labels, and their entries in the index.

    Runs that have not ended, and runs with a child that has not, are kept. Other children outlive their parents.

    Returns:
        The ids of the deleted runs.
    """
    # without duplicates, because the deleted runs are counted
    found = [run for run, _ in file.ask("find_erasable", list(dict.fromkeys(ids)))]
    if found:
        # before the rows are deleted, because the index entries are derived from them
        is_hollow = take_out(file, found)
        release_labels(file, found)
        file.bulk("erase_records", found)
        file.bulk("erase_steps", found)
        file.bulk("erase_runs", found)
        if is_hollow:
            tidy(file, SLICE)
    return found


def release_labels(file: File, runs: Sequence[int]) -> None:
    """Decrease the counts of the labels of *runs*, which are about to be deleted; delete unused labels."""
    labels = Counter(label for text in file.ask("get_labels", runs) for label in orjson.loads(text))
    if labels:
        left = file.bulk("release_labels", list(labels.items())).fetchall()
        unused = [label for label, number in left if number <= 0]
        file.forget_labels(text for (text,) in file.bulk("drop_labels", unused).fetchall())


def thin(file: File, run: int, most: int) -> int:
    """Delete up to *most* records of *run*, the last ones first, so that deleting the rest is fast.

    The first :data:`KEPT_RECORDS` are kept. The run must be one that :func:`erase` would delete.

    Returns:
        Number of deleted records.
    """
    return file.run("thin_records", {"run": run, "kept": KEPT_RECORDS, "most": most}).rowcount
