"""Look at services, start, stop and restart them."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ._options import Server, with_json, with_server

if TYPE_CHECKING:
    from binp.client import Client

__all__ = ["service"]

#: seconds for which it is looked whether a service obeys, and between two looks
_PATIENCE, _TICK = 15.0, 0.1
#: what a service is when it has obeyed, or never will
_SETTLED = {
    True: {"running", "completed", "failed", "restarting"},
    False: {"stopped", "completed", "failed", "stuck"},
}
_OBEYED = {True: {"running", "completed"}, False: {"stopped", "completed"}}


@click.group(short_help="Look at services, start, stop and restart them.")
def service() -> None:
    """Look at services, start, stop and restart them."""


@service.command("list")
@with_json
@with_server
def list_services(as_json: bool, **where: Any) -> None:
    """List the services with what each is doing."""
    from ._output import show_json, show_table

    services = Server(**where).client().get("/internal/services/")
    if as_json:
        show_json(services)
        return
    show_table(
        ("name", "status", "health", "restarts", "error"),
        [
            (
                one["name"],
                _doing(one),
                {None: "-", True: "ok", False: "failing"}[one["healthy"]],
                str(one["restarts"]),
                (one["health_error"] or one["error"] or "").partition("\n")[0],
            )
            for one in services
        ],
    )


def _doing(one: dict[str, Any]) -> str:
    """What a service is doing, in words."""
    if one["status"] == "stopped" and not one["enabled"]:
        return "disabled"
    return f"waiting for {', '.join(one['waits_for'])}" if one["waits_for"] else str(one["status"])


@service.command()
@click.argument("name")
@with_server
def start(name: str, **where: Any) -> None:
    """Start a service, and wait a moment until it runs."""
    _command(name, [True], where)


@service.command()
@click.argument("name")
@with_server
def stop(name: str, **where: Any) -> None:
    """Stop a service, and wait a moment until it has ended. It stays so until somebody starts it."""
    _command(name, [False], where)


@service.command()
@click.argument("name")
@with_server
def restart(name: str, **where: Any) -> None:
    """Stop a service, and start it when it has ended. What comes after it goes on meanwhile."""
    _command(name, [False, True], where)


def _command(name: str, wishes: Sequence[bool], where: dict[str, Any]) -> None:
    """Tell a service one after the other whether it shall run, as long as it obeys."""
    from binp.client import path_part

    client = Server(**where).client()
    status, has_obeyed = "", False
    for running in wishes:
        client.put(f"/internal/service/{path_part(name)}", {"running": running})
        status = _settled(client, name, running)
        has_obeyed = status in _OBEYED[running]
        # one that was given up has ended as well as one that was stopped
        if not has_obeyed and status != "failed":
            break
    click.echo(f"{name} is {status}")
    sys.exit(0 if has_obeyed else 1)


def _settled(client: Client, name: str, running: bool) -> str:
    """What the service is doing when it has obeyed, or when that was waited for."""
    end = time.monotonic() + _PATIENCE
    while True:
        found = next((one for one in client.get("/internal/services/") if one["name"] == name), None)
        status = "gone" if found is None else str(found["status"])
        if found is None or status in _SETTLED[running]:
            return status
        if time.monotonic() > end:
            return _doing(found)
        time.sleep(_TICK)
