"""The parts of a BINP that the routes expose, as dependencies."""

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

#: the largest integer that is exact in JavaScript
MAX_INTEGER = 2**53 - 1


class Platform(Protocol):
    """A home and the parts that share it: the interface of :class:`~binp.app.BINP` that the routes use."""

    @property
    def home(self) -> Home:
        """The home that the parts share."""

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
        """The schedules."""


def platform_of(connection: HTTPConnection) -> Platform:
    """The platform of a connection."""
    platform: Platform = connection.app.state.platform
    return platform


async def _open_home(connection: HTTPConnection) -> Home:
    return await platform_of(connection).home.ensure()


def trigger_of(connection: HTTPConnection) -> Trigger:
    """The trigger and actor for runs that a connection starts.

    A logged-in browser is always the console; a client with the token may say that it is a command line.
    """
    actor = connection.scope.get("binp.actor")
    if str(actor).startswith("session:"):
        return Trigger("console", actor)
    return Trigger("cli" if connection.headers.get("x-binp-trigger") == "cli" else "api", actor)


# async, because FastAPI calls sync dependencies in a thread, which costs more than the rest of a request


async def _here(connection: HTTPConnection) -> Platform:
    return platform_of(connection)


async def _by(connection: HTTPConnection) -> Trigger:
    return trigger_of(connection)


Here = Annotated[Platform, Depends(_here)]
Opened = Annotated[Home, Depends(_open_home)]
By = Annotated[Trigger, Depends(_by)]
