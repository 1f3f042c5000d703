"""Read, change and watch key-value state."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ._options import Integer, Number, Server, Signed, with_json, with_server

if TYPE_CHECKING:
    from binp.client import Client

__all__ = ["kv"]

F = TypeVar("F", bound=Callable[..., Any])

_VALUE = "/internal/kv/value"
#: keys, and versions, per request
_PAGE, _VERSIONS = 200, 1000
#: prefixes of JSON, and Python's spelling of JSON constants: such a value is not meant as text
_OPENING, _PYTHON = ("{", "[", '"'), ("True", "False", "None")
#: maximum length of a value in a table, in characters
_WIDTH = 60

_WORDS = {"set": "too long to be kept", "removed": "removed", "expired": "expired"}


def _with_namespace(command: F) -> F:
    return click.option("--namespace", "-n", default="default", show_default=True, help="Where the key is.")(command)


@click.group(short_help="Read, write and watch key-value state.")
def kv() -> None:
    """Read, write and watch the keys of the running server."""


@kv.command()
@with_server
def namespaces(**where: Any) -> None:
    """List the namespaces that have keys."""
    for name in Server(**where).client().get("/internal/kv/namespaces"):
        click.echo(name)


@kv.command("list")
@click.argument("prefix", default="")
@_with_namespace
@click.option("--limit", type=Integer(min=1), help="How many keys; all by default.")
@with_json
@with_server
def list_keys(prefix: str, namespace: str, limit: int | None, as_json: bool, **where: Any) -> None:
    """List the keys, or those that begin with PREFIX."""
    from ._output import local_time, show_json, show_table

    client = Server(**where).client()
    found = list(_keys(client, namespace, prefix, limit))
    if as_json:
        show_json(found)
        return
    show_table(
        ("key", "version", "changed", "value"),
        [(each["key"], str(each["version"]), local_time(each["updated_at"]), _short(each)) for each in found],
    )


@kv.command()
@click.argument("key")
@_with_namespace
@with_json
@with_server
def get(key: str, namespace: str, as_json: bool, **where: Any) -> None:
    """Print the value of KEY: text as it is, anything else as JSON. With --json, print the whole entry."""
    from ._output import show_json

    found = Server(**where).client().get(_VALUE, key=key, namespace=namespace)
    if as_json:
        show_json(found)
    else:
        value = json.loads(found["text"])
        click.echo(value if isinstance(value, str) else found["text"])


@kv.command("set", cls=Signed)
@click.argument("key")
@click.argument("value")
@_with_namespace
@click.option("--text", "is_text", is_flag=True, help="VALUE is text, even if it looks like JSON.")
@click.option("--ttl", type=Number(min=0, min_open=True), metavar="SECONDS", help="Time to live.")
@click.option("--if-version", type=Integer(min=0), help="Only if KEY has this version; 0 if it must not exist.")
@with_server
def set_key(
    key: str, value: str, namespace: str, is_text: bool, ttl: float | None, if_version: int | None, **where: Any
) -> None:
    """Set KEY to VALUE, which is JSON, or else text; - reads it from standard input. Prints the new version.

    The exit status is 1 if the version is not that of --if-version.
    """
    from binp.client import Answer

    given = sys.stdin.read() if value == "-" else value
    headers = {}
    if if_version is not None:
        headers = {"If-Match": f'"{if_version}"'} if if_version else {"If-None-Match": "*"}
    text = _json_text(given, is_text=is_text)
    query = {"key": key, "namespace": namespace, "ttl": ttl}
    try:
        written = Server(**where).client().send("PUT", _VALUE, text, headers=headers, **query)
    except Answer as answer:
        _end_if_conflict(answer)
        raise
    click.echo(written["version"])


@kv.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@_with_namespace
@click.option("--if-version", type=Integer(min=1), help="Only if KEY has this version; for a single KEY.")
@with_server
def rm(keys: tuple[str, ...], namespace: str, if_version: int | None, **where: Any) -> None:
    """Remove keys. The exit status is 1 if one does not exist or has another version."""
    from binp.client import Answer

    if if_version is not None and len(keys) > 1:
        raise click.UsageError("--if-version is of one KEY")
    client = Server(**where).client()
    headers = None if if_version is None else {"If-Match": f'"{if_version}"'}
    missing = []
    for key in keys:
        try:
            client.send("DELETE", _VALUE, headers=headers, key=key, namespace=namespace)
        except Answer as answer:
            _end_if_conflict(answer)
            if answer.status != 404:
                raise
            missing.append(key)
    if missing:
        click.echo(f"Error: not there: {', '.join(missing)}", err=True)
        sys.exit(1)


@kv.command()
@click.argument("key")
@_with_namespace
@click.option("--limit", type=Integer(1, _VERSIONS), default=20, show_default=True, help="How many versions.")
@with_json
@with_server
def history(key: str, namespace: str, limit: int, as_json: bool, **where: Any) -> None:
    """List the versions of KEY, newest first."""
    from ._output import local_time, show_json, show_table

    found = Server(**where).client().get("/internal/kv/history", key=key, namespace=namespace, limit=limit)
    if as_json:
        show_json(found)
        return
    show_table(
        ("version", "changed", "by", "run", "value"),
        [
            (
                str(each["version"]),
                local_time(each["at"]),
                each["actor"] or "",
                str(each["run"] or ""),
                each["text"] if each["text"] is not None else f"({_WORDS[each['event']]})",
            )
            for each in found
        ],
    )


@kv.command()
@click.argument("key", required=False)
@click.option("--prefix", default="", help="All keys that begin with this, instead of one.")
@_with_namespace
@with_json
@with_server
def watch(key: str | None, prefix: str, namespace: str, as_json: bool, **where: Any) -> None:
    """Print KEY, or all keys, and then every change until Ctrl-C. With --json, one object per line."""
    from binp.client import NotServed

    if key is not None and prefix:
        raise click.UsageError("watch one KEY, or those with a --prefix")
    seen: dict[str, int] = {}
    try:
        for entry in _changes(Server(**where).client(), namespace, key, prefix, seen):
            _print_change(entry, as_json=as_json)
    except KeyboardInterrupt:
        sys.exit(130)
    except NotServed as error:
        if not seen:
            raise
        click.echo(f"Error: the server went away: {error}", err=True)
    else:
        click.echo("Error: the server went away", err=True)
    sys.exit(1)


def _changes(
    client: Client, namespace: str, key: str | None, prefix: str, seen: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """The existing keys, and then their changes."""
    place = f"{namespace}/"
    for event, change in client.events(topics="kv"):
        if event != "message":
            yield from _survey(client, namespace, key, prefix, seen)
            continue
        name = str(change["id"]).removeprefix(place)
        if not str(change["id"]).startswith(place) or not (name == key if key is not None else name.startswith(prefix)):
            continue
        yield from _versions(client, namespace, name, seen, change["rev"] - 1)


def _survey(
    client: Client, namespace: str, key: str | None, prefix: str, seen: dict[str, int]
) -> Iterator[dict[str, Any]]:
    """The existing keys, and the changes of known ones, as far as they were not reported yet."""
    names = [each["key"] for each in _keys(client, namespace, prefix if key is None else key, None)]
    for name in sorted({*names, *seen}):
        if key is None or name == key:
            yield from _versions(client, namespace, name, seen, None)


def _versions(
    client: Client, namespace: str, name: str, seen: dict[str, int], before: int | None
) -> Iterator[dict[str, Any]]:
    """The versions of a key since it was last reported; if it never was, since version *before*, or the present one."""
    from binp.client import Answer

    try:
        found = client.get("/internal/kv/history", key=name, namespace=namespace, limit=_VERSIONS)
    except Answer as answer:
        if answer.status != 404:
            raise
        return
    told = seen.get(name, found[0]["version"] - 1 if before is None else before)
    for each in reversed(found):
        if each["version"] > told:
            seen[name] = each["version"]
            yield {"namespace": namespace, "key": name, **each}


def _keys(client: Client, namespace: str, prefix: str, limit: int | None) -> Iterator[dict[str, Any]]:
    after, left = "", limit
    while left is None or left > 0:
        most = _PAGE if left is None else min(left, _PAGE)
        page = client.get("/internal/kv/keys", namespace=namespace, prefix=prefix, after=after, limit=most)
        yield from page
        if len(page) < most:
            return
        after = page[-1]["key"]
        left = None if left is None else left - len(page)


def _print_change(entry: dict[str, Any], *, as_json: bool) -> None:
    from ._output import local_time

    if as_json:
        click.echo(json.dumps(entry, ensure_ascii=False))
    else:
        value = entry["text"] if entry["text"] is not None else f"({_WORDS[entry['event']]})"
        click.echo(f"{local_time(entry['at'])}  {entry['key']}  {value}")


def _short(key: dict[str, Any]) -> str:
    text = "..." if key["is_cut"] else json.dumps(key["value"], ensure_ascii=False)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _json_text(given: str, *, is_text: bool) -> str:
    """*given* as JSON: unchanged if it is valid, otherwise as text; reports what looks like JSON but is invalid."""
    if not is_text:
        try:
            json.loads(given)
        except ValueError as error:
            if given.lstrip()[:1] in _OPENING or given.strip() in _PYTHON:
                click.echo(f"kept as text, for it is not JSON: {error} (--text says that it is meant so)", err=True)
        else:
            return given
    return json.dumps(given, ensure_ascii=False)


def _end_if_conflict(answer: Any) -> None:
    """Exit with status 1 if a key has another version."""
    if answer.status == 412:
        click.echo(f"Error: {answer}", err=True)
        sys.exit(1)
