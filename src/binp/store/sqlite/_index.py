"""Write the index of runs, in parts: what has ended gets into it, and a part goes when most of its runs are erased."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import orjson

from ._file import File

__all__ = ["SLICE", "merge", "put_in", "renew", "take_out", "tidy"]

#: runs that get into the index at a time: others wait for the file meanwhile
SLICE = 256
#: records that are read for them, which is most of the work: so many of a run at most, and then of all together
_READ, _HEAVY = 1000, 2000
#: runs of a part, after which the next one begins
_FULL = 65_536
#: stale ones in a part, above which it goes if they are most of it
_STALE = 256
#: pages, of a kilobyte, that are brought together at a time
_MERGED = 256
#: pages that are let go at a time of a part that nobody asks any more
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
    """Put some runs that have ended into the index, and count them; returns how many. A transaction is open."""
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
    """Take *runs*, which have ended and are about to be erased, out of the index. A transaction is open.

    Their part is not written anew for them: when they are erased it can be :func:`tidy`-ed.

    Returns:
        Whether nothing else is in their part, or in one of theirs.
    """
    is_hollow = False
    for part, inside in _by_part(_parts(file), _forget(file, runs)):
        file.run("empty_part", {"number": part.number, "erased": len(inside)})
        is_hollow |= part.erased + len(inside) >= part.documents
    return is_hollow


def renew(file: File, runs: Sequence[int]) -> None:
    """Let *runs*, which have ended and are about to change, get into the index anew. A transaction is open."""
    for part, inside in _by_part(_parts(file), _forget(file, runs)):
        # what it consists of is as it was when it got there
        file.run_in_part(part.number, "withdraw_runs", (orjson.dumps(inside).decode(),))
        file.run("fill_part", {"number": part.number, "last": 0, "documents": -len(inside)})
    file.bulk("wait_again", runs)


def _forget(file: File, runs: Sequence[int]) -> list[int]:
    """*runs* wait for nothing and are not counted any more; returns those that are in the index."""
    waiting = set(file.json("are_waiting", (orjson.dumps(list(runs)).decode(),)))
    if waiting:
        file.bulk("stop_waiting", list(waiting))
    inside = [run for run in runs if run not in waiting]
    if inside:
        file.bulk("untally_runs", inside)
        file.bulk("drop_tallies", inside)
    return inside


def merge(file: File) -> bool:
    """Bring some of what is in the index together; returns whether there was anything to do. A transaction is open."""
    if _clear(file):
        return True
    parts = _parts(file)
    if _merge_part(file, parts[-1], _MERGED):
        return True
    for part in parts[:-1]:
        if part.merged != _TIGHT:
            # nothing, or little, is going to be added to it: one list for each word
            changed = _merge_part(file, part, _MERGED if part.merged else -_MERGED)
            file.run("set_merged", {"number": part.number, "merged": _MERGING if changed else _TIGHT})
            return True
    return False


def _merge_part(file: File, part: _Part, pages: int) -> bool:
    before = file.connection.total_changes
    file.run_in_part(part.number, "merge_part", (pages,))
    # the command itself is one change
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
    """The first of *found*, runs with the number of their records, that do not take long; one at least."""
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
    """A further part, behind all that is in the newest one."""
    # after a part was emptied into a newer one, the last one has not the largest number; what is left of one that
    # nobody asks any more has its own still
    number = file.one("last_part")[0] + 1
    made = _Part(number, newest.last + 1, 0, 0, 0, _LOOSE)
    for name in ("make_part", "prepare_part", "page_part"):
        file.run_in_part(number, name)
    file.run("add_part", (made.number, made.first))
    return made


def tidy(file: File, most: int) -> int:
    """Move some of what is left of a part that is mostly stale into the next one; let it go when nothing is left.

    The next part begins earlier each time: what of the old one lies behind that is not looked at any more. Its pages
    are many, so they go a few at a time, before another part has its turn. A transaction is open.

    Args:
        file: The file.
        most: How many runs are moved, up to a slice.

    Returns:
        How many were moved, or 1 for another step; 0 when all is tidy.
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
                # otherwise all that was moved would be brought together at once some time
                _merge_part(file, following, _MERGED)
            if first == part.first:
                # nothing is left, or the run with which it began was the last: no two parts begin with the same
                file.run("leave_part", (part.number,))
                file.run_in_part(part.number, "hollow_part")
            file.run("move_part", {"number": following.number, "first": first})
            return len(moved) or 1
    return 0


def _clear(file: File) -> bool:
    """Let go of some pages of a part that nobody asks any more, and of the part with the last; whether there is one."""
    found = file.one("left_part")
    if found is None:
        return False
    (number,) = found
    if file.run_in_part(number, "clear_part", (_CLEARED,)).rowcount < _CLEARED:
        file.run("forget_part", (number,))
        file.run_in_part(number, "drop_part")
    return True
