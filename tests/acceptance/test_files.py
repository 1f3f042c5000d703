"""Files on the command line: a path goes in, a file comes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

OPS = """
from typing import Annotated
from binp import BINP, Accept, File

binp = BINP()

@binp.action
async def shout(files: list[File], one: Annotated[File, Accept(".txt", size=1000)] | None = None) -> File:
    texts = [file.read_text() for file in files]
    return File("".join(texts).upper().encode(), name="loud.txt")

@binp.action
async def split() -> dict:
    return {"parts": [File(b"1", name="one.txt"), File(b"2", name="two.txt")]}

@binp.action
async def big(file: File) -> str:
    return f"{file.size} {file.sha256}"
"""


def test_in_and_out(server: Any, binp: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    """Files: paths are sent as files, and what a run returned is saved, once under its own name."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)

    done = binp("action", "invoke", "shout", "files=a.txt", "files=b.txt", "one=a.txt", "-o", "json")
    assert done.returncode == 0, done.stderr
    run = server.ask("GET", "/internal/runs?limit=1")["runs"][0]["id"]
    told = binp("action", "invoke", "shout", "files=a.txt")
    after = server.ask("GET", "/internal/runs?limit=1")["runs"][0]["id"]
    assert told.stderr == f"a file was returned; save it with: binp journal download {after}\n"
    saved = binp("journal", "download", str(run), "-o", str(tmp_path / "x"))
    named = binp("journal", "download", str(run))
    again = binp("journal", "download", str(run))

    assert (saved.returncode, (tmp_path / "x").read_text()) == (0, "A.TXTB.TXT")
    assert named.stdout.strip() == "loud.txt"
    assert again.returncode == 2
    assert "loud.txt cannot be written" in again.stderr
    assert "File exists" in again.stderr


def test_several_out(server: Any, binp: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    """Files inside of what a run returned are saved together, or by their names."""
    done = binp("action", "invoke", "split")
    run = str(server.ask("GET", "/internal/runs?limit=1")["runs"][0]["id"])
    every = binp("journal", "download", run)
    one = binp("journal", "download", run, "two.txt", "-o", "x.txt")
    unclear = binp("journal", "download", run, "-o", "y.txt")
    unknown = binp("journal", "download", run, "three.txt")

    assert done.stderr == f"2 files were returned; save them with: binp journal download {run}\n"
    assert every.stdout == "one.txt\ntwo.txt\n", every.stderr
    assert [(tmp_path / name).read_text() for name in ("one.txt", "two.txt", "x.txt")] == ["1", "2", "2"]
    assert one.stdout == "x.txt\n"
    assert (unclear.returncode, "--output is for one file" in unclear.stderr) == (2, True)
    assert unknown.stderr == (
        "Error: the run has returned no file named 'three.txt'\n  fix:   known: one.txt, two.txt\n"
    )


def test_refused(server: Any, binp: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    """Files: one that is not there or too large is not sent; what the form refuses is told in its words."""
    (tmp_path / "large.txt").write_bytes(b"x" * 1001)
    (tmp_path / "a.csv").write_bytes(b"x")

    said = [
        binp("action", "invoke", "shout", "files=a.csv", f"one={name}").stderr
        for name in ("none.txt", "large.txt", "a.csv")
    ]

    assert "one: there is no file 'none.txt'" in said[0]
    assert "one: large.txt has 1001 bytes, and at most 1000 are taken" in said[1]
    assert "one: a.csv is text/csv, and what is taken is .txt" in said[2]


def test_large(server: Any, binp: Callable[..., CompletedProcess[str]], tmp_path: Path) -> None:
    """Files: megabytes arrive as they are; above the limit of the settings the answer names it."""
    (tmp_path / "large").write_bytes(b"0123456789" * 1_000_000)
    with (tmp_path / "larger").open("wb") as file:
        file.truncate(101_000_000)

    large = binp("action", "invoke", "big", "file=large")
    larger = binp("action", "invoke", "big", "file=larger")

    assert large.stdout.startswith("10000000 "), large.stderr
    assert larger.returncode == 2
    assert "more than 100000000 bytes" in larger.stderr
    assert "BINP_FILES_SIZE" in larger.stderr
