"""List, show, pause, resume and fire schedules."""

from __future__ import annotations

import secrets
from typing import Any

import click

from ._follow import PATIENCE, Lost, Tenacious, give_up
from ._options import Server, with_json, with_server

__all__ = ["schedule"]


@click.group(short_help="List, pause and fire schedules.")
def schedule() -> None:
    """List, show, pause, resume and fire schedules."""


@schedule.command("list")
@with_json
@with_server
def list_schedules(as_json: bool, **where: Any) -> None:
    """List the schedules, with the next start of each."""
    from ._output import local_time, show_json, show_table

    schedules = Server(**where).client().get("/internal/schedules/")
    if as_json:
        show_json(schedules)
        return
    show_table(
        ("name", "starts", "when", "next", ""),
        [
            (
                one["name"],
                one["operation"],
                one["words"],
                local_time(one["next"][0]["at"]) if one["next"] else "",
                one["problem"] or _paused(one),
            )
            for one in schedules
        ],
    )


@schedule.command()
@click.argument("name")
@with_json
@with_server
def show(name: str, as_json: bool, **where: Any) -> None:
    """Show a schedule: its rules, and its next starts in its own time zone and in the local one."""
    from ._output import local_time, show_json, span

    found = Server(**where).client().get("/internal/schedules/")
    one = next((one for one in found if one["name"] == name), None)
    if one is None:
        from binp.operations import UnknownOperation

        raise UnknownOperation("schedule", name, [other["name"] for other in found])
    if as_json:
        show_json(one)
        return
    lines = [
        ("schedule", one["name"]),
        ("starts", one["operation"]),
        ("when", one["words"]),
        ("paused", _paused(one)),
        ("problem", one["problem"] or ""),
        ("missed", f"{one['missed']}, if not older than {span(one['grace'])}"),
        ("overlap", one["overlap"]),
        ("jitter", f"up to {span(one['jitter'])}" if one["jitter"] else ""),
    ]
    for title, text in lines:
        if text:
            click.echo(f"{title:<9}  {text}")
    for parameter, value in one["arguments"].items():
        click.echo(f"argument   {parameter} = {value!r}")
    for fire in one["next"]:
        note = f"  {fire['note']}" if fire["note"] else ""
        local = f"  ({fire['local'][:16].replace('T', ' ')} {one['zone']})" if one["zone"] != "UTC" else ""
        click.echo(f"next       {local_time(fire['at'])}{local}{note}")


@schedule.command()
@click.argument("name")
@with_server
def pause(name: str, **where: Any) -> None:
    """Pause a schedule. Ticks that come until it is resumed are skipped."""
    _set_paused(name, paused=True, where=where)


@schedule.command()
@click.argument("name")
@with_server
def resume(name: str, **where: Any) -> None:
    """Resume a paused schedule at its next tick."""
    _set_paused(name, paused=False, where=where)


@schedule.command()
@click.argument("name")
@with_server
def fire(name: str, **where: Any) -> None:
    """Fire a schedule now, even if it is paused. Prints the id of the run."""
    from binp.client import path_part

    server = Server(**where)
    # an idempotency key, so that a retry with the next process starts nothing twice
    key = secrets.token_hex(16)
    place = f"/internal/schedule/{path_part(name)}/runs"
    asked = Tenacious(server, server.client(), PATIENCE)
    try:
        started = asked.ask(lambda client: client.post(place, key=key), about="to start it there", is_start=True)
    except Lost as error:
        give_up(error)
    click.echo(started["run"])


def _set_paused(name: str, *, paused: bool, where: dict[str, Any]) -> None:
    from binp.client import path_part

    Server(**where).client().put(f"/internal/schedule/{path_part(name)}", {"paused": paused})
    click.echo(f"{name} {'is paused' if paused else 'goes on'}")


def _paused(one: dict[str, Any]) -> str:
    from ._output import local_time

    if not one["paused"]:
        return ""
    by = f" by {one['paused_by']}" if one["paused_by"] else ""
    return f"paused{by} since {local_time(one['paused_at'])}"
