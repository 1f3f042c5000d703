"""Options that several commands share: how to find the server, and the output format."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from binp.client import Client
    from buvar.errors import Explained

#: key in the context of a command for the source of its token
_TOKEN = __name__ + ".token"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """The server that a command talks to."""

    db: str | None
    url: str | None
    token: str | None

    @property
    def database(self) -> Path:
        """The database whose server is used.

        Raises:
            StoreError: the URL does not name a usable database.
        """
        from binp.settings import Settings
        from binp.store import database_path
        from buvar.config import ConfigSource

        settings = Settings.load(ConfigSource(), {"db": self.db})
        return database_path(settings.db)

    def client(self) -> Client:
        """A client for the server.

        Raises:
            NotServed: there is none.
        """
        from binp.client import connect

        context = click.get_current_context(silent=True)
        if context is not None:
            context.meta[_TOKEN] = self._token_place(context)
        return connect(None if self.url else self.database, url=self.url, token=self.token, trigger="cli")

    def _token_place(self, context: click.Context) -> str | None:
        """The source of the token."""
        if self.token is None:
            return None if self.url else f"{self.database}.token"
        is_set = context.get_parameter_source("token") is ParameterSource.ENVIRONMENT
        return "BINP_TOKEN in the environment" if is_set else "--token"


def name_token(error: Explained, context: click.Context) -> None:
    """If *error* is about the token, add which token was sent."""
    if getattr(error, "status", None) != 401:
        return
    place = context.meta.get(_TOKEN)
    if place is None:
        error.fix = "give the token with --token or BINP_TOKEN: it is in the file that ends in .token on the server"
    else:
        error.where = place


class Dashed(click.Command):
    """A command whose arguments may start with a minus, such as ``-label:test`` and ``-5``."""

    #: matches arguments; an option is a minus and one letter, or starts with two
    argument = re.compile(r"-[^-].+", re.DOTALL)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move the options to the front, and the arguments after ``--``, where click does not interpret them."""
        named = [each for each in self.get_params(ctx) if isinstance(each, click.Option) and not each.is_flag]
        with_value = {name for each in named for name in each.opts}
        options: list[str] = []
        arguments: list[str] = []
        words = iter(args)
        for word in words:
            if word == "--":
                arguments += words
            elif word == "-" or not word.startswith("-") or self.argument.fullmatch(word):
                arguments.append(word)
            else:
                options.append(word)
                if word in with_value:
                    value = next(words, None)
                    if value is None:
                        return super().parse_args(ctx, args)  # reports that it is missing
                    options.append(value)
        return super().parse_args(ctx, [*options, "--", *arguments])


class Signed(Dashed):
    """A command whose arguments may be negative numbers."""

    argument = re.compile(r"-(\d.*|Infinity)", re.DOTALL)


class Integer(click.IntRange):
    """An integer within bounds."""

    #: used in the error message
    name = "integer"


class Number(click.FloatRange):
    """A number within bounds."""

    name = "number"


def with_server(command: F) -> F:
    """Add the options that select a server; the command gets ``db``, ``url`` and ``token``."""
    options = (
        click.option("--db", metavar="URL", help="Database of the server to talk to; data.db by default."),
        click.option("--url", metavar="URL", envvar="BINP_URL", help="Address of the server, instead of its database."),
        click.option(
            "--token", envvar="BINP_TOKEN", help="Token of the server; read from beside the database by default."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def with_database(command: F) -> F:
    """Add the option that selects a database; the command gets ``db``."""
    return click.option("--db", metavar="URL", help="URL or path of the database; data.db by default.")(command)


def database_of(db: str | None) -> Path:
    """The file of the given or configured database.

    Raises:
        StoreError: the URL does not name a usable database.
    """
    return Server(db=db, url=None, token=None).database


def with_json(command: F) -> F:
    """Add the option ``--json``; the command gets ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
