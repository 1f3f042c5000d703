"""The settings of the platform: where they are read from, and their defaults."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from binp.errors import UsageError
from buvar.config import ConfigSource
from buvar.errors import BuvarError
from buvar.secret import REDACTED

__all__ = [
    "LEVELS",
    "SECTION",
    "FilesSettings",
    "InvalidSetting",
    "KeepSettings",
    "RetentionSettings",
    "Settings",
    "TraceSettings",
    "is_loopback",
    "read_size",
    "read_source",
    "unread_variables",
]

#: name of the section in a configuration file, and prefix of environment variables
SECTION = "binp"

_AUTH = ("token", "none")

#: variables of the client commands, and the time at which a command was started
_OTHERS = {"BINP_URL", "BINP_TOKEN", "BINP_BEGAN"}

#: log levels and their numbers; ``off`` is above all of them
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50, "off": 1000}

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", re.IGNORECASE)


class InvalidSetting(UsageError):
    """A setting has an invalid value."""


@dataclass(frozen=True, kw_only=True)
class KeepSettings:
    """How long to keep the runs of one operation, or those with one label. Unset values come from the general rule."""

    #: days after the end of the run; 0 keeps it for ever
    days: float | None = None
    #: the same for failed, cancelled and interrupted runs, if longer
    failed_days: float | None = None
    #: how many of the newest runs to keep; 0 for any number
    runs: int = 0


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """How long to keep runs after they ended. Older ones are erased while the server runs."""

    #: days after the end of the run; 0 keeps it for ever
    days: float = 90.0
    #: the same for failed, cancelled and interrupted runs, if longer
    failed_days: float = 0.0
    #: how many runs to keep in all, the newest; 0 for any number
    runs: int = 1_000_000
    #: maximum size of the database, such as ``500 MB`` or ``2 GiB``; 0 for any size
    size: str = "2 GiB"
    #: rules for single operations (actions, journaled functions, services), by name
    operations: dict[str, KeepSettings] = field(default_factory=dict)
    #: rules for labels; they take precedence over those for operations
    labels: dict[str, KeepSettings] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """The size in bytes; 0 for any size.

        Raises:
            InvalidSetting: the size cannot be parsed.
        """
        return read_size(self.size, "[binp.retention] size or BINP_RETENTION_SIZE", or_zero=", or '0' for any size")

    def check(self) -> None:
        """Reject invalid values.

        Raises:
            InvalidSetting: the message says which setting, and what to write instead.
        """
        _ = self.bytes
        rules = {f"operations.{name}": rule for name, rule in self.operations.items()}
        rules |= {f"labels.{name}": rule for name, rule in self.labels.items()}
        for path, rule in [("", self), *rules.items()]:
            for name in ("days", "failed_days", "runs"):
                # written so that NaN is rejected too
                if not (value := getattr(rule, name) or 0) >= 0:
                    raise InvalidSetting(
                        f"{name} is {value}",
                        where=f"[binp.retention{path and f'.{path}'}] {name}",
                        fix="write a number above 0, or 0 to keep without limit",
                    )


@dataclass(frozen=True, kw_only=True)
class FilesSettings:
    """Limits for files that actions take and return, which are stored in a folder beside the database."""

    #: maximum size of one file, such as ``100 MB``
    size: str = "100 MB"
    #: maximum size of all uploaded files in use, and of all results; the oldest results are removed to make room
    total: str = "2 GiB"

    @property
    def bytes(self) -> tuple[int, int]:
        """Size and total in bytes.

        Raises:
            InvalidSetting: one of them cannot be parsed, or is zero.
        """
        found = []
        for name in ("size", "total"):
            where = f"[binp.files] {name} or BINP_FILES_{name.upper()}"
            found.append(read_size(getattr(self, name), where))
            if found[-1] <= 0:
                raise InvalidSetting(f"{name} is {getattr(self, name)!r}", where=where, fix="write it like '100 MB'")
        return found[0], found[1]

    def check(self) -> None:
        """Reject invalid values.

        Raises:
            InvalidSetting: the message says which setting, and what to write instead.
        """
        _ = self.bytes


@dataclass(frozen=True, kw_only=True)
class TraceSettings:
    """What is recorded of a run besides its own records."""

    #: record local variables in the traceback of a failed run
    locals: bool = True
    #: lowest level of log lines that become records: ``debug``, ``info``, ``warning``, ``error``, ``critical``; ``off``
    #: records none
    logs: str = "info"
    #: maximum number of recorded lines of output and logging per run; further lines are only counted
    lines: int = 10_000
    #: regular expressions, case-insensitive: values of variables and fields with a matching name are masked
    redact: tuple[str, ...] = (*REDACTED, "pwd", "credential")

    def check(self) -> None:
        """Reject invalid values.

        Raises:
            InvalidSetting: the message says which setting, and what to write instead.
        """
        if self.logs.lower() not in LEVELS:
            raise InvalidSetting(
                f"logs is {self.logs!r}",
                where="[binp.trace] logs or BINP_TRACE_LOGS",
                fix=f"write one of {', '.join(LEVELS)}",
            )
        if self.lines < 0:
            raise InvalidSetting(
                f"lines is {self.lines}", where="[binp.trace] lines or BINP_TRACE_LINES", fix="write a number from 0 on"
            )
        for each in self.redact:
            try:
                re.compile(each)
            except re.error as error:
                raise InvalidSetting(
                    f"redact has {each!r}, which is not a regular expression: {error}",
                    where="[binp.trace] redact or BINP_TRACE_REDACT",
                    fix="write part of a name, like 'password'",
                ) from None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one BINP.

    Each is read from the section ``[binp]`` of the configuration file, then the environment variable ``BINP_NAME``,
    then the command line; later sources take precedence. The old variables ``DB_URL`` and ``DEV`` are read as well.
    """

    #: URL or path of the database
    db: str = "sqlite:///data.db"
    #: address to listen on
    host: str = "127.0.0.1"
    #: port to listen on; 0 for a free one
    port: int = 8000
    #: authentication: ``token``, or ``none`` (only on loopback)
    auth: str = "token"
    #: additional host names under which the server is reached
    allowed_hosts: tuple[str, ...] = ()
    #: maximum duration of a shutdown, in seconds
    grace: float = 25.0
    #: allow development servers on localhost to use the API from a browser
    dev: bool = False
    #: how many versions of a key to keep, including the current one
    kv_history: int = 100
    #: maximum size of one request to the platform, such as ``16 MB``, except files
    body: str = "16 MB"
    #: how long to keep runs
    retention: RetentionSettings = RetentionSettings()
    #: limits for files that actions take and return
    files: FilesSettings = FilesSettings()
    #: what is recorded of a run besides its own records
    trace: TraceSettings = TraceSettings()

    @classmethod
    def load(cls, source: ConfigSource, overrides: Mapping[str, Any] | None = None) -> Settings:
        """Read the settings from *source* and the environment; *overrides* that are not None take precedence.

        Raises:
            buvar.config.ConfigLoadError: a value has the wrong type; every problem is listed with its source.
            InvalidSetting: a value is invalid, by itself or in combination with others.
        """
        loaded: Settings = source.load(cls, SECTION)
        given = {name: value for name, value in (overrides or {}).items() if value is not None}
        section = source.get(SECTION)
        if "db" not in given and "BINP_DB" not in os.environ and (url := os.environ.get("DB_URL")) is not None:
            given["db"] = url
        if "BINP_DEV" not in os.environ and not (isinstance(section, Mapping) and "dev" in section):
            given.setdefault("dev", os.environ.get("DEV", "").strip().lower() in {"1", "true", "t", "yes", "y", "on"})
        settings = replace(loaded, **given)
        settings.check()
        return settings

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        return is_loopback(self.host)

    @property
    def body_bytes(self) -> int:
        """Maximum size of one request in bytes.

        Raises:
            InvalidSetting: the size cannot be parsed, or is zero.
        """
        where = "[binp] body or BINP_BODY"
        if (found := read_size(self.body, where)) <= 0:
            raise InvalidSetting(f"body is {self.body!r}", where=where, fix="write it like '16 MB'")
        return found

    def check(self) -> None:
        """Reject settings with which nothing can be served.

        Raises:
            InvalidSetting: the message says which setting, and what to write instead.
        """
        if self.auth not in _AUTH:
            raise InvalidSetting(
                f"auth is {self.auth!r}", where="[binp] auth, BINP_AUTH or --auth", fix="write 'token' or 'none'"
            )
        if not 0 <= self.port <= 65535:
            raise InvalidSetting(
                f"port is {self.port}", where="[binp] port, BINP_PORT or --port", fix="write a number from 0 to 65535"
            )
        if not self.grace > 0:
            raise InvalidSetting(
                f"grace is {self.grace}", where="[binp] grace or BINP_GRACE", fix="write seconds above 0"
            )
        if not 1 <= self.kv_history <= 1000:
            raise InvalidSetting(
                f"kv_history is {self.kv_history}",
                where="[binp] kv_history or BINP_KV_HISTORY",
                fix="write a number from 1 to 1000",
            )
        _ = self.body_bytes
        self.retention.check()
        self.files.check()
        self.trace.check()
        if self.auth == "none" and not self.is_loopback:
            raise InvalidSetting(
                f"auth is 'none', but {self.host!r} can be reached from other machines",
                where="[binp] host and auth",
                fix="leave auth='token', or listen on 127.0.0.1",
            )


def read_size(text: str, where: str, *, or_zero: str = "") -> int:
    """The bytes in a text such as ``500 MB`` or ``2 GiB``. *where* and *or_zero* are parts of the error message.

    Raises:
        InvalidSetting: *text* is not a size.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise InvalidSetting(f"size is {text!r}", where=where, fix=f"write it like '500 MB' or '2 GiB'{or_zero}")
    number, unit, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** " kmgt".index((unit or " ").lower()))


def is_loopback(host: str) -> bool:
    """Whether *host* is a name or an address that always means this machine, with or without brackets."""
    name = host.lower()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        # reserved by RFC 6761; any other name can resolve to any address
        return name == "localhost" or name.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def unread_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Messages about environment variables that look like settings but are none, most likely misspelt ones.

    Args:
        environ: The environment. Default: that of this process.
    """
    source = ConfigSource(env_prefix=SECTION, environ=environ)
    kinds: dict[str | None, type] = {None: Settings, "retention": RetentionSettings, "trace": TraceSettings}
    for name, kind in kinds.items():
        # invalid values of other settings are reported where they are used
        with contextlib.suppress(BuvarError):
            source.load(kind, name)
    return [problem.message for problem in source.check_env() if not _is_used_elsewhere(problem.message)]


def _is_used_elsewhere(message: str) -> bool:
    return message.partition(" ")[0] in _OTHERS


def read_source(config: str | os.PathLike[str] | None) -> ConfigSource:
    """The configuration file *config*; with None, the environment only.

    Raises:
        InvalidSetting: the file is missing.
    """
    if config is None:
        return ConfigSource()
    path = Path(config)
    if not path.is_file():
        raise InvalidSetting(
            f"there is no configuration file {str(config)!r}",
            where=str(path.absolute()),
            fix="create it, or name another one",
        )
    return ConfigSource.files(path)
