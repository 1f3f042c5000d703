"""Print tables, times and values: formatted on a terminal, plain otherwise."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

#: maximum length of a name that is kept on one line, in characters
_NAME = 24


def show_json(value: Any) -> None:
    """Print JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_value(value: Any) -> None:
    """Print the result of a function: text as it is, nothing for None, everything else as JSON."""
    if isinstance(value, str):
        click.echo(value)
    elif value is not None:
        show_json(value)


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, plain text otherwise."""
    if sys.stdout.isatty():
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
        for index, column in enumerate(columns):
            # people copy names into the next command, so names are not wrapped; nothing is cut off
            name = max((len(row[index]) for row in rows), default=0) if index == 0 else 0
            table.add_column(column, overflow="fold", no_wrap=0 < name <= _NAME, min_width=min(name, _NAME))
        for row in rows:
            # Text objects, because brackets in plain strings are markup
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def local_time(text: str | None) -> str:
    """An aware time as local time of this machine."""
    return "" if text is None else datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def seconds(value: float | None) -> str:
    """A duration, rounded."""
    if value is None or value < 10:
        return "" if value is None else f"{value:.3f} s"
    return span(round(value, 1) if value < 60 else round(value))


def span(value: float) -> str:
    """A duration in words, exactly: ``1 h``, ``1 min 30 s``, ``0.5 s``."""
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        count, value = divmod(value, size)
        if count:
            parts.append(f"{count:g} {unit}")
    if value or not parts:
        parts.append(f"{value:g} s")
    return " ".join(parts)


def progress_text(run: dict[str, Any]) -> str:
    """The progress of a run: ``3 of 10: copying``."""
    done, total = run["progress"], run["progress_total"]
    share = "" if done is None else f"{done:,.15g}" + (f" of {total:,.15g}" if total is not None else "")
    return ": ".join(filter(None, (share, run["progress_message"])))


def record_line(record: dict[str, Any]) -> str:
    """A record of a run on one line; fields with several lines are below it."""
    fields = record["fields"] or {}
    below = {name: value for name, value in fields.items() if isinstance(value, str) and "\n" in value.strip()}
    beside = " ".join(f"{name}={_short(value)}" for name, value in fields.items() if name not in below)
    level = "" if record["level"] == "info" else f"{record['level']}: "
    first = f"{level}{record['message']}{f'  {beside}' if beside else ''}"
    rest = (f"  {name}\n{textwrap.indent(value.rstrip(), '    ')}" for name, value in below.items())
    return "\n".join((first, *rest))


def _short(value: Any) -> str:
    if isinstance(value, str):
        # ignore a trailing line break
        value = value.rstrip("\n")
    return value if isinstance(value, str) and value and not any(map(str.isspace, value)) else json.dumps(value)
