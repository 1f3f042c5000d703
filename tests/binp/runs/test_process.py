"""Functions that are executed in a process of their own."""

import asyncio
import importlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import pytest

from binp import BINP, File
from binp.errors import BinpError
from binp.operations import InvalidArguments
from binp.runs import CallFailed, ProcessDied, RunCancelled, RunTimedOut, Trigger, _process
from binp.store.contract import State

APART = """
import asyncio, ctypes, logging, os, pathlib, signal, subprocess, sys
from datetime import date, timedelta
from pydantic import BaseModel
from binp import BINP, File, Inject, Secret
from buvar import context

binp = BINP(db="{db}")
HERE = pathlib.Path("{here}")


class Item(BaseModel):
    name: str
    key: Secret[str]


class Client:
    number = 7


async def prepare():
    context.add(Client())


@binp.service
async def keeper():
    (HERE / "keeper").touch()


class Early(BaseModel):
    # it asks its process to end while it is read, before the function is called
    def model_post_init(self, context):
        if os.environ.get("BINP_TEST_PARENT") != str(os.getpid()):
            os.kill(os.getpid(), signal.SIGTERM)


@binp.action(process=True)
def hasty(early: Early):
    binp.journal.record("begun")


@binp.action(process=True)
def undecodable():
    raise ValueError("no such file: " + os.fsdecode(b"x\\xff"))


@binp.action(process=True)
def give() -> File:
    return File(b"x", name="x.txt")


@binp.action(process=True)
async def give_more(size: int) -> dict:
    async def bits():
        for _ in range(size):
            yield b"z"

    (HERE / "b.txt").write_bytes(b"z" * size)
    return {{"a": File(bits(), name="a.txt"), "b": File(HERE / "b.txt"), "n": size}}


@binp.action(process=True)
def read(one: File, more: list[File]) -> list:
    return [[file.name, file.type, file.size, file.read_text()] for file in (one, *more)]


@binp.action(process=True, labels=["apart"])
def add(a: int, b: float = 2.5, day: date = date(2026, 1, 1), wait: timedelta = timedelta(0)) -> dict:
    print("adding")
    binp.journal.record("summed", a=a)
    binp.journal.progress(1, 2, "half")
    binp.journal.labels("x")
    logging.getLogger("mine").warning("careful")
    return {{"sum": a + b, "day": day, "wait": wait.total_seconds(), "pid": os.getpid(), "run": binp.journal.current}}


@binp.action(process=True)
async def keys(n: int) -> int:
    await binp.kv.set(n=n)
    assert await binp.journal.record("kept") is True
    return await binp.journal.step("double", lambda: 2 * n)


@binp.action(process=True)
def reveal(item: Item) -> str:
    print("the key is", item.key.reveal())
    binp.journal.record("it is", key=item.key.reveal())
    raise ValueError("bad " + item.key.reveal())


@binp.action(process=True)
async def inject(client: Inject[Client], more: int = 0) -> int:
    return client.number + more


@binp.action(process=True)
@binp.journal
def above(n: int) -> int:
    binp.journal.record("above", pid=os.getpid())
    return n


@binp.journal
@binp.action(process=True)
async def below(n: int) -> int:
    binp.journal.record("below", pid=os.getpid())
    return n


@binp.action(process=True, timeout=0.5)
def late() -> None:
    while True:
        pass


@binp.action(process=True)
def spin() -> None:
    binp.journal.record("begun", pid=os.getpid())
    try:
        while True:
            pass
    finally:
        binp.journal.record("put away")


@binp.action(process=True)
def ask() -> None:
    assert not binp.action.stopping(within=0.05)
    binp.journal.record("begun", pid=os.getpid())
    try:
        while not binp.action.stopping(within=3600):
            pass
    finally:
        binp.journal.record("put away")


@binp.action(process=True)
async def sleep() -> None:
    binp.journal.record("begun", pid=os.getpid())
    try:
        await asyncio.sleep(600)
    finally:
        binp.journal.record("put away")


@binp.action(process=True)
def talk() -> None:
    binp.journal.record("begun", pid=os.getpid())
    try:
        for number in range(10**9):
            binp.journal.record("talk", number=number)
    finally:
        binp.journal.record("put away")


@binp.action(process=True)
def stubborn() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    binp.journal.record("begun", pid=os.getpid())
    while True:
        pass


@binp.action(process=True)
def die(how: str) -> None:
    binp.journal.record("about to").wait()
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "crash":
        ctypes.string_at(0)
    if how == "fork":
        # a child that holds what the process had open
        if not os.fork():
            signal.pause()
        os._exit(4)
    if how == "exit":
        os._exit(3)
    sys.exit("out")


@binp.action(process=True)
def deaf(text: str) -> None:
    pass


@binp.action(process=True, retries=1, retry_delay=0)
def second() -> int:
    if not (HERE / "tried").exists():
        (HERE / "tried").touch()
        os._exit(1)
    return 2


@binp.action(process=True)
async def forgetful() -> object:
    return asyncio.sleep(0)


@binp.action(process=True)
def parent() -> int:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid
"""

_numbers = itertools.count()


@pytest.fixture
async def apart(tmp_path, monkeypatch):
    """A module with actions, imported here as a program would do."""
    name = f"apart_{os.getpid()}_{next(_numbers)}"
    (tmp_path / f"{name}.py").write_text(APART.format(db=tmp_path / "data.db", here=tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    # what is asked to end does so, also where many processes want the processor
    monkeypatch.setattr(_process, "_STOP", 100.0)
    monkeypatch.setattr(_process, "_LEAVE", 100.0)
    module = importlib.import_module(name)
    # services belong to the app, which is not served here
    module.binp.home.has_app = True
    yield module.binp
    await module.binp.home.close()
    del sys.modules[name]


async def ended(binp, action, **arguments):
    """Start an action; its run when it has ended, its records and its handle."""
    handle = await binp.action.start(action, **arguments)
    run = await asyncio.wait_for(handle.wait(), 120)
    return run, await binp.home.store.get_records(run.id), handle


async def begun(binp, action, **arguments):
    """Start an action; its handle and its process, when its function says that it has begun."""
    handle = await binp.action.start(action, **arguments)
    async with asyncio.timeout(120):
        while not (found := await binp.home.store.get_records(handle.id)):
            await asyncio.sleep(0.02)
    return handle, json.loads(found[0].fields)["pid"]


async def test_arguments_go_there_and_results_come_back(apart, tmp_path, is_alive):
    """ACT-01: a call in another process is bound by the same form; what it says, prints and logs is in its run."""
    run, records, handle = await ended(apart, "add", a="1", wait="PT1M30S")

    result = await handle.result()
    assert result == {"sum": 3.5, "day": "2026-01-01", "wait": 90.0, "pid": result["pid"], "run": run.id}
    assert result["pid"] != os.getpid()
    assert (run.state, set(run.labels), json.loads(run.result)) == (State.SUCCEEDED, {"apart", "x"}, result)
    said = [(one.source, one.level, one.message) for one in records]
    assert said == [("print", "info", "adding"), ("record", "info", "summed"), ("log", "warning", "careful")]
    assert [one.seq for one in records] == [1, 2, 3]
    assert (run.progress, run.progress_total, run.progress_message) == (1.0, 2.0, "half")
    assert not is_alive(result["pid"])
    # where there are no files there is no folder for them
    assert not (tmp_path / "data.db.files").exists()


async def test_a_result_that_was_not_awaited_is_a_failure_there_too(apart):
    """What is given back without having been awaited was not executed."""
    run = await (await apart.action.start("forgetful")).wait()
    assert run.state is State.FAILED
    assert run.error == "BinpError: it gave back sleep(...), which nobody awaited: that was not executed"


async def test_keys_and_steps(apart):
    """The function has the same database: it keeps values and steps, and awaits that what it says is committed."""
    run, records, _ = await ended(apart, "keys", n=4)

    assert (run.state, run.result) == (State.SUCCEEDED, "8"), run.error
    assert await apart.kv.get("n") == 4
    assert [one.message for one in records] == ["kept", "step 'double' is done"]


async def test_secrets_stay_secret(apart, capfd):
    """ACT-09: what was given as a secret arrives, and is masked in all that is kept."""
    run, records, handle = await ended(apart, "reveal", item={"name": "n", "key": "hunter2222"})

    assert (run.state, run.error_type, run.error) == (State.FAILED, "ValueError", "ValueError: bad ***")
    with pytest.raises(CallFailed) as caught:
        await handle.result()
    assert caught.value.kind == "ValueError"
    assert "raise ValueError" in run.traceback
    assert [one.message for one in records] == ["the key is ***", "it is"]
    assert "hunter2222" not in repr((run, records))


async def test_what_is_injected_is_made_there(apart):
    """ACT-02: plugins are loaded in the other process where the function needs what they give."""
    run, _, _ = await ended(apart, "inject", more=1)
    assert (run.state, run.result) == (State.SUCCEEDED, "8"), run.error


@pytest.mark.parametrize("action", ["above", "below"])
async def test_with_a_journal(apart, action, tmp_path):
    """The order of decorators does not matter: one run, executed in the other process; no service runs there."""
    run, records, _ = await ended(apart, action, n=3)

    assert (run.state, run.result, run.journal) == (State.SUCCEEDED, "3", action), run.error
    assert [one.message for one in records] == [action]
    assert json.loads(records[0].fields)["pid"] != os.getpid()
    assert not (tmp_path / "keeper").exists()


async def test_what_takes_too_long_is_ended(apart):
    """A function that no thread could be freed of fails at its time-out, and its process is gone."""
    run, _, handle = await ended(apart, "late")

    assert (run.state, run.error) == (State.FAILED, "RunTimedOut: it took longer than 0.5 s")
    with pytest.raises(RunTimedOut):
        await handle.result()


@pytest.mark.parametrize("action", ["spin", "ask", "sleep"])
async def test_cancel(apart, action, is_alive):
    """EVT-02: one that is cancelled may put its things away, in a loop of Python as well as in one of events."""
    handle, pid = await begun(apart, action)

    await handle.cancel()

    with pytest.raises(RunCancelled):
        await asyncio.wait_for(handle.result(), 200)
    assert [one.message for one in await apart.home.store.get_records(handle.id)] == ["begun", "put away"]
    assert not is_alive(pid)


async def test_cancel_before_it_begins(apart, monkeypatch):
    """EVT-02: a synchronous function is not called where its process was asked to end just before."""
    monkeypatch.setenv("BINP_TEST_PARENT", str(os.getpid()))

    run, records, _ = await ended(apart, "hasty", early={})

    assert (run.state, run.error_type) == (State.FAILED, "KeyboardInterrupt")
    assert records == []


async def test_cancel_while_it_talks(apart):
    """What is being said when it is asked to end arrives whole: every line is there up to the last one."""
    handle, _ = await begun(apart, "talk")
    await handle.cancel()
    with pytest.raises(RunCancelled):
        await asyncio.wait_for(handle.result(), 120)

    (last,) = await apart.home.store.get_records(handle.id, newest=True, limit=1)
    assert (last.message, last.seq) == ("put away", (await handle.wait()).records)


async def test_what_does_not_end_is_killed(apart, monkeypatch, is_alive):
    """A process that ignores that it is asked to end is killed."""
    monkeypatch.setattr(_process, "_STOP", 0.2)
    handle, pid = await begun(apart, "stubborn")

    await handle.cancel()

    with pytest.raises(RunCancelled):
        await asyncio.wait_for(handle.result(), 200)
    assert not is_alive(pid)


async def test_closing_the_home_ends_it(apart, is_alive):
    """N-11: nothing is left when the one who started it shuts down."""
    handle, pid = await begun(apart, "spin")

    await apart.home.close()

    assert handle.done
    assert not is_alive(pid)


@pytest.mark.parametrize(
    ("how", "text", "kind"),
    [
        ("kill", "its process was killed by SIGKILL: perhaps the system had too little memory", ProcessDied),
        ("crash", "its process was killed by SIGSEGV: something in it that is not Python has crashed", ProcessDied),
        ("exit", "its process ended with status 3 before the function returned", ProcessDied),
        ("fork", "its process ended with status 4 before the function returned", ProcessDied),
        ("leave", "SystemExit: out", CallFailed),
    ],
)
async def test_a_process_that_dies(apart, monkeypatch, how, text, kind):
    """N-13: the run has failed and says how; what was said before is kept, and the one who serves goes on."""
    if how == "fork":
        # the child holds the line, and nothing more comes
        monkeypatch.setattr(_process, "_LEAVE", 3.0)
    run, records, handle = await ended(apart, "die", how=how)

    assert (run.state, run.error) == (State.FAILED, text)
    assert [one.message for one in records] == ["about to"]
    with pytest.raises(kind) as caught:
        await handle.result()
    assert type(caught.value) is kind


async def test_it_is_tried_again(apart):
    """Each attempt has a process of its own."""
    run, records, _ = await ended(apart, "second")

    assert (run.state, run.result, run.attempt) == (State.SUCCEEDED, "2", 2)
    assert "attempt 1 failed" in records[0].message
    # there is no traceback of a process that died
    assert records[0].fields is None


async def test_children_of_the_process_end_with_it(apart, until, is_alive):
    """What the function started and left behind is ended."""
    run, _, handle = await ended(apart, "parent")
    assert run.state is State.SUCCEEDED, run.error
    pid = await handle.result()
    await until(lambda: not is_alive(pid))


async def test_what_json_cannot_carry_is_refused(apart):
    """An argument that cannot go to another process is named, and no process is started."""
    await apart.home.ensure()
    operation = apart.action.find("inject")
    with pytest.raises(InvalidArguments, match="more: cannot be handed to another process: object is not JSON"):
        await apart.home.runs.processes.call(None, operation, {"more": object()})


async def test_an_error_that_is_no_text_comes_back(apart):
    """What a function says of a name that cannot be decoded is told, and not lost with its process."""
    handle = await apart.action.start("undecodable")
    with pytest.raises(CallFailed, match=r"no such file: x\\udcff"):
        await handle.result()


async def test_files_go_there(apart, tmp_path):
    """Files in: the process reads what was given, however that was, and nothing of it is left in the end."""
    place = tmp_path / "given.csv"
    place.write_text("a path")
    more = [b"bytes", File(iter([b"it", b"er"]), name="x.txt"), File(b"iter", name="y.md")]
    run, _, handle = await ended(apart, "read", one=place, more=more)

    assert run.state is State.SUCCEEDED, run.error
    assert await handle.result() == [
        ["given.csv", "text/csv", 6, "a path"],
        ["file", "application/octet-stream", 5, "bytes"],
        ["x.txt", "text/plain", 4, "iter"],
        ["y.md", "text/markdown", 4, "iter"],
    ]
    kept = json.loads(run.arguments)
    assert [one["$file"] for one in (kept["one"], *kept["more"])] == ["given.csv", "file", "x.txt", "y.md"]
    assert files_at(tmp_path) == []


async def test_uploads_go_there(apart, tmp_path):
    """Files in: what came over HTTP, and is described by a token."""
    await apart.home.ensure()
    shelf = apart.home.runs.files.shelf
    draft = shelf.receive("up.csv", "text/csv")
    await draft.write(b"uploaded")
    upload = await shelf.take(draft)
    operation = apart.action.find("read")
    call = operation.form.bind({"one": {"$file": "up.csv", "upload": upload.token}, "more": []}, shelf.find)

    handle = await apart.home.runs.start(operation, call, trigger=Trigger("api"))

    assert await asyncio.wait_for(handle.result(), 120) == [["up.csv", "text/csv", 8, "uploaded"]]
    assert files_at(tmp_path) == []


async def test_files_come_back(apart, tmp_path):
    """Files out: what the process returns is kept as long as the run, alone or inside of something."""
    run, _, handle = await ended(apart, "give")
    assert run.state is State.SUCCEEDED, run.error
    file = await handle.result()
    assert (file.name, file.type, file.size, file.read_bytes()) == ("x.txt", "text/plain", 1, b"x")
    assert json.loads(run.result)["$file"] == "x.txt"

    inside, _, handle = await ended(apart, "give_more", size=3)
    assert inside.state is State.SUCCEEDED, inside.error
    value = await handle.result()
    assert {key: value[key].read_bytes() for key in ("a", "b")} == {"a": b"zzz", "b": b"zzz"}
    assert (value["a"].name, value["b"].name, value["n"]) == ("a.txt", "b.txt", 3)
    names = files_at(tmp_path)
    assert len(names) == 2
    assert {name.partition(".")[0] for name in names} == {f"out/{run.id}", f"out/{inside.id}"}


async def test_a_file_that_is_too_large_does_not_come_back(apart, tmp_path):
    """Files out: the limits hold for what a process returns, which leaves nothing behind."""
    await apart.home.ensure()
    shelf = apart.home.runs.files.shelf
    shelf.limits = type(shelf.limits)(size=10, total=100)
    run, _, handle = await ended(apart, "give_more", size=11)

    assert (run.state, run.error_type) == (State.FAILED, "FileTooLarge")
    with pytest.raises(CallFailed, match="more than 10 bytes"):
        await handle.result()
    assert files_at(tmp_path) == []


def files_at(folder):
    place = folder / "data.db.files"
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def test_a_function_inside_another_is_refused():
    """What another process could not import is refused where it is written."""
    binp = BINP()
    with pytest.raises(BinpError, match="is inside another one"):

        @binp.action(process=True)
        def inside() -> None:
            """Cannot be found."""


SCRIPT = """
import asyncio, os, sys, time
from binp import BINP

binp = BINP(db=sys.argv[1])

@binp.action(process=True)
def wait() -> None:
    print("CHILD", os.getpid(), flush=True)
    time.sleep(600)

@binp.action(process=True)
def add(a: int) -> int:
    return a + 1

async def main():
    if sys.argv[2] == "add":
        print("SUM", await (await binp.action.start("add", a=1)).result())
    elif sys.argv[2] == "wait":
        await (await binp.action.start("wait")).result()
    else:
        from binp.runs import CallFailed
        try:
            await (await binp.action.start("nowhere")).result()
        except CallFailed as error:
            print("SAID", error)
    await binp.home.close()

if __name__ == "__main__":
    @binp.action(process=True)
    def nowhere() -> None:
        pass

    asyncio.run(main())
"""


@pytest.fixture
def script(tmp_path):
    """Run a program by its path, as a person does."""
    place = tmp_path / "program.py"
    place.write_text(textwrap.dedent(SCRIPT))
    started = []

    def run(what):
        started.append(
            subprocess.Popen(
                [sys.executable, str(place), str(tmp_path / "data.db"), what], stdout=subprocess.PIPE, text=True
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_a_script_is_imported_under_another_name(script):
    """A program that is run by its path does not run a second time in the process of an action."""
    assert script("add").communicate(timeout=120)[0] == "SUM 2\n"


def test_an_action_that_is_not_there_is_told(script):
    """An action that exists only while the program runs is not found, and the error says so."""
    said = script("nowhere").communicate(timeout=120)[0]
    assert "SAID BinpError: there is no action 'nowhere' in the module" in said
    assert "when another process imports it" in said


def test_nothing_is_left_when_the_parent_is_killed(script, is_alive):
    """N-13: no orphan stays behind one that was killed."""
    program = script("wait")
    pid = int(program.stdout.readline().split()[1])
    assert is_alive(pid)

    program.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 200
    while is_alive(pid):
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.02)


async def test_what_is_not_read_is_let_go(apart, monkeypatch):
    """Where nobody reads, and a child holds the line, what was to be sent is in no other connection's way."""
    monkeypatch.setattr(_process, "_LEAVE", 0.2)
    monkeypatch.setattr(_process, "_PROGRAM", "import os, time\nif os.fork(): os._exit(3)\ntime.sleep(600)")
    run, _, _ = await ended(apart, "deaf", text="x" * 5_000_000)
    assert (run.state, run.error_type) == (State.FAILED, "ProcessDied")

    # one of these has the number that its line had
    lines = [end for _ in range(20) for end in socket.socketpair()]
    streams = [await asyncio.open_connection(sock=end) for end in lines]
    for (reader, _), (_, writer) in zip(streams[::2], streams[1::2], strict=True):
        writer.write(b"here")
        assert await asyncio.wait_for(reader.readexactly(4), 200) == b"here"
    for _, writer in streams:
        writer.close()
        await writer.wait_closed()
