"""List, start, stop and restart services."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from ._options import Server, with_json, with_server

if TYPE_CHECKING:
    from binp.client import Client

__all__ = ["service"]

#: seconds to wait for a service to obey, and the polling interval
_PATIENCE, _TICK = 15.0, 0.1
#: states in which a service has obeyed, or never will
_SETTLED = {
    True: {"running", "completed", "failed", "restarting"},
    False: {"stopped", "completed", "failed", "stuck"},
}
_OBEYED = {True: {"running", "completed"}, False: {"stopped", "completed"}}


@click.group(short_help="List, start, stop and restart services.")
def service() -> None:
    """List, start, stop and restart services."""


@service.command("list")
@with_json
@with_server
def list_services(as_json: bool, **where: Any) -> None:
    """List the services, with the state of each."""
    from ._output import local_time, show_json, show_table

    services = Server(**where).client().get("/internal/services/")
    if as_json:
        show_json(services)
        return
    show_table(
        ("name", "status", "health", "restarts", "failed", "error"),
        [
            (
                one["name"],
                _doing(one),
                {None: "-", True: "ok", False: "failing"}[one["healthy"]],
                str(one["restarts"]),
                local_time(one.get("failed_at")),
                (one["health_error"] or one["error"] or "").partition("\n")[0],
            )
            for one in services
        ],
    )


def _doing(one: dict[str, Any]) -> str:
    """What a service is doing, in words."""
    if one["status"] == "stopped" and not one["enabled"]:
        return "disabled"
    if one["status"] == "restarting" and one.get("next_start"):
        from ._output import span

        left = datetime.fromisoformat(one["next_start"]) - datetime.now(UTC)
        return f"restarting in {span(max(0, round(left.total_seconds())))}"
    return f"waiting for {', '.join(one['waits_for'])}" if one["waits_for"] else str(one["status"])


@service.command()
@click.argument("name")
@with_server
def start(name: str, **where: Any) -> None:
    """Start a service, and wait a few seconds for it to run."""
    _command(name, [True], where)


@service.command()
@click.argument("name")
@with_server
def stop(name: str, **where: Any) -> None:
    """Stop a service, and wait a few seconds for it to end. It stays stopped until somebody starts it."""
    _command(name, [False], where)


@service.command()
@click.argument("name")
@with_server
def restart(name: str, **where: Any) -> None:
    """Stop a service, and start it when it has ended. Services that come after it keep running."""
    _command(name, [False, True], where)


def _command(name: str, wishes: Sequence[bool], where: dict[str, Any]) -> None:
    """Give a service one command after the other, as long as it obeys."""
    from binp.client import path_part

    client = Server(**where).client()
    found: dict[str, Any] | None = None
    has_obeyed = False
    for running in wishes:
        client.put(f"/internal/service/{path_part(name)}", {"running": running})
        found = _settled(client, name, running)
        status = "gone" if found is None else found["status"]
        has_obeyed = status in _OBEYED[running]
        # one that was given up has ended as well as one that was stopped
        if not has_obeyed and status != "failed":
            break
    click.echo(f"{name} is {'gone' if found is None else _doing(found)}")
    if not has_obeyed and found is not None:
        _tell_why(found)
    sys.exit(0 if has_obeyed else 1)


def _tell_why(one: dict[str, Any]) -> None:
    """Say on standard error why a service does not run, and where there is more."""
    if one["status"] == "stuck":
        click.echo("its function was told to stop, and has not returned", err=True)
    elif one["error"] is not None:
        click.echo(one["error"].partition("\n")[0], err=True)
        if one.get("failed_run") is not None:
            click.echo(f"its traceback: binp journal show {one['failed_run']}", err=True)


def _settled(client: Client, name: str, running: bool) -> dict[str, Any] | None:
    """The service after it has obeyed, or after the maximum wait; None if it no longer exists."""
    end = time.monotonic() + _PATIENCE
    while True:
        services: list[dict[str, Any]] = client.get("/internal/services/")
        found = next((one for one in services if one["name"] == name), None)
        if found is None or found["status"] in _SETTLED[running] or time.monotonic() > end:
            return found
        time.sleep(_TICK)
