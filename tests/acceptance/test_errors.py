"""What cannot be served is refused in one message: what, where, how to mend it; status 2, and no traceback of ours."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Run = Callable[..., CompletedProcess[str]]

GOOD = "from binp import BINP\nbinp = BINP()\n"
HEAD = "from binp import BINP\n"


@pytest.fixture
def refused(tmp_path: Path, binp: Run) -> Callable[..., str]:
    """Run a command that must refuse; what it printed, with the folder of the test as FOLDER."""

    def run(*arguments: str, **variables: str) -> str:
        done = binp(*arguments, **variables)
        assert (done.returncode, done.stdout) == (2, ""), done
        return done.stderr.replace(str(tmp_path), "FOLDER")

    return run


Refused = Callable[..., str]


@pytest.mark.parametrize(
    ("files", "target", "text"),
    [
        (
            ["ops.py"],
            "opz.py",
            "Error: there is no file 'opz.py'\n  where: FOLDER/opz.py\n  fix:   did you mean 'ops.py'?\n",
        ),
        ([], "ops.py", "Error: there is no file 'ops.py'\n  where: FOLDER/ops.py\n"),
        (
            ["ops.txt"],
            "ops.txt",
            "Error: 'ops.txt' is no Python file\n  where: FOLDER/ops.txt\n  fix:   name a file that ends in .py\n",
        ),
        (
            ["shop/ops.py"],
            "shop",
            "Error: 'shop' is a folder\n  where: FOLDER/shop\n  fix:   name a file in it: ops.py\n",
        ),
        (
            ["ops.py"],
            "opss",
            "Error: there is no module 'opss'\n  where: FOLDER\n  fix:   did you mean 'ops.py'?\n",
        ),
        (
            ["ops.py"],
            "ops.nothing",
            ("Error: there is no module 'ops.nothing'\n  where: FOLDER\n  fix:   did you mean 'ops.py'?\n"),
        ),
        (
            ["ops.py"],
            "ops.py:bimp",
            "Error: there is no 'bimp' in ops.py\n  where: FOLDER/ops.py\n  fix:   did you mean ops.py:binp?\n",
        ),
        (
            ["ops.py"],
            "ops.py:BINP",
            (
                "Error: 'BINP' in ops.py is no BINP, but a type\n  where: FOLDER/ops.py\n"
                "  fix:   name the BINP itself: ops.py:binp\n"
            ),
        ),
        (
            ["ops.py"],
            "ops.py:a-b",
            "Error: 'ops.py:a-b' names no file\n  fix:   write it like ops.py, or ops.py:name\n",
        ),
        (
            ["queue.py"],
            "queue.py",
            (
                "Error: a file cannot be called queue.py: it would hide the module 'queue'\n  where: FOLDER/queue.py\n"
                "  fix:   rename it, perhaps to my_queue.py\n"
            ),
        ),
    ],
)
def test_what_is_no_target(tmp_path: Path, refused: Refused, files: list[str], target: str, text: str) -> None:
    """A file or module that is not there, or is something else, is named; the nearest one is offered."""
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(GOOD)

    assert refused("run", target) == text


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            "x = 1\n",
            (
                "Error: there is no BINP in ops.py\n  where: FOLDER/ops.py\n"
                "  fix:   write `from binp import BINP` and `binp = BINP()` at the top of the file\n"
            ),
        ),
        (
            HEAD + "first = BINP()\nsecond = BINP()\nalso_first = first\n",
            (
                "Error: there are 2 BINPs in ops.py: first, second\n  where: FOLDER/ops.py\n"
                "  fix:   say which: ops.py:first\n"
            ),
        ),
        (
            "import no_such_module\n",
            (
                "Error: ops.py cannot be imported\n\nTraceback (most recent call last):\n"
                '  File "FOLDER/ops.py", line 1, in <module>\n    import no_such_module\n'
                "ModuleNotFoundError: No module named 'no_such_module'\n"
            ),
        ),
        (
            HEAD + "binp = BINP()\nbinp.action(3)\n",
            (
                "Error: @binp.action got 3, which is not a function\n  where: FOLDER/ops.py, line 3\n"
                "  fix:   write @binp.action above a function, or give its options by keyword: @binp.action(name=...)\n"
            ),
        ),
        (
            HEAD + "binp = BINP()\nbinp.action(\n",
            (
                'Error: ops.py cannot be imported\n\n  File "FOLDER/ops.py", line 3\n'
                "    binp.action(\n               ^\n"
                "SyntaxError: '(' was never closed\n"
            ),
        ),
        (
            HEAD + "binp = BINP()\n@binp.action\ndef f(x: type(sum)): ...\n",
            (
                "Error: no form can be made of action 'f': its parameter 'x' is a "
                "<class 'builtin_function_or_method'>, which pydantic cannot read\n  where: FOLDER/ops.py:3\n"
                "  fix:   write x: Inject[...] for a dependency, else a type that JSON can carry\n"
            ),
        ),
        (
            HEAD
            + "binp = BINP()\n@binp.schedule('0 3 * * *', args={'y': 1})\n@binp.action\ndef nightly(x: int): ...\n",
            (
                "Error: action 'nightly' cannot be called like this: x: is required; y: there is no such parameter\n"
                "  where: args of the schedule 'nightly'\n"
                "  fix:   give the schedule arguments that fit, args={...}\n"
            ),
        ),
        (
            HEAD + "binp = BINP()\n@binp.service(after=('nop',))\nasync def poll(): ...\n",
            (
                "Error: service 'poll' comes after 'nop', which is not a service\n"
                "  where: FOLDER/ops.py:3\n"
                "  fix:   leave it out: there is no other\n"
            ),
        ),
        (
            HEAD + "binp = BINP()\n@binp.service\nasync def poll(host: str): ...\n",
            (
                "Error: service 'poll' is called without host\n  where: FOLDER/ops.py:3\n"
                "  fix:   write host: Inject[...] for a dependency, or give it a default\n"
            ),
        ),
        (
            HEAD + "binp = BINP()\n@binp.action(timout=3)\nasync def poll(): ...\n",
            "Error: @binp.action has no option 'timout'\n  where: FOLDER/ops.py:3\n  fix:   did you mean 'timeout'?\n",
        ),
        (
            HEAD + "from __future__ import annotations\n",
            (
                'Error: ops.py cannot be imported\n\n  File "FOLDER/ops.py", line 2\n'
                "    from __future__ import annotations\n    ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
                "SyntaxError: from __future__ imports must occur at the beginning of the file\n"
            ),
        ),
    ],
)
def test_a_file_that_cannot_be_served(tmp_path: Path, refused: Refused, source: str, text: str) -> None:
    """What is wrong in the user's file is told with the user's lines alone."""
    (tmp_path / "ops.py").write_text(source)

    assert refused("run", "ops.py") == text


def test_a_port_in_use(tmp_path: Path, refused: Refused) -> None:
    """A port that somebody else listens on is named, and another one offered."""
    (tmp_path / "ops.py").write_text(GOOD)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = refused("run", "ops.py", "--port", str(port))

    assert text == (
        f"Error: port {port} of 127.0.0.1 is in use\n  where: [binp] host = '127.0.0.1', port = {port}\n"
        f"  fix:   stop what listens there, or choose another port: --port {port + 1}, or 0 for a free one\n"
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["--host", "0.0.0.0", "--auth", "none"],
            (
                "Error: auth is 'none', but '0.0.0.0' can be reached from other machines\n"
                "  where: [binp] host and auth\n  fix:   leave auth='token', or listen on 127.0.0.1\n"
            ),
        ),
        (
            ["--host", "no.such.host.invalid"],
            (
                "Error: 'no.such.host.invalid' is not an address of this machine: Name or service not known\n"
                "  where: [binp] host = 'no.such.host.invalid', port = 8000\n  fix:   listen on 127.0.0.1\n"
            ),
        ),
        (
            ["--host", "192.0.2.1"],
            (
                "Error: '192.0.2.1' is not an address of this machine: Cannot assign requested address\n"
                "  where: [binp] host = '192.0.2.1', port = 8000\n  fix:   listen on 127.0.0.1\n"
            ),
        ),
        (
            ["--config", "nowhere.toml"],
            (
                "Error: there is no configuration file 'nowhere.toml'\n  where: FOLDER/nowhere.toml\n"
                "  fix:   create it, or name another one\n"
            ),
        ),
        (
            # whoever listens on the port of the settings is none of its business
            ["--port", "0", "--db", "mysql://localhost/x"],
            (
                "Error: there is no store for 'mysql' databases\n"
                "  where: the URL of the database, 'mysql://localhost/x'\n  fix:   sqlite:///data.db is a "
                "file in the current directory, sqlite:////srv/data.db one with a full path\n"
            ),
        ),
        (
            ["--prot", "1"],
            (
                "Usage: binp run [OPTIONS] FILE[:NAME]\nTry 'binp run --help' for help.\n\n"
                "Error: No such option '--prot'. (Did you mean one of: '--host', '--port'?)\n"
            ),
        ),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, refused: Refused, arguments: list[str], text: str) -> None:
    """N-18: a setting that cannot be served is named with its place and with what to write instead."""
    (tmp_path / "ops.py").write_text(GOOD)

    assert refused("run", "ops.py", *arguments) == text


def test_a_configuration_with_mistakes(tmp_path: Path, refused: Refused) -> None:
    """Every mistake of a configuration file and the environment is told at once, with where it stands."""
    (tmp_path / "ops.py").write_text(GOOD)
    (tmp_path / "ops.toml").write_text('[binp]\nhots = "x"\nport = "many"\n')
    text = refused("run", "ops.py", "--config", "ops.toml", BINP_GRACE="soon")

    assert text.startswith("Error: 3 problems in the configuration of Settings\n")
    for part in ("binp.hots", "did you mean 'host'", "binp.port", "ops.toml", "binp.grace", "BINP_GRACE"):
        assert part in text
    assert "Traceback" not in text


def test_a_database_of_another_process(tmp_path: Path, serve: Callable[..., Any], refused: Refused) -> None:
    """A database that another process serves is not opened; its process is named."""
    (tmp_path / "ops.py").write_text(GOOD)
    server = serve()
    text = refused("run", "ops.py", "--port", "0")

    assert text.startswith("Error: ")
    assert f"process {server.popen.pid}" in text
    assert "Traceback" not in text
    assert server.open("GET", "/internal/actions/").status == 200


def test_a_database_of_a_newer_version(tmp_path: Path, serve: Callable[..., Any], refused: Refused) -> None:
    """A database that a newer version wrote is left alone."""
    (tmp_path / "ops.py").write_text(GOOD)
    serve().stop()
    with contextlib.closing(sqlite3.connect(tmp_path / "data.db")) as database, database:
        database.execute("INSERT INTO migration SELECT version + 1000, name, sha256, applied FROM migration")
    text = refused("run", "ops.py", "--port", "0")

    assert text.startswith("Error: ")
    assert "schema 1001, and this version knows schema 1" in text
    assert "Traceback" not in text


def test_a_plugin_that_fails(tmp_path: Path, binp: Run) -> None:
    """What a plugin raises while it is loaded is told without our frames; that is no wrong use, so the status is 1."""
    (tmp_path / "ops.py").write_text(GOOD + "async def prepare():\n    raise OSError('no route to the database')\n")
    done = binp("run", "ops.py", "--port", "0")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.replace(str(tmp_path), "FOLDER").partition("Error: ")[2] == (
        "a plugin failed while it was loaded\n\nTraceback (most recent call last):\n"
        "  File \"FOLDER/ops.py\", line 4, in prepare\n    raise OSError('no route to the database')\n"
        "OSError: no route to the database\nwhile loading the plugin ops\n"
    )


def test_a_task_that_fails_ends_the_server(tmp_path: Path, binp: Run) -> None:
    """B-07, decision 3: a task of a plugin that fails is logged once, ends the server in order, and its status is 1."""
    (tmp_path / "ops.py").write_text(
        GOOD + "async def watch():\n    raise OSError('the disk is gone')\nasync def prepare():\n    yield watch()\n"
    )
    done = binp("run", "ops.py", "--port", "0")

    assert done.returncode == 1
    assert done.stderr.count("the disk is gone") == 2  # in the message, and in the line of the traceback
    assert "store closed" in done.stderr


def test_no_traceback_of_ours_in_a_broken_module_chain(tmp_path: Path, refused: Refused) -> None:
    """An error inside what the file imports keeps the frames of the user's other files."""
    (tmp_path / "helper.py").write_text("def work():\n    return 1 / 0\n")
    (tmp_path / "ops.py").write_text("import helper\nhelper.work()\n")
    text = refused("run", "ops.py")

    assert [line for line in text.splitlines() if line.lstrip().startswith("File ")] == [
        '  File "FOLDER/ops.py", line 2, in <module>',
        '  File "FOLDER/helper.py", line 2, in work',
    ]
