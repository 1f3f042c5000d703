"""Follow a run with whatever process serves the database: another one may take over meanwhile."""

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

#: seconds to look for a server that went away, as in a deployment
PATIENCE = 60

#: exit status if it is unknown whether a run was started, or how it ended
_LOST = 3

#: the final states of a run
FINISHED = {"succeeded", "failed", "cancelled", "interrupted", "skipped"}
#: polling interval for a server that went away, and the maximum delay between two refused starts, in seconds
_TICK, _LONGEST = 0.25, 4.0
#: seconds between two polls of a run, at first and at most
_FIRST, _MOST = 0.02, 0.5


class Lost(Exception):
    """The server went away, and none has replaced it."""


class Tenacious:
    """Sends requests to a server, and if it goes away, to its successor.

    Args:
        server: How to find the server.
        client: A client for the present server.
        patience: Seconds to look for a server that went away.
    """

    def __init__(self, server: Server, client: Client, patience: float) -> None:
        self._server = server
        self._client = client
        self._patience = patience

    def ask(self, question: Callable[[Client], T], *, about: str, is_start: bool = False) -> T:
        """The result of *question*, which may be called several times.

        Args:
            question: Sends the request.
            about: What to say that is being waited for while the server is away.
            is_start: The request starts something (idempotently). If the server refuses it as temporary, it is
                repeated, with growing delays.

        Raises:
            Lost: no server answered within the patience; or a start was refused that an earlier server, which did not
                answer, may have accepted.
            Answer: the server refused the request, and nothing was started.
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
                        # the server that did not answer may have started it
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
            # keep the last client: that server may come back
            return


def follow(
    asked: Tenacious,
    run: int,
    show: Callable[[dict[str, Any]], None],
    tell: Callable[[dict[str, Any]], None],
) -> dict[str, Any]:
    """Pass each record of a run to *show* until it has ended; returns the final run, with all its records.

    Until it has ended, the run itself is passed to *tell* now and then.

    Raises:
        Lost: no server serves it any more.
        Answer: the new server does not know the run.
    """
    after, wait, kept = 0, _FIRST, []
    about = f"as run {run} may go on"
    while True:
        # before the records: if the run has ended by now, they are complete
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
    """Exit after *error*: it is unknown how *run* ended, or, for None, whether one was started."""
    what = "it is not known whether the run was started" if run is None else f"it is unknown how run {run} ended"
    look = "binp journal list" if run is None else f"binp journal show {run}"
    click.echo(f"Error: {what}: {error}\n  fix:   when it is served again: {look}", err=True)
    sys.exit(_LOST)


def _rest(client: Client, *, run: int, after: int) -> list[dict[str, Any]]:
    from ._journal import records

    return list(records(client, run, after))
