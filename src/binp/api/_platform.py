"""What the routes show: the parts of one BINP."""

from __future__ import annotations

from typing import Annotated, Protocol

from fastapi import Depends
from starlette.requests import HTTPConnection

from binp.action import Action
from binp.home import Home
from binp.journals import Journals
from binp.runs import Trigger
from binp.schedule import Schedule
from binp.service import Service

__all__ = ["MAX_INTEGER", "By", "Here", "Opened", "Platform", "platform_of", "trigger_of"]

#: the largest integer that JavaScript holds exactly
MAX_INTEGER = 2**53 - 1


class Platform(Protocol):
    """A home, and the parts that share it: a :class:`~binp.app.BINP`, seen from below."""

    @property
    def home(self) -> Home:
        """What the parts share."""

    @property
    def action(self) -> Action:
        """The actions."""

    @property
    def journal(self) -> Journals:
        """The history of journaled functions."""

    @property
    def service(self) -> Service:
        """The background services."""

    @property
    def schedule(self) -> Schedule:
        """What is started by time."""


def platform_of(connection: HTTPConnection) -> Platform:
    """The platform that a connection came to."""
    platform: Platform = connection.app.state.platform
    return platform


async def _open_home(connection: HTTPConnection) -> Home:
    return await platform_of(connection).home.ensure()


def trigger_of(connection: HTTPConnection) -> Trigger:
    """What a run that this connection starts is said to be started by.

    A browser that is logged in is the console, whatever it says; who has the token may say that it is a command line.
    """
    actor = connection.scope.get("binp.actor")
    if str(actor).startswith("session:"):
        return Trigger("console", actor)
    return Trigger("cli" if connection.headers.get("x-binp-trigger") == "cli" else "api", actor)


# FastAPI calls a plain function in a thread, which costs more than all the rest of a request


async def _here(connection: HTTPConnection) -> Platform:
    return platform_of(connection)


async def _by(connection: HTTPConnection) -> Trigger:
    return trigger_of(connection)


Here = Annotated[Platform, Depends(_here)]
Opened = Annotated[Home, Depends(_open_home)]
By = Annotated[Trigger, Depends(_by)]
