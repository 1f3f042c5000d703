"""A program that is run again when a file changes: what its parent does, what its children are told."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from buvar import fork, plugin

PRELUDE = '''
import asyncio, json, logging, os, signal, socket, sys, time
logging.basicConfig(level="INFO", format="%(name)s %(levelname)s %(message)s")
from pathlib import Path
from buvar import context, fork, plugin

HERE = Path(__file__).parent
FILE = HERE / "watched.py"

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def stage(turn, life, grace=60.0):
    """Run *life* as a task until the parent asks for the end."""
    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: say("torn down"))
        yield life()
    made = plugin.Stage(signals=turn.signals(grace), cancel_timeout=grace, fail_fast=True)
    made.run(prepare)
    return 1 if made.failed else 0

def serve(turn):
    turn.watch([FILE])
    say("serves", FILE.read_text(), turn.was_ready)
    async def life():
        turn.ready()
        await asyncio.sleep(600)
    return stage(turn, life)
'''


class Program:
    """A program that is run again, in a session of its own, and so with a group of its own."""

    def __init__(self, folder, text):
        self.folder, self.out, self.err = folder, folder / "out", folder / "err"
        self.watched = folder / "watched.py"
        self.watched.write_text("1")
        (folder / "program.py").write_text(PRELUDE + textwrap.dedent(text))
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, str(folder / "program.py")],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=folder, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self):
        return self.out.read_text().splitlines()

    @property
    def log(self):
        return [line.split(" ", 2)[2] for line in self.err.read_text().splitlines() if line.startswith("buvar.fork")]

    def until(self, condition, what):
        end = time.monotonic() + 200
        while not (found := condition()):
            assert time.monotonic() < end, f"{what}: {self.said} {self.err.read_text()}"
            time.sleep(0.02)
        return found

    def says(self, line, count=1):
        self.until(lambda: self.said.count(line) >= count, line)

    def logged(self, text, count=1):
        self.until(lambda: sum(text in line for line in self.log) >= count, text)

    def write(self, text):
        draft = self.folder / "draft"
        draft.write_text(text)
        draft.replace(self.watched)

    def children(self):
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(200)


@pytest.fixture
def program(tmp_path):
    """Run a program: text that follows `PRELUDE`; whatever it leaves running is killed."""
    made = []

    def run(text):
        made.append(Program(tmp_path, text))
        return made[-1]

    yield run
    for each in made:
        try:
            os.killpg(each.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        each.process.wait()


def test_it_is_run_again_when_a_file_changes(program, is_alive):
    """One child after the other, each torn down in order; what ends it is the status of the last one."""
    running = program("sys.exit(fork.rerun(serve))")
    running.says("serves 1 False")
    running.logged("1 file watched: it starts again when one changes")
    first = running.children()
    running.write("2")
    running.says("serves 2 True")
    running.logged("restarted in")
    second = running.children()

    assert running.log[1] == "watched.py changed: restarting"
    assert running.said == ["serves 1 False", "torn down", "serves 2 True"]
    assert len(first) == len(second) == 1
    assert first != second
    assert running.end() == 0
    assert running.said[-1] == "torn down"
    assert not is_alive(second[0])


def test_a_failure_is_the_status_of_the_end(program):
    """What fails while it ends is told by the status, also here."""
    running = program(
        """
        def serve(turn):
            async def life():
                turn.ready()
                try:
                    await asyncio.sleep(600)
                finally:
                    raise ValueError("on purpose")
            return stage(turn, life)
        sys.exit(fork.rerun(serve))
        """
    )
    running.logged("watched")

    assert running.end() == 1


def test_what_cannot_be_started_waits_for_a_change(program):
    """A child that ends before it is ready is followed by the next one at a change, and not before."""
    running = program(
        """
        def starts(turn):
            turn.watch([FILE])
            say("starts")
            if FILE.read_text() == "1":
                sys.exit("broken")
            return serve(turn)
        sys.exit(fork.rerun(starts))
        """
    )
    running.logged("It could not be started (status 1); it starts again when a file changes")
    time.sleep(0.5)
    assert running.said == ["starts"]
    assert running.children() == []
    running.write("2")
    running.logged("restarted in")

    assert running.said[1:] == ["starts", "serves 2 False"]
    assert running.end(signal.SIGINT) == 0


def test_a_change_while_it_starts_starts_it_anew(program):
    """A child that is still being started is in the way of a change like any other."""
    running = program(
        """
        def starts(turn):
            turn.watch([FILE])
            say("starts")
            if FILE.read_text() == "1":
                time.sleep(600)
            return serve(turn)
        sys.exit(fork.rerun(starts))
        """
    )
    running.says("starts")
    running.write("2")
    running.says("serves 2 False")

    assert running.end() == 0


def test_a_child_that_did_not_listen_yet_is_told_again(program):
    """What a child misses while it is being started it hears as soon as it listens."""
    running = program(
        """
        def starts(turn):
            if FILE.read_text() == "1":
                heard = []
                signal.signal(signal.SIGTERM, lambda *_: heard.append(say("deaf")))
                turn.watch([FILE])
                say("starts")
                while not heard:
                    time.sleep(0.01)
            return serve(turn)
        sys.exit(fork.rerun(starts))
        """
    )
    running.says("starts")
    running.write("2")
    running.until(lambda: sum("serves 2" in line for line in running.said) == 2, "the next one")

    assert running.said[:2] == ["starts", "deaf"]
    assert running.end() == 0


def test_a_signal_while_nothing_runs(program):
    """What waits for a change ends at a signal, with status 0: nothing that runs has failed."""
    running = program(
        """
        def broken(turn):
            turn.watch([FILE])
            return 7
        sys.exit(fork.rerun(broken))
        """
    )
    running.logged("It could not be started (status 7)")
    running.until(lambda: not running.children(), "its end")

    assert running.end() == 0


def test_a_change_while_the_end_is_waited_for(program):
    """A further change while a child is given time to end neither hurries it nor is it forgotten."""
    running = program(
        """
        def serve(turn):
            turn.watch([FILE])
            text = FILE.read_text()
            say("serves", text)
            async def life():
                turn.ready()
                turn.ready()
                await context.get(plugin.Cancel).wait()
                say("asked")
                while text == "1" and FILE.read_text() != "3":
                    await asyncio.sleep(0.02)
                await asyncio.sleep(1)
                say("ended in peace")
            return stage(turn, life, 60.0)
        sys.exit(fork.rerun(serve))
        """
    )
    running.logged("watched")
    running.write("2")
    running.says("asked")
    running.write("3")
    running.says("serves 3")

    assert running.said[:4] == ["serves 1", "asked", "ended in peace", "torn down"]
    assert "serves 2" not in running.said
    assert running.end() == 0


def test_what_does_not_end_is_killed(program):
    """Who does not listen yet and ignores TERM is killed after a while, without a word about the time it is given."""
    running = program(
        """
        from buvar.fork import _rerun
        _rerun._MARGIN = 1.5
        def deaf(turn):
            signal.signal(signal.SIGTERM, lambda *_: say("asked"))
            turn.watch([FILE])
            say("starts")
            while True:
                signal.pause()
        sys.exit(fork.rerun(deaf))
        """
    )
    running.says("starts")
    running.process.send_signal(signal.SIGTERM)
    running.logged("It did not end in time and is killed")

    assert running.process.wait(200) == 128 + signal.SIGKILL
    assert not any("is given time" in line for line in running.log)


def test_a_file_that_is_no_module(program):
    """Any file may be watched; only of modules is there something compiled to forget."""
    running = program(
        """
        OTHER = HERE / "settings.toml"
        def serve(turn):
            turn.watch([OTHER])
            say("serves", OTHER.exists())
            async def life():
                turn.ready()
                await asyncio.sleep(600)
            return stage(turn, life)
        sys.exit(fork.rerun(serve))
        """
    )
    running.logged("watched")
    (running.folder / "settings.toml").write_text("x = 1")
    running.says("serves True")

    assert running.end() == 0


def test_what_stands_in_may_end(program):
    """Something that stands in and ends is not started again; a change starts the program."""
    running = program(
        """
        def starts(turn):
            turn.watch([FILE])
            if FILE.read_text() == "1":
                with socket.create_server(("127.0.0.1", 0)) as made:
                    turn.keep([made])
                return 1
            return serve(turn)
        sys.exit(fork.rerun(starts, meanwhile=lambda turn: say("stands in")))
        """
    )
    running.says("stands in")
    running.until(lambda: not running.children(), "its end")
    time.sleep(0.3)
    assert running.said == ["stands in"]
    running.write("2")
    running.says("serves 2 False")

    assert running.end() == 0


def test_an_error_of_the_parent_leaves_nothing_behind(program, is_alive):
    """When the parent itself fails, it takes its child along."""
    running = program(
        """
        from buvar.fork import _rerun
        def fail(self):
            if self._was_ready:
                raise ZeroDivisionError
        _rerun.Rerun._look = fail
        def serve(turn):
            say(os.getpid())
            turn.ready()
            time.sleep(600)
        fork.rerun(serve)
        """
    )

    assert running.process.wait(200) == 1
    running.until(lambda: not is_alive(int(running.said[0])), "its end")


def test_no_change_may_help(program):
    """A child that gives up ends the program with its status."""
    running = program(
        """
        def serve(turn):
            turn.watch([FILE])
            turn.give_up()
            return 5
        sys.exit(fork.rerun(serve))
        """
    )

    assert running.process.wait(200) == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_whole_group_counts_once(program, number):
    """A terminal sends a signal to parent and child: nothing is hurried by that."""
    running = program(
        """
        def serve(turn):
            async def life():
                turn.ready()
                cancel = context.get(plugin.Cancel)
                await cancel.wait()
                await asyncio.sleep(1)
                say("ended in peace")
            return stage(turn, life, 60.0)
        sys.exit(fork.rerun(serve))
        """
    )
    running.logged("watched")
    os.killpg(running.process.pid, number)

    assert running.process.wait(200) == 0
    assert running.said == ["ended in peace", "torn down"]


STUBBORN = """
def serve(turn):
    async def life():
        turn.ready()
        cancel = context.get(plugin.Cancel)
        await cancel.wait()
        say("asked")
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            say("hurried")
            time.sleep(600)
    return stage(turn, life, 60.0)
sys.exit(fork.rerun(serve))
"""


def test_a_second_signal_hurries_and_a_third_kills(program, is_alive):
    """The first wish gives time, the second cancels, the third leaves with 128 + signal."""
    running = program(STUBBORN)
    running.logged("watched")
    child = running.children()[0]
    running.process.send_signal(signal.SIGTERM)
    running.says("asked")
    running.logged("What runs is given time to end, 60 s at most; Ctrl-C cuts it short")
    running.process.send_signal(signal.SIGTERM)
    running.says("hurried")

    assert running.end(signal.SIGINT) == 128 + signal.SIGINT
    assert not is_alive(child)


def test_a_signal_that_finds_a_change_waited_for_does_not_hurry(program):
    """The end that a change asked for and the end that a signal asks for are one."""
    running = program(STUBBORN)
    running.logged("watched")
    running.folder.joinpath("watched.py").write_text("2")
    running.process.send_signal(signal.SIGTERM)
    running.says("asked")
    time.sleep(0.5)
    assert running.said == ["asked"]
    running.process.send_signal(signal.SIGTERM)
    running.says("hurried")
    running.process.send_signal(signal.SIGTERM)

    assert running.process.wait(200) == 128 + signal.SIGTERM


def test_the_child_does_not_outlive_its_parent(program, is_alive):
    """When the parent is killed, the child ends."""
    running = program("sys.exit(fork.rerun(serve))")
    running.logged("watched")
    child = running.children()[0]
    running.process.kill()
    running.process.wait()

    running.until(lambda: not is_alive(child), "its end")


def test_sockets_stay_open_and_something_stands_in(program):
    """Who connects while nothing runs is served by the next, or by what stands in; the next knows what was left."""
    running = program(
        """
        def answer(turn, word):
            sock = turn.kept.sockets[0] if turn.kept else None
            if sock is None:
                sock = socket.create_server(("127.0.0.1", 0))
                turn.keep([sock], "mine")
                say("port", sock.getsockname()[1])
            else:
                say("kept", turn.kept.note)
            sock.setblocking(True)
            while True:
                other, _ = sock.accept()
                with other:
                    other.sendall(word.encode())

        def starts(turn):
            turn.watch([FILE])
            if FILE.read_text() == "broken":
                return 3
            turn.ready()
            answer(turn, FILE.read_text())

        sys.exit(fork.rerun(starts, meanwhile=lambda turn: answer(turn, "nothing")))
        """
    )

    def ask():
        with socket.create_connection(("127.0.0.1", port), 200) as sock:
            return sock.recv(100).decode()

    port = int(running.until(lambda: [line for line in running.said if "port" in line], "port")[0].split()[1])
    assert ask() == "1"
    running.write("broken")
    running.logged("could not be started (status 3)")
    assert ask() == "nothing"
    running.write("2")
    running.until(lambda: ask() == "2", "the next one")

    assert running.said[1:] == ["kept mine", "kept mine"]
    assert running.end() == 0
    with pytest.raises(ConnectionRefusedError):
        ask()


def test_what_is_left_takes_the_place_of_what_was_left_before(program):
    """Sockets that a later turn leaves replace the earlier ones, which nobody listens on any more."""
    running = program(
        """
        def serve(turn):
            turn.watch([FILE])
            made = socket.create_server(("127.0.0.1", 0))
            turn.keep([made], FILE.read_text())
            say("port", made.getsockname()[1])
            made.close()
            async def life():
                turn.ready()
                await asyncio.sleep(600)
            return stage(turn, life)
        sys.exit(fork.rerun(serve))
        """
    )
    running.logged("watched")
    running.write("2")
    running.logged("restarted in")
    before, after = (int(line.split()[1]) for line in running.said if "port" in line)

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", before), 200)
    socket.create_connection(("127.0.0.1", after), 200).close()
    assert running.end() == 0


def test_what_children_start_heeds_signals(program):
    """A program that a child starts does not ignore INT because the child leaves that to its parent."""
    running = program(
        """
        import subprocess
        def serve(turn):
            code = "import json, signal; print(json.dumps(signal.getsignal(2) is signal.SIG_IGN), flush=True)"
            subprocess.run([sys.executable, "-c", code])
            turn.give_up()
            return 0
        sys.exit(fork.rerun(serve))
        """
    )

    assert running.process.wait(200) == 0
    assert json.loads(running.said[0]) is False


async def test_refused_inside_a_loop():
    """Nothing is forked while a loop runs in this thread."""
    with pytest.raises(plugin.LoopRunningError, match="fork.rerun"):
        fork.rerun(lambda turn: 0)
