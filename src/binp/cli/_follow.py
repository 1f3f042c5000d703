"""Talk to whatever process serves a database now: another one may have taken over since."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from ._options import Server

if TYPE_CHECKING:
    from binp.client import Client

__all__ = ["FINISHED", "PATIENCE", "Lost", "Tenacious", "follow", "give_up"]

T = TypeVar("T")

#: seconds for which a server is looked for that goes away, as in a deploy
PATIENCE = 60

#: status when it is not known whether a run was started, or how it has ended
_LOST = 3

#: states of a run that has ended
FINISHED = {"succeeded", "failed", "cancelled", "interrupted", "skipped"}
#: seconds between two looks for a server that went away, and between two starts that it refuses, at most
_TICK, _LONGEST = 0.25, 4.0
#: seconds between two looks at a run, at first and at most
_FIRST, _MOST = 0.02, 0.5


class Lost(Exception):
    """A server went away, and none came back in its place."""


class Tenacious:
    """Asks a server, and when that goes away the one that comes after it.

    Args:
        server: Where it is.
        client: A client of the present one.
        patience: Seconds for which one is looked for that went away.
    """

    def __init__(self, server: Server, client: Client, patience: float) -> None:
        self._server = server
        self._client = client
        self._patience = patience

    def ask(self, question: Callable[[Client], T], *, about: str, is_start: bool = False) -> T:
        """What *question* gives, which may be asked several times.

        Args:
            question: What is asked.
            about: What is said to be waited for when the server is away.
            is_start: Something is to be started: a server that does not want to is asked again only where it says that
                this passes, ever later. What is asked starts nothing twice.

        Raises:
            Lost: nobody answered for as long as patience lasts; or a start is refused that an earlier server, which
                did not answer, may have made.
            Answer: the server refused, and nothing was started.
        """
        from binp.client import Answer, NotServed

        until: float | None = None
        was_away = False
        wait = _TICK
        while True:
            try:
                return question(self._client)
            except (NotServed, Answer) as error:
                is_refused = is_start and isinstance(error, Answer)
                if isinstance(error, Answer) and (
                    error.status != 503 or (is_start and not error.problem.get("passes"))
                ):
                    if is_start and was_away:
                        # who did not answer before may have started it
                        raise Lost(error.what) from error
                    raise
                was_away = was_away or not is_refused
                if until is None:
                    until = time.monotonic() + self._patience
                    if self._patience:
                        what = error.what if is_refused else "the server went away"
                        look = "trying again" if is_refused else "looking for it"
                        click.echo(f"{what}: {look} for {self._patience:g} s, {about}", err=True)
                if time.monotonic() >= until:
                    if not was_away:
                        raise
                    raise Lost(error.what) from error
            time.sleep(min(wait, max(0.0, until - time.monotonic())))
            wait = min(wait * 2, _LONGEST) if is_refused else _TICK
            self._look_again()

    def _look_again(self) -> None:
        from binp.client import NotServed

        try:
            self._client = self._server.client()
        except NotServed:
            # the last one stays: it may be the one that comes back
            return


def follow(
    asked: Tenacious,
    run: int,
    show: Callable[[dict[str, Any]], None],
    tell: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Give each record of a run to *show* until it has ended; the run as it is then, with all of its records.

    As long as it has not ended it is given to *tell* now and then, as it is.

    Raises:
        Lost: nobody serves it any more.
        Answer: the server that came knows of no such run.
    """
    after, wait, kept = 0, _FIRST, []
    about = f"as run {run} may go on"
    while True:
        # asked before the records: then none is missing when it has ended
        detail: dict[str, Any] = asked.ask(lambda client: client.get(f"/internal/runs/{run}"), about=about)
        for record in asked.ask(partial(_rest, run=run, after=after), about=about):
            after = record["seq"]
            kept.append(record)
            show(record)
        if detail["state"] in FINISHED:
            return {**detail, "records": kept}
        tell(detail)
        time.sleep(wait)
        wait = min(wait * 1.5, _MOST)


def give_up(error: Exception, run: int | None = None) -> NoReturn:
    """End the process after *error*: it is not known how *run* ended, or, for None, whether one was started."""
    what = "it is not known whether the run was started" if run is None else f"it is unknown how run {run} ended"
    look = "binp journal list" if run is None else f"binp journal show {run}"
    click.echo(f"Error: {what}: {error}\n  fix:   when it is served again: {look}", err=True)
    sys.exit(_LOST)


def _rest(client: Client, *, run: int, after: int) -> list[dict[str, Any]]:
    from ._journal import records

    return list(records(client, run, after))
