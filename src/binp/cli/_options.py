"""What the commands have in common that talk to a server: how to find it, and how to answer."""

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

#: where the context of a command keeps where its token comes from
_TOKEN = __name__ + ".token"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """Where the server is that a command talks to."""

    db: str | None
    url: str | None
    token: str | None

    @property
    def database(self) -> Path:
        """The database beside which the server is looked for.

        Raises:
            StoreError: the URL names no database.
        """
        from binp.settings import Settings
        from binp.store import database_path
        from buvar.config import ConfigSource

        settings = Settings.load(ConfigSource(), {"db": self.db})
        return database_path(settings.db)

    def client(self) -> Client:
        """A client of it.

        Raises:
            NotServed: it is not there.
        """
        from binp.client import connect

        context = click.get_current_context(silent=True)
        if context is not None:
            context.meta[_TOKEN] = self._token_place(context)
        return connect(None if self.url else self.database, url=self.url, token=self.token, trigger="cli")

    def _token_place(self, context: click.Context) -> str | None:
        """Where the token comes from."""
        if self.token is None:
            return None if self.url else f"{self.database}.token"
        is_set = context.get_parameter_source("token") is ParameterSource.ENVIRONMENT
        return "BINP_TOKEN in the environment" if is_set else "--token"


def name_token(error: Explained, context: click.Context) -> None:
    """Say in *error*, where that is about the token, which one was sent."""
    if getattr(error, "status", None) != 401:
        return
    place = context.meta.get(_TOKEN)
    if place is None:
        error.fix = "give the token with --token or BINP_TOKEN: it is in the file that ends in .token on the server"
    else:
        error.where = place


class Dashed(click.Command):
    """A command whose arguments may begin with a minus, as ``-label:test`` and ``-5`` do."""

    #: what is an argument and no option: an option is one letter behind a minus, or begins with two
    argument = re.compile(r"-[^-].+", re.DOTALL)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the options first, and the arguments behind ``--``, where click takes them as they are."""
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
                        return super().parse_args(ctx, args)  # which says that it is missing
                    options.append(value)
        return super().parse_args(ctx, [*options, "--", *arguments])


class Signed(Dashed):
    """A command whose arguments may be numbers below zero."""

    argument = re.compile(r"-(\d.*|Infinity)", re.DOTALL)


class Integer(click.IntRange):
    """A whole number within bounds."""

    #: what is said of a word that is none
    name = "integer"


class Number(click.FloatRange):
    """A number within bounds."""

    name = "number"


def with_server(command: F) -> F:
    """Give a command the options that name a server; it gets ``db``, ``url`` and ``token``."""
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
    """Give a command the option that names a database; it gets ``db``."""
    return click.option("--db", metavar="URL", help="URL or path of the database; data.db by default.")(command)


def database_of(db: str | None) -> Path:
    """The file of the database that was named, or is set.

    Raises:
        StoreError: the URL names no database.
    """
    return Server(db=db, url=None, token=None).database


def with_json(command: F) -> F:
    """Give a command the option ``--json``; it gets ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
