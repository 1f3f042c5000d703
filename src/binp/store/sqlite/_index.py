"""Write the full-text index of runs, in parts: ended runs are added, and parts with mostly erased runs are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import orjson

from ._file import File

__all__ = ["SLICE", "merge", "put_in", "renew", "take_out", "tidy"]

#: maximum number of runs to index at a time: other writers have to wait meanwhile
SLICE = 256
#: maximum number of records to read for this, which is most of the work: per run, and in all
_READ, _HEAVY = 1000, 2000
#: number of runs in a part, after which the next part starts
_FULL = 65_536
#: a part with more than this number of stale runs is dropped if they are the majority
_STALE = 256
#: number of pages, of one kilobyte, to merge at a time
_MERGED = 256
#: number of pages to delete at a time from a part that is no longer used
_CLEARED = 512
#: how far a part is merged
_LOOSE, _MERGING, _TIGHT = range(3)


@dataclass(frozen=True, slots=True)
class _Part:
    number: int
    first: int
    last: int
    documents: int
    erased: int
    merged: int

    @property
    def is_stale(self) -> bool:
        return self.erased > max(_STALE, self.documents // 2)


def put_in(file: File) -> int:
    """Add some ended runs to the index, and tally them; returns how many. A transaction is open."""
    runs = _bearable(file.json("waiting", (SLICE,)))
    if runs:
        _index(file, _parts(file), runs)
        file.bulk("tally_runs", runs)
        file.bulk("stop_waiting", runs)
        newest = _parts(file)[-1]
        _merge_part(file, newest, _MERGED)
        if newest.documents >= _FULL:
            _begin(file, newest)
    return len(runs)


def take_out(file: File, runs: Sequence[int]) -> bool:
    """Remove *runs*, which have ended and are about to be erased, from the index. A transaction is open.

    Their entries stay in the part as stale ones, until :func:`tidy` removes them.

    Returns:
        Whether a part has only stale entries now.
    """
    is_hollow = False
    for part, inside in _by_part(_parts(file), _forget(file, runs)):
        file.run("empty_part", {"number": part.number, "erased": len(inside)})
        is_hollow |= part.erased + len(inside) >= part.documents
    return is_hollow


def renew(file: File, runs: Sequence[int]) -> None:
    """Index *runs*, which have ended and are about to change, again. A transaction is open."""
    for part, inside in _by_part(_parts(file), _forget(file, runs)):
        # the entries have to be removed with the content with which they were added
        file.run_in_part(part.number, "withdraw_runs", (orjson.dumps(inside).decode(),))
        file.run("fill_part", {"number": part.number, "last": 0, "documents": -len(inside)})
    file.bulk("wait_again", runs)


def _forget(file: File, runs: Sequence[int]) -> list[int]:
    """Remove *runs* from the queue and from the tally; returns those that are in the index."""
    waiting = set(file.json("are_waiting", (orjson.dumps(list(runs)).decode(),)))
    if waiting:
        file.bulk("stop_waiting", list(waiting))
    inside = [run for run in runs if run not in waiting]
    if inside:
        file.bulk("untally_runs", inside)
        file.bulk("drop_tallies", inside)
    return inside


def merge(file: File) -> bool:
    """Merge a piece of the index; returns whether there was anything to do. A transaction is open."""
    if _clear(file):
        return True
    parts = _parts(file)
    if _merge_part(file, parts[-1], _MERGED):
        return True
    for part in parts[:-1]:
        if part.merged != _TIGHT:
            # few or no further runs will be added: merge to a single segment
            changed = _merge_part(file, part, _MERGED if part.merged else -_MERGED)
            file.run("set_merged", {"number": part.number, "merged": _MERGING if changed else _TIGHT})
            return True
    return False


def _merge_part(file: File, part: _Part, pages: int) -> bool:
    before = file.connection.total_changes
    file.run_in_part(part.number, "merge_part", (pages,))
    # the command itself counts as one change
    return file.connection.total_changes - before > 1


def _parts(file: File) -> list[_Part]:
    return [_Part(*row) for row in file.run("get_parts").fetchall()]


def _by_part(parts: Sequence[_Part], runs: Sequence[int]) -> list[tuple[_Part, list[int]]]:
    ends = [part.first for part in parts[1:]]
    found: dict[int, list[int]] = {}
    place = 0
    for run in sorted(runs):
        while place < len(ends) and run >= ends[place]:
            place += 1
        found.setdefault(place, []).append(run)
    return [(parts[place], inside) for place, inside in found.items()]


def _bearable(found: Sequence[tuple[int, int]]) -> list[int]:
    """The first of *found*, pairs of run and number of records, that can be indexed quickly; at least one."""
    runs: list[int] = []
    weight = 0
    for run, records in found:
        weight += min(records, _READ)
        if runs and weight > _HEAVY:
            break
        runs.append(run)
    return runs


def _index(file: File, parts: Sequence[_Part], runs: Sequence[int]) -> None:
    for part, inside in _by_part(parts, runs):
        file.run_in_part(part.number, "index_runs", (orjson.dumps(inside).decode(),))
        file.run("fill_part", {"number": part.number, "last": inside[-1], "documents": len(inside)})


def _begin(file: File, newest: _Part) -> _Part:
    """Start a new part, after the newest one."""
    # the last part need not have the largest number, after a part was emptied into a newer one; and a part that is no
    # longer used keeps its number until it is deleted
    number = file.one("last_part")[0] + 1
    made = _Part(number, newest.last + 1, 0, 0, 0, _LOOSE)
    for name in ("make_part", "prepare_part", "page_part"):
        file.run_in_part(number, name)
    file.run("add_part", (made.number, made.first))
    return made


def tidy(file: File, most: int) -> int:
    """Move some of the remaining runs of a mostly stale part to the next part; drop the part when it is empty.

    The next part starts earlier each time, so moved entries of the old part are no longer used. The old part's many
    pages are deleted a few at a time, before another part is handled. A transaction is open.

    Args:
        file: The file.
        most: Maximum number of runs to move, up to a slice.

    Returns:
        The number of moved runs, or 1 for another step; 0 when everything is tidy.
    """
    if _clear(file):
        return 1
    parts = _parts(file)
    if len(parts) == 1 and parts[0].is_stale:
        parts.append(_begin(file, parts[0]))
    for part, following in pairwise(parts):
        if part.is_stale:
            bounds = {"first": part.first, "before": following.first, "most": min(most, SLICE)}
            moved = _bearable(file.json("last_indexed", bounds))
            first = min(moved, default=part.first)
            if moved:
                _index(file, [following], moved)
                # otherwise all moved entries would be merged at once later
                _merge_part(file, following, _MERGED)
            if first == part.first:
                # nothing is left, or only the first run was: two parts cannot start with the same run
                file.run("leave_part", (part.number,))
                file.run_in_part(part.number, "hollow_part")
            file.run("move_part", {"number": following.number, "first": first})
            return len(moved) or 1
    return 0


def _clear(file: File) -> bool:
    """Delete some pages of a part that is no longer used, finally the part itself; returns whether there is one."""
    found = file.one("left_part")
    if found is None:
        return False
    (number,) = found
    if file.run_in_part(number, "clear_part", (_CLEARED,)).rowcount < _CLEARED:
        file.run("forget_part", (number,))
        file.run_in_part(number, "drop_part")
    return True
