"""The command line as a whole: what it offers, what it costs to start, how it says no."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import binp
from binp.cli import main

HEAVY = (
    "fastapi",
    "starlette",
    "uvicorn",
    "pydantic",
    "sqlite3",
    "rich",
    "structlog",
    "http.client",
    "cattrs",
    "asyncio",
)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["-h"],
        ["run", "--help"],
        ["action", "invoke", "--help"],
        ["journal", "--help"],
        ["backup", "--help"],
        ["version"],
    ],
)
def test_help_loads_nothing_heavy(run_python: Callable[[str], str], arguments: list[str]) -> None:
    """Asking for help loads neither the web, nor a database, nor what draws tables."""
    printed = run_python(
        "import sys\nfrom binp.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )

    assert printed.splitlines()[-1] == "LOADED []"


def test_the_commands_are_listed() -> None:
    """The help names every command with one line."""
    text = CliRunner().invoke(main, ["--help"]).output

    commands = [line.split()[0] for line in text.partition("Commands:\n")[2].splitlines()]
    ours = ["backup", "check", "export", "import", "info", "migrate", "restore"]
    assert commands == sorted(["action", "journal", "kv", "link", "run", "schedule", "service", "version", *ours])


def test_the_version() -> None:
    """The version is that of the package."""
    for asked in ("version", "--version"):
        assert CliRunner().invoke(main, [asked]).output == f"binp {binp.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["runn"], "No such command 'runn'. Did you mean 'run'?"),
        (["action", "heat"], "No such command 'heat'. To run an action of this name: binp action invoke heat"),
        (["action", "lits"], "No such command 'lits'. Did you mean 'list'?"),
        (["journal", "lost"], "No such command 'lost'. Did you mean 'list'?"),
        (["run", "ops.py", "--confg", "x"], "No such option '--confg'. Did you mean '--config'?"),
        (["run", "ops.py", "--port", "70000"], "Invalid value for '--port': 70000 is not in the range 0<=x<=65535."),
        (["run"], "Missing argument 'FILE[:NAME]'."),
        (["journal", "show", "x"], "Invalid value for 'ID': 'x' is not a valid integer."),
        (["kv", "set", "a", "1", "--ttl", "soon"], "Invalid value for '--ttl': 'soon' is not a valid number."),
        (["journal", "list", "--state", "lost"], "Invalid value for '--state': 'lost' is not one of"),
    ],
)
def test_a_slip_of_the_pen(arguments: list[str], text: str) -> None:
    """A misspelt command or option is status 2, with what was meant."""
    done = CliRunner().invoke(main, arguments)

    assert done.exit_code == 2
    assert text in done.output


@pytest.mark.parametrize("arguments", [["journal", "list"], ["action", "list"], ["link"], ["action", "invoke", "x"]])
def test_what_can_be_mended_is_told_in_words(
    arguments: list[str], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that says what, where and how to mend it is printed as that, with status 2."""
    done = CliRunner().invoke(main, [*arguments, "--db", f"{tmp_path}/none.db"])

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        f"Error: there is no database here\n  where: {tmp_path}/none.db\n"
        "  fix:   start it with `binp run FILE`, or name its database with --db, or its address with --url\n"
    )


@pytest.mark.parametrize(
    "arguments", [["kv", "get", "\udcff"], ["kv", "set", "key", "\udcff"], ["action", "show", "\udcff"]]
)
def test_what_is_no_text_is_told_in_words(arguments: list[str]) -> None:
    """Bytes of the shell that are no UTF-8 are refused as that, before anybody is asked."""
    done = CliRunner().invoke(main, [*arguments, "--url", "http://127.0.0.1:9", "--token", "x"])

    assert done.exit_code == 2
    assert "Error: what is given is not UTF-8 text: b'" in done.stderr
    assert "\\xff" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="the system has no disk that is always full")
def test_what_cannot_be_printed_is_told_in_words() -> None:
    """Where there is no space for what a command prints it says so, and fails."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [Path(sys.executable).with_name("binp"), "version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.stderr == "Error: what is printed cannot be written: No space left on device\n"
    assert done.returncode == 1
