"""Search and show the history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ._options import Dashed, Integer, Server, with_json, with_server

if TYPE_CHECKING:
    from binp.client import Client

_STATES = ["queued", "running", "succeeded", "failed", "cancelled", "interrupted", "skipped"]
#: records per request
_PAGE = 200


@click.group(short_help="Search the history, show and cancel runs.")
def journal() -> None:
    """Search the history, show runs, and cancel them."""


@journal.command("list", cls=Dashed)
@click.argument("query", metavar="[QUERY]...", nargs=-1)
@click.option("--limit", type=Integer(1, 200), default=20, show_default=True, help="How many runs.")
@click.option("--state", type=click.Choice(_STATES), multiple=True, help="Only runs in this state; repeatable.")
@click.option("--operation", help="Only runs of this action, journal or service.")
@click.option("--before", metavar="ID", type=Integer(min=0), help="Only runs older than this one.")
@with_json
@with_server
def list_runs(
    query: tuple[str, ...], as_json: bool, db: str | None, url: str | None, token: str | None, **given: Any
) -> None:
    """List the newest runs, or those that match a query: 'timeout state:failed -label:test since:2h'."""
    from ._output import local_time, seconds, show_json, show_table

    client = Server(db=db, url=url, token=token).client()
    wanted = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items() if value}
    page = client.get("/internal/runs", q=" ".join(query) or None, **wanted)
    runs = page["runs"]
    if page["stopped"] is not None:
        back = local_time(page["stopped_at"])
        click.echo(f"searched back to {back} and stopped; go on with --before {page['stopped']}", err=True)
    if as_json:
        show_json(runs)
        return
    show_table(
        ("id", "operation", "state", "started", "duration", "error"),
        [
            (
                str(run["id"]),
                run["operation"],
                run["state"],
                local_time(run["started_at"]),
                seconds(run["duration"]),
                (run["error"] or "").partition("\n")[0],
            )
            for run in runs
        ],
    )


@journal.command()
@click.argument("run", metavar="ID", type=Integer(min=0))
@with_json
@with_server
def show(run: int, as_json: bool, **where: Any) -> None:
    """Show a run: its arguments, records, children, result and error."""
    from ._output import show_json

    client = Server(**where).client()
    detail = client.get(f"/internal/runs/{run}")
    after = detail["records"][-1]["seq"] if detail["records"] else 0
    if len(detail["records"]) >= _PAGE:
        detail["records"] += records(client, run, after)
    detail["children"] = client.get("/internal/runs", parent=run, limit=_PAGE)["runs"]
    if as_json:
        show_json(detail)
    else:
        _print(detail)


@journal.command()
@click.argument("runs", metavar="ID...", nargs=-1, required=True, type=Integer(min=0))
@with_server
def cancel(runs: tuple[int, ...], **where: Any) -> None:
    """Request that runs be cancelled, without waiting for them to end."""
    client = Server(**where).client()
    for run in runs:
        client.post(f"/internal/runs/{run}/cancel")
        click.echo(f"run {run} is asked to end")


@journal.command()
@click.argument("run", metavar="ID", type=Integer(min=0))
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--output", "-o", "target", type=click.Path(dir_okay=False, path_type=Path), help="Where to save it.")
@with_server
def download(run: int, names: tuple[str, ...], target: Path | None, **where: Any) -> None:
    """Save the files that a run returned, all of them or those named, in the current folder.

    With --output, save a single file there.
    """
    from binp.files import described_in

    client = Server(**where).client()
    result = client.get(f"/internal/runs/{run}")["result"]
    digests = _chosen({str(one["sha256"]): str(one["$file"]) for one in described_in(result)}, names)
    if target is not None and len(digests) > 1:
        raise click.UsageError("--output is for one file: give its NAME")
    # without any file, the server's answer gives the reason
    for query in [f"?sha256={digest}" for digest in digests] or [""]:
        click.echo(str(client.download(f"/internal/runs/{run}/file{query}", target)))


def _chosen(files: dict[str, str], names: tuple[str, ...]) -> list[str]:
    """The digests of those *files* (names by digest) with one of *names*; of all files if there are no names."""
    from binp.errors import UsageError

    for name in names:
        if name not in files.values():
            known = ", ".join(sorted(files.values())) or "none"
            raise UsageError(f"the run has returned no file named {name!r}", fix=f"known: {known}")
    return [digest for digest, name in files.items() if not names or name in names]


def records(client: Client, run: int, after: int = 0) -> Iterator[dict[str, Any]]:
    """The records of a run after number *after*, oldest first."""
    while True:
        page = client.get(f"/internal/runs/{run}/records", after=after, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1]["seq"]


def _state(run: dict[str, Any]) -> str:
    by = f" by {run['cancelled_by']}" if run["cancelled_by"] else ""
    if run["state"] == "cancelled":
        return f"cancelled{by}"
    is_asked = run["cancel_requested"] and run["state"] in ("queued", "running")
    return f"{run['state']}, asked to end{by}" if is_asked else str(run["state"])


def _print(run: dict[str, Any]) -> None:
    from ._output import local_time, record_line, seconds, show_value

    parent = "" if run["parent"] is None else f" inside of run {run['parent']}"
    by = " ".join(filter(None, (run["trigger"], run["actor"])))
    again = "" if run["origin"] is None else f", first tried as run {run['origin']}"
    lines = [
        ("run", str(run["id"])),
        ("operation", run["operation"]),
        ("state", _state(run)),
        ("started", f"{local_time(run['started_at'])} by {by}{parent}"),
        ("due", local_time(run["due_at"])),
        ("duration", seconds(run["duration"])),
        ("attempt", f"{run['attempt']}{again}" if run["attempt"] > 1 else ""),
        ("labels", ", ".join(run["labels"])),
        ("node", run["node"]),
        ("version", run["version"] or ""),
        ("error", "" if run["error"] == run["state"] else run["error"] or ""),
    ]
    for name, text in lines:
        if text:
            click.echo(f"{name:<9}  {text}")
    for name, value in (run["arguments"] or {}).items():
        click.echo(f"argument   {name} = {value!r}")
    if run["records"]:
        click.echo("\nrecords")
    for record in run["records"]:
        click.echo(f"  {local_time(record['at'])}  {record_line(record)}")
    if run["children"]:
        click.echo("\nstarted inside of it, the newest first")
    for child in run["children"]:
        click.echo(f"  {child['id']}  {child['operation']}  {child['state']}  {child['error'] or ''}".rstrip())
    if run["result"] is not None:
        click.echo("\nresult")
        show_value(run["result"])
    if run["traceback"]:
        click.echo(f"\n{run['traceback'].rstrip()}")
