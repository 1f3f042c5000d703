"""Structured logging: readable lines on a terminal, JSON lines elsewhere; covers standard library loggers as well."""

from __future__ import annotations

from buvar.log._config import (
    DEFAULT_LOGGING_LEVEL,
    LOGGING_LEVEL_NAMES,
    LogConfig,
    LogLevelError,
    LogTargetError,
    Setup,
    setup_logging,
)
from buvar.log._hooks import StdioToLog, uncaught_exception
from buvar.log._render import ExtractLogExtra, add_os_pid, stringify_dict_keys
from buvar.log._sink import dropped, flush

__all__ = [
    "DEFAULT_LOGGING_LEVEL",
    "LOGGING_LEVEL_NAMES",
    "ExtractLogExtra",
    "LogConfig",
    "LogLevelError",
    "LogTargetError",
    "Setup",
    "StdioToLog",
    "add_os_pid",
    "dropped",
    "flush",
    "setup_logging",
    "stringify_dict_keys",
    "uncaught_exception",
]
