"""The command line against a running server: what it prints, and the status it exits with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

OPS = '''
import asyncio
from pathlib import Path
from typing import Literal
from binp import BINP

binp = BINP()

@binp.action
async def heat(room: Literal["bath", "office"], target: float = 20, dry: bool = False, at: list[Path] = []) -> dict:
    """Heat a room."""
    binp.journal.record("asking", room=room, target=target)
    print("printed")
    return {"room": room, "target": target, "dry": dry, "at": at}

@binp.action(name="say/hello [bold]")
async def hello(name: str = "world") -> str:
    return f"hello {name}"

@binp.schedule("0 3 1 1 *", tz="Europe/Berlin", name="night", args={"room": "bath"})
@binp.action(name="wipe", confirm=lambda room, hard: f"Wipe {room}{' hard' if hard else ''}?")
async def wipe(room: Literal["bath", "office"], hard: bool = False) -> str:
    return room

@binp.action
def boom() -> None:
    raise ValueError("no luck")

@binp.action(labels=["a", "b"], timeout=90, retries=2, concurrency=3, per="times", when_full="skip", grace="3h")
async def later(times: int = 1) -> int:
    await asyncio.sleep(0.5)
    binp.journal.record("said late")
    return 7

@binp.action
async def wait(aloud: bool = False) -> None:
    if aloud:
        binp.journal.record("waiting")
    await asyncio.sleep(600)

@binp.service(autostart=False)
async def poller() -> None:
    await asyncio.Event().wait()
'''

Run = Callable[..., CompletedProcess[str]]


def test_an_action_is_run_from_the_command_line(server: Any, binp: Run) -> None:
    """Arguments are read by the form's types; records go to standard error, the result to standard output."""
    done = binp("action", "invoke", "heat", "room=bath", "target=22", "dry=yes", "at=/a", "at=/b")
    text = binp("action", "invoke", "say/hello [bold]", "name=42")
    merged = binp("action", "invoke", "heat", "--json", '{"room": "office", "target": 1}', "target=2.5", "at=[]")

    assert (done.returncode, json.loads(done.stdout)) == (
        0,
        {"room": "bath", "target": 22.0, "dry": True, "at": ["/a", "/b"]},
    )
    assert done.stderr == "asking  room=bath target=22.0\nprinted\n"
    assert (text.returncode, text.stdout, text.stderr) == (0, "hello 42\n", "")
    assert json.loads(merged.stdout) == {"room": "office", "target": 2.5, "dry": False, "at": []}


def test_a_run_is_waited_for(server: Any, binp: Run) -> None:
    """What a run records while it is waited for is printed, and then what it returns."""
    done = binp("action", "invoke", "later")

    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "said late\n")


def test_a_run_that_fails_is_status_1(server: Any, binp: Run) -> None:
    """A run that fails prints its message and the traceback of the user's code alone."""
    done = binp("action", "invoke", "boom")
    whole = binp("action", "invoke", "boom", "-o", "json")

    run = json.loads(whole.stdout)
    assert (done.returncode, done.stdout, whole.returncode, run["state"]) == (1, "", 1, "failed")
    assert re.fullmatch(
        r"Traceback \(most recent call last\):\n"
        r'  File ".*/ops.py", line \d+, in boom\n    raise ValueError\("no luck"\)\n(    [ ^~]+\n)?'
        r"ValueError: no luck\nError: run \d+ failed: ValueError: no luck\n",
        done.stderr,
    )


def test_wrong_use_is_status_2(server: Any, binp: Run) -> None:
    """What was not started is told in words: an unknown action, and each argument that does not fit on a line."""
    unknown = binp("action", "invoke", "haet")
    wrong = binp("action", "invoke", "heat", "room=kitchen", "targt=x")
    shape = binp("action", "invoke", "heat", "room")
    no_json = binp("action", "invoke", "heat", "--json", "[1]")

    assert [each.returncode for each in (unknown, wrong, shape, no_json)] == [2, 2, 2, 2]
    assert [each.stdout for each in (unknown, wrong, shape, no_json)] == ["", "", "", ""]
    assert unknown.stderr == "Error: action haet not found\n  fix:   did you mean 'heat'?\n"
    assert wrong.stderr == (
        "Error: action 'heat' cannot be called like this:\n"
        "  room: Input should be 'bath' or 'office'\n"
        "  targt: there is no such parameter; did you mean 'target'?\n"
    )
    assert shape.stderr == "Error: 'room' is not an argument\n  fix:   write it as key=value\n"
    assert no_json.stderr == 'Error: --json is no object\n  fix:   write it like --json \'{"key": "value"}\'\n'
    assert server.runs() == []


def test_lists_are_plain_text_in_a_pipe(server: Any, binp: Run) -> None:
    """Actions and runs are listed under their columns, or as JSON; brackets in names are nothing special."""
    binp("action", "invoke", "boom")
    actions = binp("action", "list")
    as_json = binp("action", "list", "--json")
    runs = binp("journal", "list")
    none = binp("journal", "list", "--state", "succeeded")
    found = json.loads(binp("journal", "list", "--json", "--operation", "boom", "--limit", "1").stdout)

    assert actions.stdout == (
        "name              description\nheat              Heat a room.\nsay/hello [bold]\nwipe\nboom\nlater\nwait\n"
    )
    assert json.loads(as_json.stdout)[0] == {"name": "heat", "description": "Heat a room."}
    assert re.fullmatch(
        r"id +operation  state   started +duration  error\n"
        r"\d+  boom       failed  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  \d+\.\d+ s +ValueError: no luck\n",
        runs.stdout,
    )
    assert none.stdout == "id  operation  state  started  duration  error\n"
    assert [run["state"] for run in found] == ["failed"]


def test_runs_are_found_by_a_query(server: Any, binp: Run) -> None:
    """A query finds runs, in one argument or several; one that cannot be understood is pointed at."""
    binp("action", "invoke", "boom")
    found = json.loads(binp("journal", "list", "--json", "luck", "state:failed", "since:1h").stdout)
    none = binp("journal", "list", "--json", "luck -action:boom")
    older = json.loads(binp("journal", "list", "--json", "--before", str(found[0]["id"]), "luck").stdout)
    wrong = binp("journal", "list", "stat:failed")

    assert [run["operation"] for run in found] == ["boom"]
    assert (none.stdout, none.stderr, older) == ("[]\n", "", [])
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.splitlines() == [
        "Error: 'stat' is not a search key",
        "  where: stat:failed",
        "         ^^^^",
        "  fix:   did you mean 'state'? for the text, quote it: \"stat:...\"",
    ]


def test_a_run_is_shown(server: Any, binp: Run) -> None:
    """A run is shown with its arguments, records and result, or its traceback; as JSON with everything."""
    good, bad = server.start("heat", room="bath"), server.start("boom")
    server.ended(good), server.ended(bad)
    shown, failed = binp("journal", "show", str(good)), binp("journal", "show", str(bad))
    as_json = json.loads(binp("journal", "show", str(good), "--json").stdout)
    missing = binp("journal", "show", "7")

    for part in (
        "operation  heat",
        "state      succeeded",
        "by api token",
        "argument   room = 'bath'",
        "asking  room=bath",
        "version    ",
    ):
        assert part in shown.stdout
    assert '"target": 20' in shown.stdout.partition("\nresult\n")[2]
    assert "error      ValueError: no luck" in failed.stdout
    assert failed.stdout.endswith("ValueError: no luck\n")
    assert as_json["result"]["room"] == "bath"
    assert as_json["children"] == []
    assert (missing.returncode, missing.stderr) == (2, "Error: run 7 not found\n")


def test_a_link_is_made_for_a_running_server(server: Any, binp: Run) -> None:
    """`binp link` prints a link that logs one browser in."""
    link = binp("link").stdout.strip()
    answer = server.open("GET", link.removeprefix(server.url), token=False)

    assert link.startswith(f"{server.url}/?ticket=")
    assert (answer.status, "set-cookie" in answer.headers) == (303, True)


def test_another_server_is_named_by_address_and_token(server: Any, binp: Run, tmp_path: Path) -> None:
    """--url and --token, or their variables, reach a server whose database is elsewhere; the token is needed."""
    elsewhere = {"BINP_DB": "elsewhere.db"}
    good = binp("action", "list", "--url", server.url, "--token", server.token, **elsewhere)
    by_variable = binp("action", "list", **elsewhere, BINP_URL=server.url, BINP_TOKEN=server.token)
    without = binp("action", "list", "--url", server.url)
    wrong = binp("action", "list", "--url", server.url, "--token", "x" * 43)

    assert (good.returncode, by_variable.stdout) == (0, good.stdout)
    assert (without.returncode, without.stderr.splitlines()[0]) == (2, "Error: you are not logged in")
    assert (wrong.returncode, wrong.stderr.splitlines()[0]) == (2, "Error: this is not the token")


def test_nothing_runs_here(tmp_path: Path, binp: Run, serve: Callable[..., Any]) -> None:
    """Without a server, with one that was killed, and with an address where nobody answers: what to do is said."""
    (tmp_path / "ops.py").write_text(OPS)
    fix = "  fix:   start it with `binp run FILE`, or name its database with --db, or its address with --url\n"
    nothing = binp("action", "list")
    server = serve()
    url = server.url
    server.kill()
    killed = binp("action", "list")
    nobody = binp("journal", "list", "--url", url)
    serve().stop()
    stopped = binp("link")

    assert [each.returncode for each in (nothing, killed, nobody, stopped)] == [2, 2, 2, 2]
    assert nothing.stderr == f"Error: there is no database here\n  where: {tmp_path}/data.db\n{fix}"
    assert killed.stderr == (
        f"Error: the server of data.db is gone: process {server.popen.pid} was killed\n"
        f"  where: {tmp_path}/data.db.serving\n  fix:   start it again with `binp run FILE`\n"
    )
    assert nobody.stderr == f"Error: nothing answers at {url}\n{fix}"
    assert stopped.stderr == f"Error: no server is running for data.db\n  where: {tmp_path}/data.db\n{fix}"


def test_a_server_that_comes_back_elsewhere(server: Any, serve: Callable[..., Any], start: Callable[..., Any]) -> None:
    """The one that serves next is found beside the database, on whatever port, and tells what became of the run."""
    waiting = start("binp", "action", "invoke", "wait", "--patience", "600")
    (run,) = server.until(lambda: server.runs(operation="wait"), "run")
    server.kill()

    serve()

    assert waiting.wait() == 1
    assert waiting.stderr.endswith(f"Error: run {run['id']} was interrupted: its process ended\n")


def test_which_token_is_wrong(server: Any, binp: Run, tmp_path: Path) -> None:
    """A token that is refused is told with the place that it came from, and none with how to give one."""
    environment = binp("action", "list", BINP_TOKEN="old")
    option = binp("action", "list", "--token", "old", BINP_TOKEN="older")
    (tmp_path / "data.db.token").write_text("gone\n")
    file = binp("action", "list")
    none = binp("action", "list", "--url", server.url)

    assert environment.stderr.startswith("Error: this is not the token\n  where: BINP_TOKEN in the environment\n")
    assert option.stderr.startswith("Error: this is not the token\n  where: --token\n")
    assert file.stderr.startswith(f"Error: this is not the token\n  where: {tmp_path}/data.db.token\n")
    assert none.stderr.startswith("Error: you are not logged in\n  fix:   give the token with --token or BINP_TOKEN: ")
    assert {each.returncode for each in (environment, option, file, none)} == {2}


def test_an_action_is_shown(server: Any, binp: Run) -> None:
    """An action is shown with its rules and its form, in words or as the API has it; a misspelt one is told."""
    shown = binp("action", "show", "heat")
    rules = binp("action", "show", "later")
    whole = json.loads(binp("action", "show", "later", "--json").stdout)
    unknown = binp("action", "show", "haet")

    assert shown.stdout == (
        "action     heat\n"
        'parameter  room: "bath" | "office"\n'
        "parameter  target: number = 20\n"
        "parameter  dry: boolean = false\n"
        "parameter  at: list of path = []\n"
        "\nHeat a room.\n"
    )
    assert rules.stdout == (
        "action     later\nlabels     a, b\ntimeout    1 min 30 s\nretries    2\n"
        "at once    3 for each times, others are skipped\ngrace      3 h\nparameter  times: integer = 1\n"
    )
    assert (whole["grace"], whole["process"]) == (10800, False)
    assert (unknown.returncode, unknown.stderr) == (2, "Error: action haet not found\n  fix:   did you mean 'heat'?\n")


def test_a_server_that_ends_meanwhile(server: Any, start: Callable[..., Any]) -> None:
    """An action that is waited for while its server ends fails, in words: it was cancelled, or the server went away."""
    waiting = start("binp", "action", "invoke", "wait", "--patience", "0")
    server.until(lambda: server.runs(operation="wait"), "run")
    server.signal()
    server.signal()
    server.wait()

    assert waiting.wait() in {1, 3}
    assert waiting.stderr.startswith("Error: ")
    assert "Traceback" not in waiting.stderr


def test_a_server_that_does_not_come_back(server: Any, start: Callable[..., Any]) -> None:
    """Who waits for a run whose server is gone learns with a status of its own that its end is not known (N-15)."""
    waiting = start("binp", "action", "invoke", "wait", "aloud=yes", "--patience", "1")
    # it knows which run it is
    waiting.until(lambda: "waiting\n" in waiting.stderr, "record")
    (run,) = server.runs(operation="wait")
    server.kill()

    assert waiting.wait() == 3
    assert f"the server went away: looking for it for 1 s, as run {run['id']} may go on\n" in waiting.stderr
    assert waiting.stderr.endswith(
        f"Error: it is unknown how run {run['id']} ended: nothing answers at {server.url}\n"
        f"  fix:   when it is served again: binp journal show {run['id']}\n"
    )


def test_a_closed_pipe_is_no_error(server: Any, program: Callable[[str], list[str]], tmp_path: Path) -> None:
    """Somebody who stops reading gets no traceback."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*program("binp"), "journal", "list"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        timeout=200,
    )
    os.close(write)

    assert done.stderr == ""


@pytest.fixture
def terminal(environ: dict[str, str], program: Callable[[str], list[str]], tmp_path: Path) -> Callable[..., str]:
    """Run the command line on a terminal; what it printed."""

    def run(*arguments: str) -> str:
        main, side = os.openpty()
        started = subprocess.Popen(
            [*program("binp"), *arguments], stdout=side, stderr=side, cwd=tmp_path, env={**environ, "TERM": "xterm"}
        )
        os.close(side)
        text = b""
        while True:
            try:
                chunk = os.read(main, 65536)
            except OSError:
                break
            if not chunk:
                break
            text += chunk
        os.close(main)
        assert started.wait(200) == 0
        return text.decode()

    return run


def test_lists_are_drawn_on_a_terminal(server: Any, terminal: Callable[..., str]) -> None:
    """On a terminal a list is a drawn table, in which brackets are still nothing special."""
    text = terminal("action", "list")

    assert "say/hello [bold]" in text
    assert "──" in text


def test_schedules_from_the_command_line(server: Any, binp: Run) -> None:
    """A schedule is listed and shown in words, paused and resumed, and started out of turn."""
    listed = binp("schedule", "list")
    paused = binp("schedule", "pause", "night")
    shown = binp("schedule", "show", "night")
    resumed = binp("schedule", "resume", "night")
    fired = binp("schedule", "fire", "night")
    run = json.loads(binp("journal", "show", "--json", fired.stdout.strip()).stdout)
    whole = json.loads(binp("schedule", "list", "--json").stdout)
    unknown = [binp("schedule", verb, "nihgt") for verb in ("show", "pause", "fire")]

    assert re.search(r"^night +wipe +At 03:00 on January 1 ", listed.stdout, re.MULTILINE)
    assert (paused.stdout, resumed.stdout) == ("night is paused\n", "night goes on\n")
    assert "paused     paused by " in shown.stdout
    assert "argument   room = 'bath'" in shown.stdout
    assert len(re.findall(r"^next +\S+ \S+  \(\d{4}-01-01 03:00 Europe/Berlin\)$", shown.stdout, re.MULTILINE)) == 10
    assert (run["operation"], run["arguments"]) == ("wipe", {"room": "bath", "hard": False})
    assert [one["name"] for one in whole] == ["night"]
    assert [each.returncode for each in unknown] == [2, 2, 2]
    assert {each.stderr.splitlines()[1] for each in unknown} == {"  fix:   did you mean 'night'?"}
    assert unknown[0].stderr == "Error: there is no schedule named 'nihgt'\n  fix:   did you mean 'night'?\n"
    assert "did you mean 'night'?" in unknown[1].stderr


def test_what_wants_to_be_confirmed_asks_at_a_terminal(
    server: Any, binp: Run, tmp_path: Path, program: Callable[[str], list[str]], environ: dict[str, str]
) -> None:
    """At a terminal the question of the action is asked, unless --yes; a script is not asked."""
    import pty

    def answer(text: str, *options: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        command = [*program("binp"), "action", "invoke", "wipe", "room=bath", "hard=yes", *options]
        with subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environ,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as asked:
            os.close(theirs)
            os.write(ours, text.encode())
            output, _ = asked.communicate(timeout=200)
        os.close(ours)
        return asked.returncode, output

    no, yes, quiet = answer("n\n"), answer("y\n"), answer("", "--yes")
    script = binp("action", "invoke", "wipe", "room=bath")
    assert (no[0], no[1].splitlines()) == (1, ["Wipe bath hard? [y/N]: Aborted!"])
    assert (yes[0], yes[1].splitlines()) == (0, ["Wipe bath hard? [y/N]: bath"])
    assert quiet == (0, "bath\n")
    assert (script.returncode, script.stdout) == (0, "bath\n")


def test_a_run_is_cancelled(server: Any, binp: Run) -> None:
    """Runs are cancelled by their ids; what was started from the command line says so. One that has ended refuses."""
    with subprocess.Popen(
        [str(Path(sys.executable).with_name("binp")), "action", "invoke", "wait"],
        cwd=server.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as invoking:
        run = server.until(lambda: server.runs(operation="wait"), "the run")[0]
        assert (run["trigger"], run["actor"]) == ("cli", "token")

        done = binp("journal", "cancel", str(run["id"]))
        assert (done.returncode, done.stdout) == (0, f"run {run['id']} is asked to end\n")
        _, told = invoking.communicate(timeout=200)
    assert invoking.returncode == 1
    assert told.endswith(f"Error: run {run['id']} was cancelled by token\n")
    shown = binp("journal", "show", str(run["id"])).stdout
    assert "state      cancelled by token\n" in shown
    assert "error" not in shown

    again = binp("journal", "cancel", str(run["id"]), "5")
    assert (again.returncode, again.stderr) == (2, f"Error: run {run['id']} has ended: cancelled\n")
    assert binp("journal", "cancel", "5").stderr == "Error: run 5 not found\n"


def test_services_are_listed_started_and_stopped(server: Any, binp: Run) -> None:
    """What a service is doing is waited for, and told; an unknown one is refused."""

    def life(after: int) -> int:
        # its state is told at once, and is in the history soon
        def found() -> list[int]:
            running = [run["id"] for run in server.runs(operation="poller", state="running")]
            return running if len(running) == 1 and running[0] > after else []

        (run,) = server.until(found, "its next run")
        return run

    assert binp("service", "start", "poller").stdout == "poller is running\n"
    first = life(0)
    assert binp("service", "list").stdout == (
        "name    status   health  restarts  failed  error\npoller  running  -       0\n"
    )
    stopped = binp("service", "stop", "poller")
    assert (stopped.returncode, stopped.stdout) == (0, "poller is stopped\n")
    (info,) = json.loads(binp("service", "list", "--json").stdout)
    assert (info["name"], info["status"]) == ("poller", "stopped")
    assert binp("service", "start", "poller").returncode == 0
    second = life(first)
    restarted = binp("service", "restart", "poller")
    assert (restarted.returncode, restarted.stdout) == (0, "poller is running\n")
    life(second)
    unknown = binp("service", "stop", "poler")
    assert (unknown.returncode, unknown.stderr) == (
        2,
        "Error: service poler not found\n  fix:   did you mean 'poller'?\n",
    )
