"""What is written on a terminal while something goes on."""

from __future__ import annotations

import sys

import pytest

from binp.cli._progress import status_line


def test_a_line_is_written_anew(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line says what is the matter now, is never broken by the terminal, and is gone at the end."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "11")

    with status_line() as write:
        write("1 of 2")
        write("1 of 2")
        write("2 of 2  a long\nword")

    assert capsys.readouterr().err == "\r\x1b[K1 of 2\r\x1b[K2 of 2 a l\r\x1b[K"


def test_nothing_is_written_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe there is no such line."""
    with status_line() as write:
        write("1 of 2")

    assert capsys.readouterr().err == ""
