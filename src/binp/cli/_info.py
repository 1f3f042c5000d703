"""Show the content of the database, and the retention rules."""

from __future__ import annotations

import math
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from ._options import Server, with_json, with_server


@click.command(short_help="Show what the database holds and how long it is kept.")
@click.option("--config", metavar="PATH", help="The configuration file, if no server is running.")
@with_json
@with_server
def info(config: str | None, as_json: bool, **where: Any) -> None:
    """Show what the database holds, how large it is, and how long runs are kept.

    Asks the server if one is running, else reads the file.
    """
    from binp.client import NotServed

    from ._output import show_json

    server = Server(**where)
    try:
        found = server.client().get("/internal/retention")
    except NotServed:
        if server.url is not None:
            raise
        found = _read(server, config)
    if as_json:
        show_json(found)
    else:
        _print(found)


def _read(server: Server, config: str | None) -> dict[str, Any]:
    """What a server would report, except for the rules of its functions."""
    from binp.home import retention_of
    from binp.operations import Operations
    from binp.settings import Settings, read_source
    from binp.store.sqlite import usage_of

    settings = Settings.load(read_source(config)).retention
    retention = retention_of(settings, Operations())
    usage = usage_of(server.database)

    def keeping(keep: Any) -> dict[str, Any]:
        ages = {name: None if age is None or math.isinf(age) else age for name, age in asdict(keep).items()}
        return ages | {"runs": keep.runs}

    general = retention.general
    return {
        "general": keeping(general),
        "size": retention.size,
        "operations": {name: keeping(keep.within(general)) for name, keep in retention.operations.items()},
        "labels": {name: keeping(keep.within(general)) for name, keep in retention.labels.items()},
        "used": usage.used,
        "free": usage.free,
        "log": usage.log,
        "run_count": usage.runs,
        "oldest_at": _text(usage.oldest),
        "erased": usage.erased,
        "erased_at": _text(usage.erased_at),
        "problem": usage.problem,
    }


def _text(at: int | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at / 1e6, UTC).isoformat()


def _print(found: dict[str, Any]) -> None:
    from ._output import local_time
    from ._progress import size_text

    since = f", the oldest of {local_time(found['oldest_at'])}" if found["oldest_at"] else ""
    last = f", the last one {local_time(found['erased_at'])}" if found["erased_at"] else ""
    rows = [
        ("in use", size_text(found["used"])),
        ("free", size_text(found["free"])),
        ("log", size_text(found["log"])),
        ("runs", f"{found['run_count']:,}{since}"),
        ("erased", f"{found['erased']:,}{last}"),
        ("kept", _keeping(found["general"], found["size"])),
        *((f"  {name}", _keeping(rule)) for name, rule in found["operations"].items()),
        *((f"  label {name}", _keeping(rule)) for name, rule in found["labels"].items()),
    ]
    if found["problem"]:
        rows.append(("problem", found["problem"]))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"{name:<{width}}  {text}")


def _days(number: float) -> str:
    return f"{number:g} day{'' if number == 1 else 's'}"


def _keeping(rule: dict[str, Any], size: int | None = None) -> str:
    from ._progress import size_text

    limits = []
    if rule["days"] is not None:
        limits.append(_days(rule["days"]))
        if rule["failed_days"] is not None and rule["failed_days"] > rule["days"]:
            limits[0] += f" ({_days(rule['failed_days'])} where it failed)"
    if rule["runs"] is not None:
        limits.append(f"{rule['runs']:,} run{'' if rule['runs'] == 1 else 's'}")
    if size is not None:
        limits.append(size_text(size))
    return ", ".join(limits) or "for ever"
