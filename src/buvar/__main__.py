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
    """Run plugins until their tasks have ended or the process is asked to end.

    The first task that fails begins the shutdown. How to log is the section ``log``, see `buvar.log.LogConfig`. HUP
    reads the configuration again. A variable that looks like a setting, and an assignment, that no plugin has read is
    logged as a warning.

    Args:
        arguments: The command line; None for that of the process.

    Returns:
        The exit status: 0; 1 when a task or the loading failed; 2 for a wrong command line or configuration, and for
        names that stand for no plugin.
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
        except Exception:  # noqa: BLE001 - the boundary: logged with its traceback, and told by the status
            _log.critical("The plugins could not be run to their end", exc_info=True)
            return 1
    return 1 if stage.failed else 0


def _told(error: Exception) -> str:
    """What an error says, and in which plugins; where it was noticed helps nobody."""
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
