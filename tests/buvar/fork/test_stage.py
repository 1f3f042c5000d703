"""`fork.stage` with one worker: everything but the fork."""

import asyncio
import os
import signal
import socket
import sys
import types

import pytest

from buvar import context, fork, plugin
from buvar.components import Components


async def hello():
    return "hello"


async def prepare():
    yield hello()
    yield hello()


def test_results_are_returned():
    """Decision 10, FRK-01, B-15: with one worker nothing forks, sockets are optional, and the results are returned."""
    assert fork.stage(prepare, forks=1) == ["hello", "hello"]
    assert fork.stage(forks=1) == []


def test_errors_are_returned_and_raised_as_by_the_stage():
    """Decision 3: a failing task is a result; a failing load is raised."""

    async def fail():
        async def run():
            raise RuntimeError("result")

        yield run()

    async def broken():
        raise RuntimeError("raised")

    (result,) = fork.stage(fail, forks=1)
    assert isinstance(result, RuntimeError)
    with pytest.raises(RuntimeError, match="raised"):
        fork.stage(broken, forks=1)


def test_sockets_are_components():
    """FRK-01: sockets listen while plugins are loaded, under their URI and their real address, and are closed then."""
    seen = []

    async def look(here: fork.Fork):
        sock = context.get(fork.Socket, name="tcp://127.0.0.1:0")
        assert context.get(fork.Socket, name=sock.address) is sock
        assert context.get(socket.socket, name=sock.address) is sock
        with socket.create_connection(sock.getsockname()):
            seen.append(sock)
        assert (here.number, here.is_child, fork.is_leader()) == (1, False, True)

    fork.stage(look, forks=1, sockets=["tcp://127.0.0.1:0"])
    assert seen[0].fileno() == -1


def test_components_are_layers_and_stay_clean():
    """PLG-06: `components=` is seen by plugins and never written to; nothing leaks out."""
    components = Components()
    components.add(42)

    async def look(number: int):
        context.add("inside")
        assert number == 42

    fork.stage(look, components=components, forks=1, sockets=["tcp://127.0.0.1:0"])
    assert components.find(str) == {}
    assert components.find(fork.Fork) == {}
    assert context.get(fork.Fork, default=None) is None


def test_a_given_loop_is_used():
    """FRK-01: `loop=` is the loop of the stage, and stays open."""
    loop = asyncio.new_event_loop()

    async def look():
        assert asyncio.get_running_loop() is loop

    try:
        fork.stage(look, loop=loop, forks=1)
        assert not loop.is_closed()
    finally:
        loop.close()


def test_relative_names_count_from_the_caller(monkeypatch):
    """PLG-01: a relative plugin is looked for in the package of whoever calls `fork.stage`."""
    package, module = types.ModuleType("pack"), types.ModuleType("pack.age")
    package.__path__, module.prepare, module.other = [], prepare, prepare
    monkeypatch.setitem(sys.modules, "pack", package)
    monkeypatch.setitem(sys.modules, "pack.age", module)
    code = "def call(*names):\n    return fork.stage(*names, forks=1)\n"
    inside = {"fork": fork, "__package__": "pack"}
    exec(code, inside)
    outside = {"fork": fork, "__package__": ""}
    exec(code, outside)

    assert inside["call"](".age", ".age:other") == ["hello", "hello"]
    with pytest.raises(ImportError, match="'.age' is relative, but its caller is in no package"):
        outside["call"](".age")


def test_signals_and_grace_are_passed_on():
    """Decision 10: `signals=`, `cancel_timeout=` and `fail_fast=` are those of the stage."""
    seen = []

    class Mine(plugin.Signals):
        def handle_usr1(self):
            seen.append("usr1")
            self.stage.cancel.set()

    async def run(cancel: plugin.Cancel):
        async def wait():
            os.kill(os.getpid(), signal.SIGUSR1)
            await cancel.wait()
            await asyncio.sleep(60)

        yield wait()

    (result,) = fork.stage(run, forks=1, signals=Mine, cancel_timeout=0.01)
    assert seen == ["usr1"]
    assert isinstance(result, asyncio.CancelledError)


def test_what_must_succeed_holds_back_and_ends():
    """An error where a worker comes up ends the stage and is raised, whatever else runs."""

    async def server(here: fork.Fork):
        booting = here.booting()

        async def run():
            with booting:
                raise OSError("no address")

        yield run()
        yield asyncio.sleep(60)

    with pytest.raises(OSError, match="no address"):
        fork.stage(server, forks=1)


def test_the_service_manager_hears_from_a_single_process(tmp_path, monkeypatch):
    """sd_notify: READY only when all that must succeed has, signs of life, and STOPPING on a signal."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")

        def heard():
            said = []
            try:
                while True:
                    said.append(manager.recv(99).decode().partition("=")[0])
            except BlockingIOError:
                return said

        async def server(here: fork.Fork, cancel: plugin.Cancel):
            booting, other = here.booting(), here.booting()

            async def run():
                await asyncio.sleep(0)
                with booting:
                    pass
                assert "READY" not in heard()
                with other:
                    pass
                assert "READY" in heard()
                await asyncio.sleep(0.15)
                assert "WATCHDOG" in heard()
                os.kill(os.getpid(), signal.SIGTERM)
                await cancel.wait()

            yield run()

        assert fork.stage(server, forks=1) == [None]
        assert "STOPPING" in heard()


def test_a_start_that_is_cancelled_is_no_failure():
    """Being asked to end while coming up raises nothing."""

    async def server(here: fork.Fork):
        booting = here.booting()

        async def run():
            with booting:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(60)

        yield run()

    (result,) = fork.stage(server, forks=1)
    assert isinstance(result, asyncio.CancelledError)


def test_workers_make_loops_of_the_same_kind(start):
    """FRK-01: a loop that was given is used by nobody else; each worker makes one of its class."""
    program = start(
        """
        class Loop(asyncio.SelectorEventLoop): pass
        given = Loop()
        async def look():
            loop = asyncio.get_running_loop()
            print(type(loop).__name__, loop is given, flush=True)
        print(fork.stage(look, loop=given, forks=2))
        given.close()
        """
    )

    assert program.wait() == 0
    assert program.printed.splitlines() == ["Loop False", "Loop False", "[0, 0]"]


def test_a_server_that_does_not_start_is_a_failed_worker(start):
    """A worker whose server cannot start has not come up: status 3."""
    program = start(
        """
        async def server(here: fork.Fork):
            booting = here.booting()
            async def run():
                with booting:
                    raise OSError("no address")
            yield run()
        fork.stage(server, serve, forks=2, sockets=[URI])
        """
    )

    assert program.wait() == 3
    assert "no address" in program.log


def test_a_worker_ends_when_it_is_interrupted_while_it_loads(start, tools):
    """TERM while plugins are being loaded is a clean end."""
    program = start(
        """
        async def slow():
            print("loading", flush=True)
            await asyncio.sleep(600)
        print(fork.stage(slow, forks=2, sockets=[URI]))
        """
    )
    tools.until(lambda: program.printed.count("loading") == 2)

    assert program.end() == 0
    assert program.printed.splitlines()[-1] == "[0, 0]"


def test_a_failed_teardown_of_a_failed_start(start):
    """What fails while a worker comes up and while it is torn down is still a failed start."""
    program = start(
        """
        async def broken(teardown: plugin.Teardown, cancel: plugin.Cancel):
            def no(): raise RuntimeError("no")
            teardown.add(no)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(1)
        fork.stage(broken, forks=2, sockets=[URI])
        """
    )

    assert program.wait() == 3
