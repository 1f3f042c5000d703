"""List actions, show one, and run one."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._follow import PATIENCE, Lost, Tenacious, follow, give_up
from ._options import Number, Server, with_json, with_server

if TYPE_CHECKING:
    from binp.client import Client


class _Actions(click.Group):
    """A group in which people may write the name of an action instead of a command."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command; if there is none, explain how to run an action."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            text = error.format_message()
            if "Did you mean" in text:
                raise
            raise click.UsageError(f"{text} To run an action of this name: binp action invoke {args[0]}", ctx) from None


@click.group(cls=_Actions, short_help="List and run actions.")
def action() -> None:
    """List, show and run the actions of the running server."""


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
@with_json
@with_server
def show(name: str, as_json: bool, **where: Any) -> None:
    """Show an action: its parameters and its rules."""
    from binp.client import path_part

    from ._form import models, parameters
    from ._output import show_json, span

    found = Server(**where).client().get(f"/internal/actions/{path_part(name)}")
    if as_json:
        show_json(found)
        return
    lines = [
        ("action", found["name"]),
        ("labels", ", ".join(found["labels"])),
        ("timeout", span(found["timeout"]) if found["timeout"] else ""),
        ("retries", str(found["retries"] or "")),
        ("at once", _at_once(found)),
        ("grace", span(found["grace"]) if found["grace"] else ""),
        ("process", "one of its own" if found["process"] else ""),
        ("confirm", "asks before it is started by hand" if found["confirm"] else ""),
    ]
    for title, text in lines:
        if text:
            click.echo(f"{title:<9}  {text}")
    for text in parameters(found["arguments"]):
        click.echo(f"parameter  {text}")
    for title, text in models(found["arguments"]):
        click.echo(f"{title:<9}  {text}")
    if found["description"]:
        click.echo(f"\n{found['description']}")


def _at_once(form: dict[str, Any]) -> str:
    """The concurrency limit in words: ``1 for each host, ...``."""
    if not form["concurrency"]:
        return ""
    each = f" for each {' and '.join(form['per'])}" if form["per"] else ""
    others = {"skip": ", others are skipped", "replace": ", a new one takes the place of an old one"}
    return f"{form['concurrency']}{each}{others.get(form['when_full'], '')}"


@action.command()
@click.argument("name")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--json", "given", metavar="OBJECT", help="Arguments as a JSON object; KEY=VALUE wins.")
@click.option("--output", "-o", type=click.Choice(["text", "json"]), default="text", help="How to print the run.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--patience",
    type=Number(min=0),
    default=PATIENCE,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the server to come back, as in a deploy.",
)
@with_server
def invoke(
    name: str,
    arguments: tuple[str, ...],
    given: str | None,
    output: str,
    yes: bool,
    patience: float,
    **where: Any,
) -> None:
    """Run the action NAME and wait for its end.

    Records go to standard error, the result to standard output. On a terminal, an action with a confirmation asks
    first. The exit status is 0 if the run succeeded, 1 if it did not, 2 if it was not started, and 3 if the outcome is
    unknown because the server went away and did not come back.
    """
    from binp.client import path_part

    from ._arguments import read_arguments
    from ._files import take_files

    server = Server(**where)
    client = server.client()
    place = f"/internal/actions/{path_part(name)}"
    form = client.get(place)
    values = read_arguments(arguments, given, form["arguments"])
    values, files = take_files(values, form["arguments"])
    if form["confirm"] and not yes and sys.stdin.isatty():
        question = _send(client, name, f"{place}/question", values, files)["question"]
        if question:
            click.confirm(question, abort=True, err=True)
    start = partial(_send, name=name, place=f"{place}/runs", arguments=values, files=files)
    detail = _run(Tenacious(server, client, patience), start, output)
    _tell(detail, output)
    sys.exit(0 if detail["state"] == "succeeded" else 1)


def _run(asked: Tenacious, start: Callable[..., Any], output: str) -> dict[str, Any]:
    """Start a run and return it after its end. If its end cannot be learnt, the process exits here."""
    from binp.client import Answer

    from ._output import progress_text, record_line
    from ._progress import status_line

    def show(record: dict[str, Any]) -> None:
        if output == "text":
            write("")
            click.echo(record_line(record), err=True)

    # an idempotency key, so that a retry with the next process starts nothing twice
    key = secrets.token_hex(16)
    run: int | None = None
    try:
        run = int(
            asked.ask(lambda client: start(client, key=key), about="to start the action there", is_start=True)["run"]
        )
        with status_line() as write:
            return follow(asked, run, show, lambda detail: write(progress_text(detail)))
    except (Lost, Answer) as error:
        if run is None and isinstance(error, Answer):
            raise
        give_up(error, run)
    except KeyboardInterrupt:
        if run is not None:
            click.echo(f"\nrun {run} goes on without being watched: binp journal show {run}", err=True)
        sys.exit(130)


def _send(
    client: Client,
    name: str,
    place: str,
    arguments: dict[str, Any],
    files: Sequence[tuple[str, Path]],
    key: str | None = None,
) -> Any:
    from binp.client import Answer
    from binp.errors import UsageError

    try:
        return client.post_form(place, arguments, files, key=key) if files else client.post(place, arguments, key=key)
    except Answer as answer:
        errors = answer.problem.get("errors")
        if answer.status != 422 or not errors:
            raise
        lines = [f"{'.'.join(map(str, each['loc'])) or 'arguments'}: {each['msg']}" for each in errors]
        raise UsageError("\n  ".join([f"action {name!r} cannot be called like this:", *lines])) from None


def _tell(run: dict[str, Any], output: str) -> None:
    from ._output import show_value

    if output == "json":
        click.echo(json.dumps(run, indent=2, ensure_ascii=False))
    elif run["state"] == "succeeded":
        show_value(run["result"])
        if note := _note(run):
            click.echo(note, err=True)
    else:
        if run["traceback"]:
            click.echo(run["traceback"].rstrip(), err=True)
        click.echo(f"Error: run {run['id']} {_ended(run)}", err=True)


def _note(run: dict[str, Any]) -> str:
    """A note about a result that is not complete in itself."""
    result = run["result"] if isinstance(run["result"], dict) else {}
    if number := _count_files(run["result"]):
        what, those = ("a file was", "it") if number == 1 else (f"{number} files were", "them")
        return f"{what} returned; save {those} with: binp journal download {run['id']}"
    if "$cut" in result:
        return f"what was returned is too long to be kept: {result['$cut']} characters, and this is how it begins"
    return ""


def _count_files(result: Any) -> int:
    if '"$file"' not in json.dumps(result):
        return 0
    # imported late: loading it takes longer than using it
    from binp.files import described_in

    return sum(1 for _ in described_in(result))


def _ended(run: dict[str, Any]) -> str:
    """Why a run did not succeed, in words."""
    by = f" by {run['cancelled_by']}" if run["state"] == "cancelled" and run["cancelled_by"] else ""
    error = run["error"] or ""
    # a requested cancellation has no further reason
    why = "" if error == run["state"] else f": {error.removeprefix(run['state'] + ': ')}"
    return f"{_WORDS[run['state']]}{by}{why}"


_WORDS = {
    "failed": "failed",
    "cancelled": "was cancelled",
    "interrupted": "was interrupted",
    "skipped": "was skipped",
}
