"""The commands for key-value state against a running server."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest

OPS = "from binp import BINP\n\nbinp = BINP()\n"

Run = Callable[..., CompletedProcess[str]]


def test_keys_are_written_read_listed_and_removed(server: Any, binp: Run) -> None:
    """Values are JSON or text; lists are plain text in a pipe; a removed key is not there, which is status 1 or 2."""
    number = binp("kv", "set", "target", "21.5", "--ttl", "3600")
    text = binp("kv", "set", "a/b c", "on")
    forced = binp("kv", "set", "pin", "0123", "--text")
    elsewhere = binp("kv", "set", "x", '{"a": [1]}', "-n", "other")
    values = [binp("kv", "get", key).stdout for key in ("target", "a/b c", "pin")]
    listed = binp("kv", "list")
    one = json.loads(binp("kv", "list", "p", "--json", "--limit", "1").stdout)
    whole = json.loads(binp("kv", "get", "target", "--json").stdout)
    namespaces = binp("kv", "namespaces")
    removed = binp("kv", "rm", "a/b c", "pin")
    missing = binp("kv", "rm", "pin", "target")
    unknown = binp("kv", "get", "target")

    assert [(done.returncode, done.stdout) for done in (number, text, forced, elsewhere)] == [(0, "1\n")] * 4
    assert values == ["21.5\n", "on\n", "0123\n"]
    lines = [line.split(maxsplit=5) for line in listed.stdout.splitlines()]
    assert lines[0] == ["key", "version", "changed", "value"]
    assert [(line[0], line[-1]) for line in lines[2:]] == [("pin", '"0123"'), ("target", "21.5")]
    assert [(each["key"], each["value"]) for each in one] == [("pin", "0123")]
    assert (whole["text"], whole["version"], whole["actor"]) == ("21.5", 1, "token")
    assert whole["expires_at"] is not None
    assert namespaces.stdout == "default\nother\n"
    assert (removed.returncode, removed.stdout, removed.stderr) == (0, "", "")
    assert (missing.returncode, missing.stderr) == (1, "Error: not there: pin\n")
    assert (unknown.returncode, unknown.stderr) == (2, "Error: key target not found in namespace default\n")


@pytest.mark.parametrize("value", ['{"a":', "[1,", "True", '"quote'])
def test_a_value_that_is_nearly_json_is_told(server: Any, binp: Run, value: str) -> None:
    """What looks like JSON and is none is kept as text, which standard error says; not where text is meant."""
    odd = binp("kv", "set", "x", value)
    meant = binp("kv", "set", "x", value, "--text")
    plain = binp("kv", "set", "x", "eco")

    assert (odd.returncode, odd.stdout) == (0, "1\n")
    assert odd.stderr.startswith("kept as text, for it is not JSON: ")
    assert json.loads(binp("kv", "history", "x", "--json").stdout)[-1]["text"] == json.dumps(value)
    assert (meant.stderr, plain.stderr) == ("", "")


def test_keys_are_written_in_an_expected_version_alone(server: Any, binp: Run) -> None:
    """What is in another version than expected is left alone, with status 1; the history has what was."""
    created = binp("kv", "set", "x", "1", "--if-version", "0")
    again = binp("kv", "set", "x", "2", "--if-version", "0")
    changed = binp("kv", "set", "x", "3", "--if-version", "1")
    late = binp("kv", "rm", "x", "--if-version", "1")
    removed = binp("kv", "rm", "x", "--if-version", "2")
    history = binp("kv", "history", "x")
    versions = json.loads(binp("kv", "history", "x", "--json", "--limit", "2").stdout)
    several = binp("kv", "rm", "x", "y", "--if-version", "2")

    assert [done.returncode for done in (created, again, changed, late, removed)] == [0, 1, 0, 1, 0]
    assert again.stderr == (
        "Error: key 'x' of namespace 'default' is there already, in version 1\n"
        "  fix:   read it again, and decide anew\n"
    )
    lines = [line.split() for line in history.stdout.splitlines()]
    assert lines[0] == ["version", "changed", "by", "run", "value"]
    assert [(line[0], line[3], line[-1]) for line in lines[1:]] == [
        ("3", "token", "(removed)"),
        ("2", "token", "3"),
        ("1", "token", "1"),
    ]
    assert [(each["version"], each["event"]) for each in versions] == [(3, "removed"), (2, "set")]
    assert several.returncode == 2
    assert "--if-version is of one KEY" in several.stderr


def test_keys_are_watched(server: Any, start: Callable[..., Any]) -> None:
    """First what there is, then each change, until Ctrl-C or the end of the server."""

    def put(key: str, value: Any) -> None:
        server.ask("PUT", f"/internal/kv/value?key={key}", value)

    put("t1", 1)
    put("other", 1)
    one, many = start("binp", "kv", "watch", "t1"), start("binp", "kv", "watch", "--prefix", "t", "--json")
    for watching in (one, many):
        watching.until(lambda process=watching: process.stdout.count("\n") == 1, "present value")
    put("t1", "two")
    put("other", 2)
    put("t2", 0)
    server.ask("DELETE", "/internal/kv/value?key=t1", status=204)
    one.until(lambda: one.stdout.count("\n") == 3, "changes")
    many.until(lambda: many.stdout.count("\n") == 4, "changes")
    one.signal(signal.SIGINT)

    assert one.wait() == 130
    assert [line.split("  ")[1:] for line in one.stdout.splitlines()] == [
        ["t1", "1"],
        ["t1", '"two"'],
        ["t1", "(removed)"],
    ]
    told = [json.loads(line) for line in many.stdout.splitlines()]
    assert [(each["key"], each["value"], each["event"], each["version"]) for each in told] == [
        ("t1", 1, "set", 1),
        ("t1", "two", "set", 2),
        ("t2", 0, "set", 1),
        ("t1", None, "removed", 3),
    ]
    server.stop()
    assert many.wait() == 1
    assert many.stderr.startswith("Error: the server went away")
    assert "Traceback" not in one.stderr + many.stderr
