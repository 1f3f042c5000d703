"""Tests for `binp.cli._options`: what begins with a minus and is no option."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from binp.cli import main
from binp.cli._journal import journal
from binp.cli._kv import kv


def parameters(group, name, *arguments):
    command = group.commands[name]
    # click keeps the names of the help option that it saw first
    return command.make_context(name, list(arguments), help_option_names=["-h", "--help"]).params


@pytest.mark.parametrize(
    ("arguments", "query", "limit"),
    [
        (
            ["timeout", "state:failed", "-label:test", "since:2h"],
            ("timeout", "state:failed", "-label:test", "since:2h"),
            20,
        ),
        (["-white", "--limit", "5", '-"card declined"'], ("-white", '-"card declined"'), 5),
        (["--limit=5", "--", "--json", "-h"], ("--json", "-h"), 5),
        ([], (), 20),
    ],
)
def test_a_minus_in_a_search_is_no_option(arguments, query, limit):
    """SEARCH: `-label:test` excludes on the command line too, among options, and behind `--`."""
    found = parameters(journal, "list", *arguments)
    assert (found["query"], found["limit"], found["as_json"]) == (query, limit, False)


@pytest.mark.parametrize("arguments", [["neg", "-5", "--ttl", "2"], ["--ttl", "2", "neg", "-5"]])
def test_a_number_below_zero_is_a_value(arguments):
    """KV: `binp kv set KEY -5` writes a number, wherever the options are."""
    found = parameters(kv, "set", *arguments)
    assert (found["key"], found["value"], found["ttl"]) == ("neg", "-5", 2.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["journal", "list", "-n", "5"], "No such option '-n'"),
        (["journal", "list", "--stat", "failed"], "No such option '--stat'"),
        (["journal", "list", "--limit"], "Option '--limit' requires an argument"),
        (["kv", "set", "a", "-5", "-x"], "No such option '-x'"),
        (["kv", "set", "a", "5", "--ttl", "-5"], "Invalid value for '--ttl'"),
    ],
)
def test_a_misspelt_option_is_still_refused(arguments, message):
    """CLI: what looks like an option and is none is refused with status 2."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_help_is_still_help():
    """CLI: `-h` shows the help of a command that takes words with a minus."""
    result = CliRunner().invoke(main, ["journal", "list", "-h"])
    assert (result.exit_code, "--operation" in result.output) == (0, True), result.output
