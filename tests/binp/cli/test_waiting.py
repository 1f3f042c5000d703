"""What is said beside the database while a server waits for its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from binp import BINP, client
from binp.cli._serve import Order
from binp.cli._target import BrokenFile
from binp.cli._waiting import Board, in_short
from binp.client import NotServed
from binp.errors import UsageError


def order(database: Path) -> Order:
    return Order(target="ops.py", config=None, settings={"db": str(database), "port": None})


def found(database: Path) -> str:
    try:
        return client.find(database).url
    except NotServed as error:
        return error.what.partition(": ")[2]


def test_what_failed_is_told_until_it_is_over(tmp_path: Path) -> None:
    """The first reason counts, where the file was loaded before and where it never was."""
    board, asked, loaded = Board(), tmp_path / "asked.db", tmp_path / "loaded.db"
    board.failed("first", order(asked))
    board.ended(order(asked))
    assert found(asked) == "first"
    board.loaded(BINP(db=str(loaded)))
    assert not asked.with_name("asked.db.serving").exists()
    board.ended(order(asked))
    assert found(loaded) == "it has ended by itself"
    board.over()
    assert list(tmp_path.iterdir()) == []
    board.over()


def test_nobody_is_told_where_it_cannot_be(tmp_path: Path) -> None:
    """Without a folder for it, with a database that cannot be, and when nothing is known nothing happens."""
    board = Board()
    board.over()
    board.failed("no folder", order(tmp_path / "none" / "data.db"))
    board = Board()
    board.failed("no database", Order(target="ops.py", config=str(tmp_path / "none.toml"), settings={}))
    board.over()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UsageError("there is no file 'ops.py'", fix="write it"), "there is no file 'ops.py'"),
        (BrokenFile("ops.py", ValueError("one\ntwo")), "ops.py cannot be imported: ValueError: one"),
        (UsageError("x" * 1000), "x" * 300 + "..."),
    ],
)
def test_an_error_on_one_line(error: UsageError, text: str) -> None:
    """What is wrong is told on one line that is not endless; the terminal has the rest."""
    assert in_short(error) == text
