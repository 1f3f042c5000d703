"""`python -m buvar PLUGIN...`: run plugins with configuration and logging."""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from buvar import config, context, log, plugin
from buvar.errors import BuvarError

__all__ = ["main"]

_log = logging.getLogger("buvar")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run plugins until their tasks have ended or a signal ends the process.

    The first task that fails starts the shutdown. How to log is the section ``log``, see `buvar.log.LogConfig`. HUP
    reads the configuration again. Environment variables that look like settings, and assignments, are logged as a
    warning if no plugin has read them.

    Args:
        arguments: Command line arguments; None for those of the process.

    Returns:
        Exit status: 0 for success; 1 when a task or the loading failed; 2 for a wrong command line or configuration,
        and for names that are not plugins.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        source = config.ConfigSource({"log": {"level": "INFO"}}, env_prefix=options.env_prefix)
        for file in options.config:
            source.add_file(file)
        if options.log_level is not None:
            source.override(f"log.level={options.log_level}")
        source.override(*options.set)
        settings = source.load(log.LogConfig, "log")
    except BuvarError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    if "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    with settings.setup(), context.child():
        context.add(source)
        stage = plugin.Stage(cancel_timeout=options.cancel_timeout, fail_fast=True, signals=plugin.ReloadSignals)

        async def check_environment() -> None:
            for problem in [*source.check_env(), *source.check_assignments()]:
                _log.warning("Unused setting: %s", problem)

        try:
            stage.run(config, *options.plugin, check_environment)
        except (config.ConfigError, plugin.PluginNotFoundError, plugin.PluginFunctionError) as error:
            parser.exit(2, f"{parser.prog}: {_told(error)}\n")
        except Exception:  # noqa: BLE001 - top level: logged with its traceback, and reported by the exit status
            _log.critical("The plugins could not be run to their end", exc_info=True)
            return 1
    return 1 if stage.failed else 0


def _told(error: Exception) -> str:
    """The message of an error and its notes, which name the plugins; without a traceback, which would not help."""
    return "\n".join([str(error), *(f"  {note}" for note in getattr(error, "__notes__", ()))])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m buvar", description="Run plugins.")
    parser.add_argument("plugin", nargs="+", help="dotted name: package.module or package.module:function")
    parser.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="a TOML, JSON or .env file; repeatable"
    )
    parser.add_argument("--env-prefix", metavar="PREFIX", help="first part of the environment variables")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=C", help="a setting that wins; repeatable")
    parser.add_argument(
        "--log-level", metavar="LEVEL", help="lowest level that is logged; wins over log.level of the files (INFO)"
    )
    parser.add_argument(
        "--cancel-timeout",
        type=float,
        default=plugin.CANCEL_TIMEOUT,
        metavar="SECONDS",
        help="grace for tasks that watch Cancel (%(default)s)",
    )
    return parser


if __name__ == "__main__":  # pragma: no cover - the tests of the command start it as a process of its own
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
