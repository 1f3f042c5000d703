"""`binp run --reload`: a file that is being written is served anew at each change, and nobody is turned away."""

from __future__ import annotations

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

OPS = """
import asyncio, time
from datetime import timedelta
from binp import BINP
import helper

binp = BINP()

@binp.app.get("/word")
async def word() -> str:
    return helper.WORD

@binp.app.get("/journaled")
@binp.journal
async def journaled() -> str:
    return helper.WORD

@binp.app.get("/lazy")
def lazy() -> str:
    import later
    return later.WORD

@binp.action
async def slow(seconds: float = 1) -> str:
    await asyncio.sleep(seconds)
    return helper.WORD

@binp.action
async def block() -> None:
    time.sleep(600)

@binp.schedule(every=timedelta(seconds=1))
async def by_the_clock() -> None: ...

@binp.service
async def keeper() -> None:
    await binp.kv.set(word=helper.WORD)
    await asyncio.sleep(600)

@binp.app.get("/kept")
async def kept() -> str | None:
    return await binp.kv.get("word")
"""

Serve = Callable[..., Any]


class Reloaded:
    """A server that is started again when its files change."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.folder: Path = server.folder

    def write(self, name: str, text: str) -> None:
        """Save a file as an editor does: another one is put in its place."""
        draft = self.folder / f".{name}.new"
        draft.write_text(text)
        draft.replace(self.folder / name)

    def say(self, word: str) -> None:
        self.write("helper.py", f"WORD = {word!r}\n")

    @property
    def events(self) -> list[str]:
        return [str(line["event"]) for line in self.server.log if line["logger"] == "buvar.fork"]

    def told(self, text: str, count: int = 1) -> None:
        """Wait until the log has told it so often."""
        self.server.until(lambda: sum(text in event for event in self.events) >= count, f"{text!r} {count} times")

    def restarted(self, count: int = 1) -> None:
        self.told("restarted in", count)

    @property
    def child(self) -> int:
        """The process that serves now."""
        pid = self.server.popen.pid
        (found,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(found)


@pytest.fixture(autouse=True)
def ops(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("WORD = 'one'\n")
    path = tmp_path / "ops.py"
    path.write_text(OPS)
    return path


@pytest.fixture
def reloaded(serve: Serve) -> Reloaded:
    made = Reloaded(serve("--reload"))
    made.told("watched")
    return made


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in *folder*."""
    binp = str(Path(sys.executable).with_name("binp"))
    return subprocess.run([binp, *words], cwd=folder, capture_output=True, text=True, check=False)


def until(condition: Callable[[], Any], what: str) -> None:
    end = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_a_change_is_served_and_nobody_has_to_log_in_again(reloaded: Reloaded) -> None:
    """A saved file is served anew: same address, same session, one link; the log tells which file, and how long."""
    server = reloaded.server
    first = server.open("GET", server.link.removeprefix(server.url), token=False)
    cookie = {"Cookie": first.headers["set-cookie"].partition(";")[0]}
    reloaded.write("ops.py", OPS + '\n@binp.action\ndef fresh() -> str:\n    return "new"\n')
    reloaded.restarted()
    again = server.open("GET", server.link.removeprefix(server.url), token=False)
    actions = server.open("GET", "/internal/actions/", token=False, headers=cookie)

    assert first.status == 303
    assert again.status == 401
    assert actions.status == 200
    assert b'"fresh"' in actions.read()
    assert server.stdout.count("ticket=") == 1
    assert reloaded.events[0] == "2 files watched: it starts again when one changes"
    assert reloaded.events[1] == "ops.py changed: restarting"
    assert re.fullmatch(r"restarted in \d+\.\d\d s", reloaded.events[2])
    assert server.stop() == 0


def test_a_module_beside_it_counts_and_others_do_not(reloaded: Reloaded) -> None:
    """What the file imports from its own folder is watched, also when it is imported later, and nothing else is."""
    server = reloaded.server
    reloaded.write("stranger.py", "WORD = 'stranger'\n")
    reloaded.write("later.py", "WORD = 'one'\n")
    reloaded.say("two")
    reloaded.restarted()
    assert server.ask("GET", "/word") == "two"
    assert server.ask("GET", "/lazy") == "one"
    until(lambda: server.ask("GET", "/kept") == "two", "the service runs again")

    for word in ("two", "three"):
        # it counts although nobody knew of it when it was written: it was imported before
        reloaded.write("later.py", f"WORD = {word!r}\n")
        until(lambda: server.ask("GET", "/lazy") == word, word)  # noqa: B023

    assert {event.partition(" ")[0] for event in reloaded.events if "changed" in event} == {"helper.py", "later.py"}
    assert server.stop() == 0


def test_a_file_that_comes_back_is_named_without_its_folder(reloaded: Reloaded, tmp_path: Path) -> None:
    """While a file is missing its folder is looked at, too; what has changed is told by the names of files."""
    (tmp_path / "ops.py").rename(tmp_path / "away.py")
    reloaded.told("could not be started")
    (tmp_path / "away.py").rename(tmp_path / "ops.py")
    reloaded.restarted()

    changed = [event for event in reloaded.events if "changed: restarting" in event]
    assert len(changed) > 1
    assert not [event for event in changed if tmp_path.name in event]
    assert reloaded.server.stop() == 0


def test_a_module_is_served_like_a_file(start: Serve, tmp_path: Path) -> None:
    """A dotted name is found in the current folder, and so is what is watched; what is installed in it is not."""
    (tmp_path / "house").mkdir()
    (tmp_path / "house/__init__.py").write_text("")
    (tmp_path / "ops.py").rename(tmp_path / "house/ops.py")
    foreign = tmp_path / "venv/lib/site-packages/foreign.py"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("")
    with (tmp_path / "helper.py").open("a") as file:
        file.write(f"import sys; sys.path.insert(0, {str(foreign.parent)!r})\nimport foreign\n")
    made = Reloaded(start("binp", "run", "house.ops:binp", "--reload", "--port", "0"))
    made.told("3 files watched")
    foreign.write_text("x = 1")
    (tmp_path / "house/__init__.py").write_text("x = 1")
    made.restarted()

    assert [event for event in made.events if "changed" in event] == ["__init__.py changed: restarting"]
    assert made.server.ask("GET", "/word") == "one"


def test_what_python_has_compiled_is_not_mistaken_for_what_was_saved(reloaded: Reloaded) -> None:
    """Changes of the same size within one second are told apart."""
    for count, word in enumerate(("two", "six", "ten"), start=1):
        reloaded.say(word)
        reloaded.restarted(count)
        assert reloaded.server.ask("GET", "/word") == word


def test_a_file_that_holds_what_it_held_has_not_changed(reloaded: Reloaded) -> None:
    """A touched file, and one that was saved without a change, start nothing."""
    os.utime(reloaded.folder / "helper.py")
    reloaded.say("one")
    reloaded.write("ops.py", OPS + "\n# the only change\n")
    reloaded.restarted()

    assert [event for event in reloaded.events if "changed" in event] == ["ops.py changed: restarting"]


class Asking:
    """Somebody who asks without pause, each time on a connection of its own."""

    def __init__(self, url: str, path: str) -> None:
        self._parts = urlsplit(url)
        self._path = path
        self._is_over = threading.Event()
        self.answers: list[tuple[int, str]] = []
        self.errors: list[str] = []
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        while not self._is_over.is_set():
            connection = http.client.HTTPConnection(self._parts.hostname or "", self._parts.port, timeout=200)
            try:
                connection.request("GET", self._path)
                answer = connection.getresponse()
                self.answers.append((answer.status, answer.read().decode()))
            except (OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error))
            finally:
                connection.close()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join(240)
        assert not self._thread.is_alive()


def test_nobody_is_refused_while_it_restarts(reloaded: Reloaded) -> None:
    """Requests that come while one process ends and the next one starts wait, and all of them are answered."""
    asking = [Asking(reloaded.server.url, path) for path in ("/word", "/journaled", "/word")]
    for count, word in enumerate(("two", "three", "four", "five"), start=1):
        reloaded.say(word)
        reloaded.restarted(count)
        until(lambda: all(each.answers[-1:] == [(200, f'"{word}"')] for each in asking), word)  # noqa: B023
    for each in asking:
        each.stop()

    assert [each.errors for each in asking] == [[], [], []]
    assert {status for each in asking for status, _ in each.answers} == {200}


def test_what_runs_is_given_time_to_end(reloaded: Reloaded) -> None:
    """A run in flight ends with the code that it began with; the next one has the new code; no clock starts any."""
    server = reloaded.server
    run = server.start("slow", seconds=4)
    reloaded.say("two")
    reloaded.told("What runs is given time to end, 25 s at most")
    reloaded.restarted()
    before = server.ask("GET", f"/internal/runs/{run}")
    after = server.ended(server.start("slow", seconds=0))

    assert (before["state"], before["result"]) == ("succeeded", "one")
    assert (after["state"], after["result"]) == ("succeeded", "two")
    server.until(lambda: len(server.runs(operation="keeper")) == 2, "the next service")
    assert [line["state"] for line in server.runs(operation="keeper")] == ["running", "cancelled"]
    assert server.runs(operation="by_the_clock") == []


def test_what_does_not_end_is_cut_short(serve: Serve) -> None:
    """What does not end by itself within the grace is cancelled."""
    reloaded = Reloaded(serve("--reload", BINP_GRACE="1"))
    run = reloaded.server.start("slow", seconds=600)
    reloaded.say("two")
    reloaded.restarted()

    assert reloaded.server.ask("GET", f"/internal/runs/{run}")["state"] == "cancelled"


def test_what_cannot_be_ended_is_killed(serve: Serve) -> None:
    """A process whose event loop is blocked is killed when its grace is over, and the change is served."""
    reloaded = Reloaded(serve("--reload", BINP_GRACE="0.5"))
    run = reloaded.server.start("block")
    reloaded.say("two")
    reloaded.told("It did not end in time and is killed")
    reloaded.restarted()

    assert reloaded.server.ask("GET", f"/internal/runs/{run}")["state"] == "interrupted"


def test_a_broken_file_is_said_so_until_it_is_mended(reloaded: Reloaded) -> None:
    """What is wrong is printed once, without our frames; whoever asks meanwhile is told, and nobody is refused."""
    server = reloaded.server
    reloaded.say("two")
    reloaded.restarted()
    reloaded.write("helper.py", "WORD = \n")
    reloaded.told("could not be started (status 2)")
    page = server.open("GET", "/word", headers={"Accept": "text/html"})
    problem = server.ask("GET", "/internal/actions/", status=503)
    (folder,) = {str(reloaded.folder)}
    said = re.sub(r"\{.*\}\n", "", server.stderr)

    assert page.status == 503
    assert page.headers["content-type"].startswith("text/html")
    assert b"<h1>the file cannot be served as it is</h1>" in page.read()
    assert page.headers["refresh"] == "1"
    assert problem["detail"] == "the file cannot be served as it is"
    assert folder not in str(problem)
    assert said.startswith("Error: ops.py cannot be imported\n\nTraceback (most recent call last):\n")
    assert said.count("Traceback") == 1
    assert re.findall(r'File "(.*?)"', said) == [f"{folder}/ops.py", f"{folder}/helper.py"]
    refused = command(folder, "action", "list")
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "Error: the server of data.db waits for its file to be fixed:"
        " ops.py cannot be imported: SyntaxError: invalid syntax (helper.py, line 1)\n"
    )
    reloaded.say("mended")
    reloaded.restarted(2)
    assert server.ask("GET", "/word") == "mended"
    assert server.stdout.count("ticket=") == 1
    assert command(folder, "action", "list").returncode == 0
    assert server.stop() == 0


def test_a_missing_module_is_waited_for(reloaded: Reloaded) -> None:
    """A file that is not there yet is noticed when it comes, and so is one that is gone."""
    reloaded.write("ops.py", OPS + "\nimport absent\n")
    reloaded.told("could not be started")
    reloaded.write("absent.py", "")
    reloaded.restarted()
    (reloaded.folder / "absent.py").unlink()
    reloaded.told("could not be started", 2)
    reloaded.write("ops.py", OPS)
    reloaded.restarted(2)

    assert reloaded.server.ask("GET", "/word") == "one"


def test_a_file_may_be_broken_from_the_start(start: Serve, tmp_path: Path) -> None:
    """It is served, with its link, as soon as it can be."""
    (tmp_path / "helper.py").write_text("WORD = \n")
    made = Reloaded(start("binp", "run", "ops.py", "--reload", "--port", "0"))
    made.told("could not be started")
    assert made.server.stdout == ""
    assert "waits for its file to be fixed: ops.py cannot" in command(tmp_path, "service", "list").stderr
    made.say("mended")

    assert made.server.ask("GET", "/word") == "mended"


@pytest.mark.parametrize("is_broken", [True, False])
def test_one_that_waited_and_was_ended_waits_no_more(start: Serve, tmp_path: Path, is_broken: bool) -> None:
    """What is said beside the database while it waits is taken back, and never said where another one serves it."""
    (tmp_path / "helper.py").write_text("WORD = \n" if is_broken else "WORD = 'one'\n")
    made = Reloaded(start("binp", "run", "ops.py", "--reload", "--port", "0"))
    made.told("could not be started" if is_broken else "watched")
    (tmp_path / "other.py").write_text("broken(")
    other = Reloaded(start("binp", "run", "other.py", "--reload", "--port", "0"))
    other.told("could not be started")
    told = command(tmp_path, "action", "list")

    assert told.returncode == (2 if is_broken else 0)
    assert "ops.py cannot be imported" in told.stderr or not is_broken
    assert (other.server.stop(), made.server.stop()) == (0, 0)
    assert not (tmp_path / "data.db.serving").exists()


def test_the_configuration_counts(start: Serve, tmp_path: Path, free_port: int) -> None:
    """The configuration file is watched; another port in it is listened on from then on, and its link printed."""
    (tmp_path / "ops.toml").write_text("[binp]\nport = 0\n")
    made = Reloaded(start("binp", "run", "ops.py", "--reload", "--config", "ops.toml"))
    before = made.server.url
    made.write("ops.toml", f"[binp]\nport = {free_port}\n")
    made.restarted()
    made.server.until(lambda: made.server.stdout.count("ticket=") == 2, "second link")
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", urlsplit(before).port, timeout=200).connect()
    made.write("ops.toml", "[binp]\nport = many\n")
    made.told("could not be started")

    assert f"open      http://127.0.0.1:{free_port}/" in made.server.stdout
    assert "ops.toml" in made.server.stderr
    assert made.server.stop() == 0


def test_a_process_that_is_gone_comes_back_with_the_next_change(reloaded: Reloaded) -> None:
    """A process that was killed is told of; whoever asks is answered, and a change starts it again."""
    os.kill(reloaded.child, signal.SIGKILL)
    reloaded.told("ended with status 137")
    assert reloaded.server.ask("GET", "/word", status=503)["status"] == 503
    reloaded.say("two")
    reloaded.restarted()

    assert reloaded.server.ask("GET", "/word") == "two"


@pytest.mark.parametrize("state", ["served", "broken", "never served", "restarting"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly(start: Serve, tmp_path: Path, state: str, number: int, is_alive: Any) -> None:
    """A signal ends it with status 0 and leaves no process, whatever it is doing."""
    if state == "never served":
        (tmp_path / "helper.py").write_text("WORD = \n")
    made = Reloaded(start("binp", "run", "ops.py", "--reload", "--port", "0"))
    if state == "never served":
        made.told("could not be started")
    else:
        made.told("watched")
        made.server.link
    if state == "broken":
        made.write("helper.py", "WORD = \n")
        made.told("could not be started")
        made.server.ask("GET", "/word", status=503)
    if state == "restarting":
        made.server.start("slow", seconds=1)
        made.say("two")
        made.told("changed")
    children = Path(f"/proc/{made.server.popen.pid}/task/{made.server.popen.pid}/children").read_text().split()
    made.server.signal(number)

    assert made.server.wait() == 0, made.server.stderr
    assert [pid for pid in children if is_alive(int(pid))] == []
    assert not (tmp_path / "data.db.serving").exists()


@pytest.mark.parametrize("is_blocked", [False, True])
def test_no_process_is_left_behind(reloaded: Reloaded, is_blocked: bool, is_alive: Any) -> None:
    """When the process that watches is killed, the one that serves ends, even if its event loop is blocked."""
    child = reloaded.child
    if is_blocked:
        reloaded.server.start("block")
        until(lambda: "S" in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2][:3], "sleeping")
    reloaded.server.kill()

    until(lambda: not is_alive(child), "its end")


def test_a_stream_ends_and_goes_on(reloaded: Reloaded) -> None:
    """The stream of changes ends with the process; who comes back with the last id learns that there is a gap."""
    server = reloaded.server
    stream = server.open("GET", "/internal/events?topics=run")
    run = server.start("slow", seconds=0)
    last, seen = "", False
    while not seen:
        line = stream.readline().decode()
        assert line, "it ended too early"
        last = line[4:].strip() if line.startswith("id: ") else last
        seen = str(run) in line
    reloaded.say("two")
    rest = stream.read()
    reloaded.restarted()
    again = server.open("GET", "/internal/events?topics=run", headers={"Last-Event-ID": last})
    head = [again.readline().decode().strip() for _ in range(3)]

    assert rest.rstrip().endswith(b"retry: 1000")
    assert again.status == 200
    assert head == ["retry: 1000", "", "event: reset"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["opps.py", "--reload"], "Error: there is no file 'opps.py'"),
        (["ops.py", "--reload", "--workers", "2"], "--workers"),
    ],
)
def test_what_cannot_be_is_refused(
    binp: Callable[..., subprocess.CompletedProcess[str]], arguments: list[str], said: str
) -> None:
    """A file that is not there is not waited for, and there is one process that serves: status 2."""
    done = binp("run", *arguments)

    assert done.returncode == 2
    assert said in done.stderr


def test_an_address_in_use_is_not_waited_for(
    start: Serve, binp: Callable[..., subprocess.CompletedProcess[str]], free_port: int
) -> None:
    """No change of a file will free it: status 2, and the message says what helps."""
    assert start("binp", "run", "ops.py", "--port", str(free_port)).link
    done = binp("run", "ops.py", "--reload", "--db", "other.db", "--port", str(free_port))

    assert done.returncode == 2
    assert f"Error: port {free_port} of 127.0.0.1 is in use" in done.stderr
    assert "Traceback" not in done.stderr
