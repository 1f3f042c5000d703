"""The command line."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import click

from buvar.errors import Explained

from ._action import action
from ._check import check, migrate
from ._copies import backup, restore
from ._info import info
from ._journal import journal
from ._kv import kv
from ._link import link
from ._options import name_token
from ._run import run
from ._schedule import schedule
from ._service import service
from ._transfer import export, import_lines
from ._version import version

__all__ = ["main"]


class _Refusal(click.ClickException):
    """An error that the user can fix, shown as text without a traceback."""

    exit_code = 2

    def __init__(self, error: Explained) -> None:
        super().__init__(str(error))


class _Commands(click.Group):
    """A group that shows errors as text."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors are printed, with exit status 2, or 1 if the output cannot be written."""
        try:
            return super().invoke(ctx)
        except Explained as error:
            name_token(error, ctx)
            raise _Refusal(error) from error
        except UnicodeEncodeError as error:
            if error.reason != "surrogates not allowed":
                raise
            # the shell passed bytes that are not UTF-8 text
            text = os.fsencode(str(error.object)[:60])
            raise click.UsageError(f"what is given is not UTF-8 text: {text!r}") from None
        except OSError as error:
            if error.errno != errno.ENOSPC or error.filename is not None:
                raise
            # prevents another attempt to write the output when the process exits
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.ClickException(f"what is printed cannot be written: {error.strerror}") from None


def _tell_version(ctx: click.Context, _option: click.Parameter, is_given: bool) -> None:
    if is_given:
        ctx.invoke(version)
        ctx.exit()


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_tell_version, help="Print the version."
)
def main() -> None:
    """Serve a file of Python functions as buttons, schedules and background services, with a history."""


for _command in (
    run,
    action,
    journal,
    kv,
    schedule,
    service,
    link,
    version,
    backup,
    restore,
    check,
    export,
    import_lines,
    info,
    migrate,
):
    main.add_command(_command)
