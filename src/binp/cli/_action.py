"""List actions, and run one."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import Server, with_json, with_server

if TYPE_CHECKING:
    from binp.client import Client

_FINISHED = {"succeeded", "failed", "cancelled", "interrupted", "skipped"}
#: seconds between two looks at a run, at first and at most
_FIRST, _MOST = 0.02, 0.5


@click.group(short_help="List actions, and run one.")
def action() -> None:
    """List the actions of the running server, and run one."""


@action.command("list")
@with_json
@with_server
def list_actions(as_json: bool, **where: Any) -> None:
    """List the actions."""
    from ._output import show_json, show_table

    actions = Server(**where).client().get("/internal/actions/")
    if as_json:
        show_json(actions)
    else:
        rows = [(each["name"], each["description"].partition("\n")[0]) for each in actions]
        show_table(("name", "description"), rows)


@action.command()
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json", "given", metavar="OBJECT", help="Arguments as a JSON object; KEY=VALUE wins.")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text", help="How to print the run.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask what the action wants to be asked before.")
@with_server
def invoke(name: str, arguments: tuple[str, ...], given: str | None, output: str, yes: bool, **where: Any) -> None:
    """Run the action NAME and wait for its end.

    What the run records goes to standard error, what it returns to standard output. The status is 0 when it succeeded,
    1 when it did not, 2 when it was not started. An action that wants to be confirmed asks first, if there is a
    terminal.
    """
    from binp.client import NotServed, path_part

    from ._arguments import read_arguments
    from ._files import take_files

    client = Server(**where).client()
    place = f"/internal/actions/{path_part(name)}"
    form = client.get(place)
    values = read_arguments(arguments, given, form["arguments"])
    values, files = take_files(values, form["arguments"])
    if form["confirm"] and not yes and sys.stdin.isatty():
        question = _send(client, name, f"{place}/question", values, files)["question"]
        if question:
            click.confirm(question, abort=True, err=True)
    run = int(_send(client, name, f"{place}/runs", values, files)["run"])
    try:
        detail = _follow(client, run, quiet=output == "json")
    except NotServed as error:
        click.echo(f"Error: the server went away, and run {run} with it or not: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        click.echo(f"\nrun {run} goes on without being watched: binp journal show {run}", err=True)
        sys.exit(130)
    _tell(detail, output)
    sys.exit(0 if detail["state"] == "succeeded" else 1)


def _send(client: Client, name: str, place: str, arguments: dict[str, Any], files: Sequence[tuple[str, Path]]) -> Any:
    from binp.client import Answer
    from binp.errors import UsageError

    try:
        return client.post_form(place, arguments, files) if files else client.post(place, arguments)
    except Answer as answer:
        errors = answer.problem.get("errors")
        if answer.status != 422 or not errors:
            raise
        lines = [f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}" for each in errors]
        raise UsageError("\n  ".join([f"action {name!r} cannot be called like this:", *lines])) from None


def _follow(client: Client, run: int, *, quiet: bool) -> dict[str, Any]:
    """Print the records of a run until it has ended; the run as it is then."""
    from ._journal import records
    from ._output import record_line

    after, wait, kept = 0, _FIRST, []
    while True:
        # asked before the records: then none is missing when it has ended
        detail: dict[str, Any] = client.get(f"/internal/runs/{run}")
        for record in records(client, run, after):
            after = record["seq"]
            kept.append(record)
            if not quiet:
                click.echo(record_line(record), err=True)
        if detail["state"] in _FINISHED:
            return {**detail, "records": kept}
        time.sleep(wait)
        wait = min(wait * 1.5, _MOST)


def _tell(run: dict[str, Any], output: str) -> None:
    from ._output import show_value

    if output == "json":
        click.echo(json.dumps(run, indent=2, ensure_ascii=False))
    elif run["state"] == "succeeded":
        show_value(run["result"])
    else:
        if run["traceback"]:
            click.echo(run["traceback"].rstrip(), err=True)
        click.echo(f"Error: run {run['id']} {_WORDS[run['state']]}: {run['error']}", err=True)


_WORDS = {
    "failed": "failed",
    "cancelled": "was cancelled",
    "interrupted": "was interrupted",
    "skipped": "was skipped",
}
