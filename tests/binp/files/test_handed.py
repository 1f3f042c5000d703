"""Files that go to another process and come back, as JSON and on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from binp.errors import BinpError
from binp.files import File, FileTooLarge, finder, give_back, hand_over, place_of, take_back
from binp.operations import as_json


def on_disk(path: Path, content: bytes, name: str, token: str | None = None) -> File:
    path.write_bytes(content)
    made = File(path, name=name)
    return made.moved(path, size=len(content), sha256=hashlib.sha256(content).hexdigest(), token=token)


def test_what_stands_for_a_file_leads_to_it(tmp_path: Path) -> None:
    """A file is found by its number, its token and its digest; of two with one content each keeps its name."""
    files = [on_disk(tmp_path / "1", b"x", "a.csv", "t1"), on_disk(tmp_path / "2", b"x", "b.md")]
    find = finder(json.loads(json.dumps(hand_over(files))))

    for described in (place_of(0), {"$file": "a.csv", "upload": "t1"}, {**files[0].described(), "size": 5}):
        found = find(described)
        assert found is not None
        assert (found.name, found.type, found.size, found.read_bytes()) == ("a.csv", "text/csv", 1, b"x")
    second = [find(place_of(1)), find(files[1].described())]
    assert [one and (one.name, one.type) for one in second] == [("b.md", "text/markdown")] * 2
    for described in ({"$file": "x"}, {"$file": "x", "upload": "t2"}, {"$file": "x", "sha256": "0"}, place_of(2)):
        assert find(described) is None


@dataclass
class Report:
    title: str
    sheets: list[File]


async def round_trip(value: Any, place: Path, limit: int = 100) -> Any:
    told = json.loads(json.dumps(await give_back(value, f"{place}/", limit)))
    return take_back(json.loads(as_json(value)), told)


async def test_what_is_returned_comes_back(tmp_path: Path) -> None:
    """Files come back at any depth; what only looks like one stays what it is."""
    fake = {"$file": "x", "sha256": "0" * 64}
    value = [Report("r", [File(b"1", name="a.csv"), File(iter([b"2", b"3"]), name="b.md")]), fake, None, 5]

    came = await round_trip(value, tmp_path)

    assert came[1:] == [fake, None, 5]
    assert came[0]["title"] == "r"
    first, second = came[0]["sheets"]
    assert (first.name, first.type, second.name, second.type) == ("a.csv", "text/csv", "b.md", "text/markdown")

    async def call(function: Any, *arguments: Any) -> Any:
        return function(*arguments)

    assert [[chunk async for chunk in one.chunks(call)] for one in (first, second)] == [[b"1"], [b"23"]]


async def test_what_cannot_come_back_is_told(tmp_path: Path) -> None:
    """A file that is too large, or is made of something else than bytes, is refused by its name."""
    with pytest.raises(FileTooLarge, match="big has more than 3 bytes"):
        await round_trip(File(b"1234", name="big"), tmp_path, 3)
    with pytest.raises(BinpError, match="odd yields str, not bytes"):
        await round_trip(File(iter(["1"]), name="odd"), tmp_path)  # type: ignore[arg-type, list-item]
