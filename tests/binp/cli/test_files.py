"""Files that are named on the command line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from binp.cli._files import take_files
from binp.errors import UsageError

SCHEMA = {"properties": {"file": {"format": "binary", "x-max-bytes": 3}, "times": {"type": "integer"}}}


def test_a_path_becomes_a_file(tmp_path: Path) -> None:
    """A parameter that takes a file is given the file of that path; the others stay as they are."""
    (tmp_path / "x.csv").write_bytes(b"a,b")

    kept, files = take_files({"file": str(tmp_path / "x.csv"), "times": 2}, SCHEMA)

    assert (kept, files) == ({"times": 2}, [("file", tmp_path / "x.csv")])


def test_what_cannot_be_sent(tmp_path: Path) -> None:
    """What is no file, or cannot be read, is refused before anything is sent, and said as it is."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "large").write_bytes(b"1234")
    os.mkfifo(tmp_path / "pipe")

    def said(name: str) -> str:
        with pytest.raises(UsageError) as caught:
            take_files({"file": str(tmp_path / name)}, SCHEMA)
        return caught.value.what.replace(f"{tmp_path}/", "").replace(f"'{tmp_path}'", "FOLDER")

    assert said("none") == "file: there is no file 'none'"
    assert said("large/x") == "file: there is no file 'large/x'"
    assert said(".") == "file: FOLDER is a folder"
    assert said("pipe") == "file: 'pipe' is not a file"
    assert said("loop") == "file: 'loop' cannot be read: Too many levels of symbolic links"
    assert said("large") == "file: large has 4 bytes, and at most 3 are taken"
