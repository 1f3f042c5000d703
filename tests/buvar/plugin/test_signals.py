"""What INT, TERM and the others do to a stage, and that nothing of it stays."""

import asyncio
import contextlib
import dataclasses
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from buvar import plugin

#: How many signals are sent just as a loop goes to sleep.
SIGNALS = int(os.environ.get("SIGNALS", "2000"))


def soon(number, delay=0.05):
    asyncio.get_running_loop().call_later(delay, os.kill, os.getpid(), number)


async def for_ever():
    await asyncio.Future()


@pytest.fixture
def start(tmp_path):
    """Start a script; it prints "ready" when it may be signalled."""
    started = []

    def run(text):
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(text))
        process = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_first_signal_is_a_graceful_end(number):
    """PLG-07: INT and TERM begin the shutdown; who does not watch Cancel ends at once (B-09, B-12)."""
    seen = []

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        yield signalled()

    async def signalled():
        soon(number)
        await asyncio.Future()

    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    started = time.monotonic()
    (result,) = plugin.stage(prepare)
    assert isinstance(result, asyncio.CancelledError)
    assert time.monotonic() - started < 30
    assert seen == ["torn down"]
    assert before == {each: signal.getsignal(each) for each in before}


def test_second_signal_cancels_everything():
    """PLG-12: the second signal also cancels tasks that watch Cancel (B-12)."""
    seen = []

    async def graceful(cancel):
        await cancel.wait()
        soon(signal.SIGTERM)
        await asyncio.Future()

    async def prepare(cancel: plugin.Cancel, teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        soon(signal.SIGINT)
        yield graceful(cancel)

    started = time.monotonic()
    plugin.stage(prepare)
    assert time.monotonic() - started < 30
    assert seen == ["torn down"]


def test_signal_during_a_hanging_teardown():
    """PLG-12: the second signal cancels an entry of the teardown that hangs; the others run."""
    seen = []

    async def hang():
        soon(signal.SIGTERM)
        await asyncio.Future()

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        teardown.add(hang())
        soon(signal.SIGINT)
        yield for_ever()

    plugin.stage(prepare)
    assert seen == ["torn down"]


def test_signal_while_loading():
    """PLG-07: a signal while a plugin is being loaded ends the loading; no task starts, the teardown runs."""
    seen = []

    async def first(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        yield asyncio.sleep(0, seen.append("never awaited, and closed"))

    async def second():
        soon(signal.SIGTERM)
        await asyncio.Future()

    assert plugin.stage(first, second) == []
    assert seen == ["never awaited, and closed", "torn down"]


def test_grace_while_loading():
    """PLG-07: a plugin that watches Cancel while it is loaded may end by itself."""
    seen = []

    async def prepare(cancel: plugin.Cancel):
        soon(signal.SIGTERM)
        await cancel.wait()
        await asyncio.sleep(0.05)
        seen.append("loaded")

    plugin.stage(prepare)
    assert seen == ["loaded"]


def is_pending(pid, number):
    """Whether a signal was sent that a process has not taken yet."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["ShdPnd"], 16) >> (number - 1) & 1


def test_third_signal_leaves(start):
    """PLG-12: the third signal leaves the process with 128 + signal, even when the loop hangs."""
    process = start(
        """
        import time
        from buvar import plugin
        async def hang():
            print("ready", flush=True)
            while True:
                time.sleep(0.01)
        async def prepare():
            yield hang()
        plugin.stage(prepare)
        """
    )
    sent = []
    while process.poll() is None:
        number = signal.SIGTERM if sent else signal.SIGINT
        process.send_signal(number)
        sent.append(number)
        # of two that wait at a time the system hands over one, and so does Python: on a busy machine it takes more
        while process.poll() is None and is_pending(process.pid, number):
            time.sleep(0.01)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.3)
    assert (process.wait(200), len(sent) >= 3) == (128 + signal.SIGTERM, True)


def test_status_is_zero_after_a_signal(start):
    """PLG-07: a script whose stage was ended by TERM goes on and exits with status 0 (B-09)."""
    process = start(
        """
        import asyncio
        from buvar import plugin
        async def server():
            print("ready", flush=True)
            await asyncio.Future()
        async def prepare(teardown: plugin.Teardown):
            teardown.add(lambda: print("torn down"))
            yield server()
        plugin.stage(prepare)
        print("after")
        """
    )
    process.send_signal(signal.SIGTERM)
    assert process.wait(200) == 0
    assert process.stdout.read() == "torn down\nafter\n"


def test_own_handlers():
    """PLG-12: a subclass defines what its signals do; they are called in the loop."""
    seen = []

    class Own(plugin.Signals):
        def handle_hup(self):
            seen.append(("hup", asyncio.get_running_loop() is self.stage.loop))
            soon(signal.SIGINT, 0)

        def handle_int(self):
            seen.append("int")
            self.stage.cancel.set()

    async def prepare():
        soon(signal.SIGHUP)
        yield for_ever()

    stage = plugin.Stage(signals=Own)
    stage.run(prepare)
    assert seen == [("hup", True), "int"]
    assert isinstance(stage.context.get(plugin.Signals), Own)
    assert list(plugin.Signals.handled().values()) == ["handle_int", "handle_term"]
    assert list(Own.handled().values()) == ["handle_int", "handle_term", "handle_hup"]
    plugin.stage(prepare_stopping, signals=Own)


async def prepare_stopping(cancel: plugin.Cancel):
    cancel.set()


def test_without_signals_in_a_thread():
    """PLG-10: a stage runs in a thread, where there are no signals (B-17)."""
    results = []
    thread = threading.Thread(target=lambda: results.append(plugin.stage(prepare_value)))
    thread.start()
    thread.join(60)
    assert results == [[1]]


async def prepare_value():
    return asyncio.sleep(0, 1)


async def test_running_handles_signals_when_asked():
    """PLG-12: `running` leaves signals alone, unless it is told to handle them."""
    before = signal.getsignal(signal.SIGTERM)
    async with plugin.Stage().running():
        assert signal.getsignal(signal.SIGTERM) is before
    async with plugin.Stage().running(signals=True) as stage:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stage.cancel.wait(), 200)
    assert signal.getsignal(signal.SIGTERM) is before


async def test_running_interrupted_while_loading():
    """PLG-07: a signal while plugins are loaded in the background tears down, and the block is never entered."""
    seen = []

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        soon(signal.SIGTERM)
        await asyncio.Future()

    with pytest.raises(plugin.LoadInterruptedError) as caught:
        async with plugin.Stage().running(prepare, signals=True):
            raise AssertionError
    assert str(caught.value) == "a signal ended the stage while its plugins were being loaded"
    assert seen == ["torn down"]


async def test_interrupted_before_loading():
    """PLG-07: a signal that comes before the first step of the loading ends it as one that comes later does."""
    seen = []

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        seen.append("loading")
        await asyncio.Future()

    stage = plugin.Stage()
    stage.interrupt()
    with pytest.raises(plugin.LoadInterruptedError):
        async with stage.running(prepare):
            raise AssertionError
    assert seen in ([], ["loading", "torn down"])
    assert stage.cancel.is_set()


def test_a_signal_for_a_closed_loop_is_ignored():
    """PLG-12: a signal that arrives when the loop is closed does nothing."""
    loop = asyncio.new_event_loop()
    stage = plugin.Stage()
    with stage.signals.installed(loop):
        loop.close()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
    assert not stage.cancel.is_set()


@pytest.fixture
def thread():
    """A thread that waits, and takes the signals that the main thread holds back."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    yield thread
    done.set()
    thread.join()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_signal_wakes_the_loop(thread, kind):
    """PLG-07: a signal that does not interrupt the wait of the loop, here because another thread took it, wakes it."""
    loop = asyncio.new_event_loop() if kind == "asyncio" else pytest.importorskip("uvloop").new_event_loop()

    killer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))

    async def waits():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        killer.start()
        await asyncio.Future()

    async def prepare():
        yield waits()

    held = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        (result,) = plugin.Stage(loop=loop).run(prepare)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        killer.join()
        loop.close()
    assert isinstance(result, asyncio.CancelledError)


def test_no_signal_waits_for_the_next_thing():
    """PLG-07: of signals that come just as the loop goes to sleep, none is seen only when something else wakes it."""
    main, asked, rounds = threading.get_ident(), threading.Event(), SIGNALS
    late = []

    class Own(plugin.Signals):
        def handle_usr1(self):
            self.seen.set()

    def send():
        for _ in range(rounds):
            asked.wait()
            asked.clear()
            moment = time.perf_counter() + random.random() * 1e-4
            while time.perf_counter() < moment:
                pass
            signal.pthread_kill(main, signal.SIGUSR1)

    async def ask(signals):
        for number in range(rounds):
            signals.seen = asyncio.Event()
            asked.set()
            # long enough that nothing but a lost signal can last that long, so a busy machine is no failure
            waiting = asyncio.get_running_loop().call_later(20, late.append, number)
            await signals.seen.wait()
            waiting.cancel()

    async def prepare(signals: plugin.Signals):
        yield ask(signals)

    sender = threading.Thread(target=send)
    sender.start()
    loop = asyncio.new_event_loop()
    plugin.Stage(loop=loop, signals=Own).run(prepare)
    loop.close()
    sender.join()
    assert late == []


@pytest.mark.parametrize("gone", [False, True])
def test_whoever_was_woken_by_signals_still_is(gone):
    """PLG-12: who asked to be woken by signals before goes on to be, meanwhile and afterwards."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    former = signal.set_wakeup_fd(writing.fileno())
    try:

        async def prepare():
            if gone:
                reading.close()
            soon(signal.SIGTERM)
            yield for_ever()

        loop = asyncio.new_event_loop()
        plugin.Stage(loop=loop).run(prepare)
        loop.close()
        if not gone:
            assert reading.recv(100) == bytes([signal.SIGTERM])
    finally:
        assert signal.set_wakeup_fd(former) == writing.fileno()
        reading.close()
        writing.close()


def test_whoever_asks_to_be_woken_meanwhile_is():
    """PLG-12: who asks to be woken by signals while a stage runs goes on to be afterwards."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)

    async def prepare():
        signal.set_wakeup_fd(writing.fileno())

    loop = asyncio.new_event_loop()
    plugin.Stage(loop=loop).run(prepare)
    loop.close()
    assert signal.set_wakeup_fd(-1) == writing.fileno()
    reading.close()
    writing.close()


async def test_a_loop_that_watches_no_sockets():
    """PLG-12: a loop that cannot watch sockets, as that of Windows, is left to wake itself."""

    class Loop:
        def add_reader(self, *_):
            raise NotImplementedError

        remove_reader = add_reader

    before = signal.getsignal(signal.SIGTERM)
    with plugin.Stage().signals.installed(Loop()):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_handlers_that_python_did_not_install(monkeypatch):
    """PLG-12: where the former handler is unknown, the default of the system comes back."""
    installed = []

    def fake(number, handler):
        installed.append(handler)
        return None

    loop = asyncio.new_event_loop()
    monkeypatch.setattr(signal, "signal", fake)
    with plugin.Stage().signals.installed(loop):
        pass
    loop.close()
    assert installed[2:] == [signal.SIG_DFL, signal.SIG_DFL]


def test_an_interrupt_that_is_raised_in_the_loop():
    """PLG-10: when a handler of someone else raises in the loop, the stage is torn down before it is passed on."""
    seen = []

    class NoInterrupt(plugin.Signals):
        handle_int = None

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: seen.append("torn down"))
        soon(signal.SIGINT)
        yield for_ever()

    with pytest.raises(KeyboardInterrupt):
        plugin.stage(prepare, signals=NoInterrupt)
    assert seen == ["torn down"]


@pytest.fixture
def settings(tmp_path):
    """A source on a file, and what was loaded from it."""
    from buvar import config

    file = tmp_path / "a.toml"
    file.write_text("x = 1\n[sub]\nx = 1\n")
    source = config.ConfigSource.files(file, environ={})
    for section in (None, "sub"):
        source.load(Settings, section)
    return file, source


@dataclasses.dataclass(frozen=True)
class Settings:
    x: int


@pytest.mark.parametrize(
    ("text", "values", "message"),
    [
        ("x = 2\n[sub]\nx = 2\n", (2, 2), "The configuration was reloaded; changed: sub, the root"),
        ("x = 1\n[sub]\nx = 1\n", (1, 1), "The configuration was reloaded; nothing changed"),
        ("x = 1\n[sub]\nx = 'a'\n", (1, 1), "The configuration stays as it was: one problem in the configuration"),
        ("x = ", (1, 1), "The configuration stays as it was: cannot read the configuration file"),
    ],
)
def test_hup_reloads(settings, caplog, text, values, message):
    """CFG-02: with `ReloadSignals`, HUP takes over a configuration that is valid, and keeps the old one otherwise."""
    from buvar import context

    file, source = settings

    async def prepare(cancel: plugin.Cancel):
        context.add(source)

        async def task():
            file.write_text(text)
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.05)
            return source.load(Settings).x, source.load(Settings, "sub").x

        yield task()

    caplog.set_level("INFO", "buvar.plugin")
    assert plugin.stage(prepare, signals=plugin.ReloadSignals) == [values]
    told, *more = [record.getMessage() for record in caplog.records if record.name == "buvar.plugin"]
    assert told.startswith(message)
    unheard = "Nobody follows changes of {}: what was loaded before keeps its values"
    assert more == ([unheard.format(told.partition("changed: ")[2])] if "; changed: " in told else [])


def test_hup_of_a_terminal_that_is_gone(settings, monkeypatch):
    """CFG-02: with `ReloadSignals`, HUP begins the shutdown when the terminal it comes from is gone."""
    from buvar import context

    _, source = settings
    terminal = [True]
    monkeypatch.setattr("os.isatty", lambda _handle: terminal[0])

    async def prepare(cancel: plugin.Cancel):
        context.add(source)
        terminal[0] = False
        os.kill(os.getpid(), signal.SIGHUP)
        yield cancel.wait()

    assert plugin.stage(prepare, signals=plugin.ReloadSignals) == [True]


def test_hup_without_a_configuration(caplog):
    """CFG-02: where no configuration is, HUP is told so."""

    async def prepare():
        os.kill(os.getpid(), signal.SIGHUP)
        yield asyncio.sleep(0.05)

    plugin.stage(prepare, signals=plugin.ReloadSignals)
    assert [record.getMessage() for record in caplog.records] == ["There is no configuration to reload"]
