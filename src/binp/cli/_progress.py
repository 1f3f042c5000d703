"""Show the progress of long work on a terminal; print nothing otherwise."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator

import click

#: minimum seconds between two updates
_PAUSE = 0.1


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal; yields a function to call with the amount done and the total."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    with click.progressbar(length=1000, label=label, file=sys.stderr) as bar:

        def show(done: int, total: int) -> None:
            share = 1000 if done >= total else done * 1000 // total
            bar.update(share - bar.pos)

        yield show


@contextlib.contextmanager
def counter(what: str) -> Iterator[Callable[[int], None]]:
    """A growing number on a terminal; yields a function to call with it."""
    if not sys.stderr.isatty():
        yield lambda _number: None
        return
    shown = 0.0

    def show(number: int) -> None:
        nonlocal shown
        if time.monotonic() - shown > _PAUSE:
            shown = time.monotonic()
            click.echo(f"\r{number:,} {what}", nl=False, err=True)

    try:
        yield show
    finally:
        # erases the line
        click.echo("\r" + " " * 40 + "\r", nl=False, err=True)


@contextlib.contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """A status line at the bottom of a terminal; yields a function that sets its text; an empty text removes it.

    It must be removed before anything else is written.
    """
    if not sys.stderr.isatty():
        yield lambda _text: None
        return
    shown = ""

    def write(text: str) -> None:
        nonlocal shown
        # cut to the width, because a wrapped line could not be removed
        text = " ".join(text.split())[: shutil.get_terminal_size().columns - 1]
        if text != shown:
            shown = text
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)

    try:
        yield write
    finally:
        write("")


def size_text(size: int) -> str:
    """A number of bytes in words."""
    if size < 1_000_000:
        return f"{size / 1e3:.1f} kB"
    return f"{size / 1e6:.1f} MB" if size < 1_000_000_000 else f"{size / 1e9:.2f} GB"
