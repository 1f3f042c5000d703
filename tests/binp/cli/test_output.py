"""Values for people."""

from __future__ import annotations

import sys

import pytest

from binp.cli._output import progress_text, record_line, seconds, show_table, span


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 s"),
        (0.5, "0.5 s"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (86400, "1 d"),
        (93784.5, "1 d 2 h 3 min 4.5 s"),
    ],
)
def test_a_span(value: float, text: str) -> None:
    """A time that somebody wrote is told exactly, in the units of people."""
    assert span(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.0024, "0.002 s"), (9.5, "9.500 s"), (12.34, "12.3 s"), (59.97, "1 min"), (3725.2, "1 h 2 min 5 s")],
)
def test_how_long_something_took(value: float | None, text: str) -> None:
    """A duration is told as finely as matters."""
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (None, "warning: late"),
        ({"a": 1, "b": "x y", "c": "z"}, 'warning: late  a=1 b="x y" c=z'),
        ({"a": 1, "trace": "  one\n    two\n", "b": 2}, "warning: late  a=1 b=2\n  trace\n      one\n        two"),
    ],
)
def test_a_record(fields: dict[str, object] | None, text: str) -> None:
    """A record is a line; what is of several lines itself can be read below it."""
    assert record_line({"level": "warning", "message": "late", "fields": fields}) == text


@pytest.mark.parametrize("width", [80, 40])
def test_a_table_on_a_small_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What names a row can be copied whole from a table, and nothing of the rest is left out, however narrow it is."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    error = "ConnectionRefusedError: [Errno 111] Connection refused by a server with a long name"

    show_table(
        ("id", "operation", "state", "started", "duration", "error"),
        [("373633529524224", "import_customers", "interrupted", "2026-11-21 18:38:43", "1 h 2 min 5 s", error)],
    )

    out = capsys.readouterr().out
    assert "373633529524224" in out
    assert "\N{HORIZONTAL ELLIPSIS}" not in out


@pytest.mark.parametrize(
    ("done", "total", "message", "text"),
    [
        (None, None, None, ""),
        (3, None, None, "3"),
        (3.0, 10.0, "copying", "3 of 10: copying"),
        (0.5, 1, None, "0.5 of 1"),
        (1500, 2_000_000, None, "1,500 of 2,000,000"),
        (None, None, "soon", "soon"),
    ],
)
def test_how_far_a_run_is(done: float | None, total: float | None, message: str | None, text: str) -> None:
    """Progress is told as the run tells it."""
    assert progress_text({"progress": done, "progress_total": total, "progress_message": message}) == text
