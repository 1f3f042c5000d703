"""Workers as their parent keeps them: real processes that are killed, stalled, broken and asked to end."""

import concurrent.futures
import contextlib
import os
import signal
import socket
import time

import pytest

TWO = "print(fork.stage(serve, forks=2, sockets=[URI], cancel_timeout=60))\n"


def statuses(program) -> str:
    return program.printed.splitlines()[-1]


def test_workers_serve_one_socket_and_end_in_order(start, tools):
    """FRK-01, FRK-04: two workers serve; TERM drains, tears down, returns their statuses; status 0 (B-09, B-15)."""
    program = start(TWO).ready()
    told = [program.ask() for _ in range(40)]

    assert {each["pid"] for each in told} <= set(program.workers)
    assert len(program.workers) == 2
    assert [os.getpgid(pid) for pid in program.workers] == program.workers  # out of reach of the terminal
    assert all(each["number"] == 2 and each["stdin"] for each in told)
    assert program.end() == 0
    assert program.printed.splitlines() == ["torn down", "torn down", "[0, 0]"]


def test_code_behind_stage_runs_once(start):
    """B-15: children never come back into the script, and what was buffered before the fork is printed once."""
    program = start("print('before')\n" + TWO + "print('after')\n").ready()

    assert program.end(signal.SIGINT) == 0
    assert program.printed.splitlines() == ["before", "torn down", "torn down", "[0, 0]", "after"]


def test_requests_in_flight_are_answered(start, tools):
    """TERM lets a request end that is being answered."""
    program = start(
        """
        async def slow(cancel: plugin.Cancel):
            server = await asyncio.start_server(handle, sock=next(iter(context.find(fork.Socket).values())))
            async def run():
                await cancel.wait()
                server.close()
                await asyncio.sleep(0.6)
            yield run()
        fork.stage(slow, forks=2, sockets=[URI], cancel_timeout=60)
        """
    ).ready()
    with program.connect() as sock:
        sock.sendall(b"GET /slow HTTP/1.1\r\n\r\n")
        tools.until((program.err.parent / "slow").exists)
        program.send(signal.SIGTERM)
        assert tools.answer(sock)["pid"]
    assert program.wait() == 0


def test_a_killed_worker_comes_back(start, tools):
    """B-15b: a killed worker is back after a fraction of a second, as the same number; its sibling is untouched."""
    program = start(TWO).ready()
    before = program.by_slot()
    os.kill(before[1], signal.SIGKILL)
    program.ready(3)

    assert "Worker 1 ended with status 137; started again in 0." in program.log
    after = program.by_slot()
    assert after[0] == before[0]
    assert after[1] != before[1]
    assert tools.alive(before[0])
    assert program.end() == 0


@pytest.mark.parametrize("kill", [False, True], ids=["stalled", "killed"])
def test_a_stalled_worker_costs_no_connection(start, tools, kill):
    """With one of two workers stopped, and also when it is killed then, 40 of 40 new requests are answered."""
    program = start(TWO).ready()
    stalled = program.by_slot()[0]
    os.kill(stalled, signal.SIGSTOP)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(program.connect()) for _ in range(40)]
        if kill:
            os.kill(stalled, signal.SIGKILL)
        for sock in socks:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        told = [tools.answer(sock) for sock in socks]
    assert len(told) == 40
    if kill:
        program.ready(3)
    else:
        os.kill(stalled, signal.SIGCONT)
    assert program.end() == 0


def test_reload_under_load_loses_nothing(start, tools):
    """HUP under load replaces every worker and fails no request; the leader's successor comes after it."""
    program = start(TWO).ready()
    before = set(program.workers)
    failed, done = [], []

    def ask(_: int) -> None:
        try:
            done.append(program.ask()["pid"])
        except (OSError, ValueError) as error:
            failed.append(error)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = pool.map(ask, range(600))
        for count in (1, 2):
            time.sleep(0.1)
            program.send(signal.SIGHUP)
            program.logged("The workers are replaced", count)
        list(asked)
        list(pool.map(ask, range(20)))
    assert failed == []
    assert not before & set(program.workers)
    assert set(done[-20:]) <= set(program.workers)
    assert program.end() == 0


def test_a_reload_keeps_what_runs_when_the_new_cannot_start(start, tools):
    """HUP: when a new worker does not come up, the old ones stay, and the next HUP tries again."""
    program = start(
        """
        async def broken():
            if os.path.exists("broken"):
                raise RuntimeError("no luck")
        fork.stage(broken, serve, forks=2, sockets=[URI])
        """
    ).ready()
    before = set(program.workers)
    flag = program.err.parent / "broken"
    flag.touch()
    program.send(signal.SIGHUP)
    program.logged("The workers are not replaced")

    assert set(program.workers) == before
    flag.unlink()
    program.send(signal.SIGHUP)
    program.logged("The workers are replaced")
    tools.until(lambda: not before & set(program.workers))  # the last of them may still be ending
    assert program.end() == 0


def test_a_reload_reads_the_configuration_again(start, tools):
    """HUP: workers get the changed file; a file that cannot be read changes nothing."""
    program = start(
        """
        import pathlib
        file = pathlib.Path("settings.toml")
        file.write_text('name = "old"')
        context.add(config.ConfigSource.files(file))
        async def show(source: config.ConfigSource):
            print("name", source["name"], flush=True)
        fork.stage(show, serve, forks=2, sockets=[URI])
        """
    ).ready()
    file = program.err.parent / "settings.toml"
    file.write_text("name = ")
    program.send(signal.SIGHUP)
    program.logged("could not be read again")
    file.write_text('name = "new"')
    program.send(signal.SIGHUP)
    program.logged("The workers are replaced")

    assert program.end() == 0
    assert [line for line in program.printed.splitlines() if line[:4] == "name"] == ["name old"] * 2 + ["name new"] * 2


def test_a_reload_changes_how_is_logged(start):
    """HUP: a level that was changed in the file holds in the parent and in the workers that it starts."""
    program = start(
        """
        import pathlib
        from buvar import Components, log
        file = pathlib.Path("settings.toml")
        file.write_text('[log]\\nlevel = "INFO"')
        source = context.add(config.ConfigSource.files(file))
        source.load(log.LogConfig, "log").setup()
        async def talk():
            logging.getLogger("talk").debug("hear me")
        # also where other components stand on top of those with the source
        fork.stage(talk, serve, forks=2, sockets=[URI], components=Components())
        """
    ).ready()
    assert "hear me" not in program.log
    (program.err.parent / "settings.toml").write_text('[log]\nlevel = "DEBUG"')
    program.send(signal.SIGHUP)
    program.logged("The workers are replaced")

    assert program.end() == 0
    assert "The configuration was read again; changed: log" in program.log
    assert program.log.count("hear me") == 2
    assert '"level":"debug","logger":"buvar.fork"' in program.log


def test_a_single_worker_reads_the_configuration_again(start):
    """HUP: one worker, which nobody could replace, reads the configuration again and goes on."""
    program = start(
        """
        import pathlib
        file = pathlib.Path("settings.toml")
        file.write_text('name = "old"')
        source = context.add(config.ConfigSource.files(file))
        async def said():
            logging.getLogger("said").info("up")
        fork.stage(serve, said, forks=1, sockets=[URI])
        """
    )
    program.logged("up")
    program.send(signal.SIGHUP)
    program.logged("The configuration was read again; nothing changed")

    assert program.ask()["slot"] is None
    assert program.end() == 0


def test_a_misspelt_section_is_told_once_for_all_workers(start):
    """CFG-02: of several workers one warns about a section that is most likely misspelt."""
    program = start(
        """
        import dataclasses
        context.add(config.ConfigSource({"shpo": {}}, env_prefix="ZZ"))
        @dataclasses.dataclass
        class Shop(config.Config, section="shop"):
            name: str = ""
        async def ask():
            await di.nject(Shop)
        fork.stage(config, ask, serve, forks=2, sockets=[URI])
        """
    ).ready()

    assert program.end() == 0
    assert program.log.count("shpo: is loaded into no class, did you mean 'shop'?") == 1


def test_exactly_one_leads_also_during_a_reload(start, tools):
    """`is_leader` is true in worker 0 alone, and never in two at once while workers are replaced."""
    program = start(
        """
        async def lead(teardown: plugin.Teardown):
            if fork.is_leader():
                handle = os.open("leads", os.O_CREAT | os.O_EXCL)  # fails when another leads
                teardown.add(lambda: os.unlink("leads"))
        fork.stage(lead, serve, forks=3, sockets=[URI])
        """
    ).ready(3)
    program.send(signal.SIGHUP)
    program.logged("The workers are replaced")
    told = [program.ask() for _ in range(30)]

    assert {each["leader"] for each in told if each["slot"] == 0} <= {True}
    assert {each["leader"] for each in told if each["slot"]} <= {False}
    assert program.end() == 0
    assert not (program.err.parent / "leads").exists()


@pytest.mark.parametrize(
    "fault",
    [
        "raise RuntimeError('no')",
        "sys.exit(4)",
        "os._exit(9)",
        "import nowhere_to_be_found",
        "os.kill(os.getpid(), 11)",
    ],
)
def test_a_program_that_cannot_start_ends_with_3(start, fault):
    """A worker that is never ready ends everything with status 3, at once, without another try."""
    program = start(f"async def broken():\n    {fault}\n" + TWO.replace("serve,", "broken, serve,"))

    assert program.wait() == 3
    assert "giving up" in program.log
    assert program.log.count("started again") == 0
    assert "[" not in program.printed


def test_a_configuration_that_is_wrong_is_told_plainly(start):
    """What is wrong with the configuration is in the log, with the place to mend and without a traceback; status 3."""
    program = start(
        """
        import dataclasses
        @dataclasses.dataclass
        class Shop(config.Config, section="shop"):
            name: str = ""
        async def shop(load: plugin.Loader):
            await load(config)
            await di.nject(Shop)
        context.add(config.ConfigSource({"shop": {"nane": "x"}}))
        fork.stage(shop, serve, forks=2, sockets=[URI])
        """
    )
    assert program.wait() == 3
    assert "could not be started: one problem in the configuration of Shop\n" in program.log
    assert "  - shop.nane: unknown key, did you mean 'name'? (from dict #1)\n" in program.log
    assert "Traceback" not in program.log


def test_a_module_that_is_not_there_ends_with_3(start):
    """A plugin that cannot be found is a failed start: status 3, and the reason in the log."""
    program = start(TWO.replace("serve,", "'no.such.plugin',"))

    assert program.wait() == 3
    assert "there is no module 'no'" in program.log


def test_a_crash_loop_backs_off_and_gives_up(start):
    """Pauses double while a worker keeps dying; with a limit the program ends with the worker's status."""
    program = start(
        """
        async def die():
            async def run():
                if fork.Fork and context.get(fork.Fork).slot == 1:
                    await asyncio.sleep(0.05)
                    os._exit(5)
            yield run()
        rules = fork.Supervision(max_failures=4, healthy_after=600)
        fork.stage(die, serve, forks=2, sockets=[URI], supervision=rules)
        """
    ).ready()

    assert program.wait() == 5
    pauses = [float(line.split()[-2]) for line in program.log.splitlines() if "started again" in line]
    assert len(pauses) == 3
    assert pauses == pytest.approx([0.2, 0.4, 0.8], rel=0.22)
    assert "failed 4 times (status 5): giving up" in program.log


def test_failures_are_forgotten_by_a_healthy_worker(start):
    """A worker that ran long enough starts again after the first, short pause."""
    program = start(
        """
        rules = fork.Supervision(backoff=0.05, healthy_after=0.3, max_failures=2)
        fork.stage(serve, forks=2, sockets=[URI], supervision=rules)
        """
    ).ready()
    for count in (3, 4, 5):
        time.sleep(0.4)
        os.kill(program.by_slot()[1], signal.SIGKILL)
        program.ready(count)
    assert program.end() == 0


def test_no_worker_outlives_its_parent(start, tools):
    """Facts 3b: when the parent is killed, its workers end in order by themselves, and the port is free."""
    # what they have for it is less than a second, which on a busy machine is nothing
    program = start("from buvar.fork import _seat\n_seat.ORPHAN_GRACE = 60\n" + TWO).ready()
    workers = program.workers
    program.process.kill()
    tools.until(lambda: not any(map(tools.alive, workers)))

    assert program.printed.count("torn down") == 2
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", program.address))


def test_a_busy_or_stopped_worker_does_not_outlive_its_parent_either(start, tools):
    """Also a worker that hangs or is stopped ends when the parent is killed: the system sees to it."""
    program = start(
        """
        async def hang():
            async def run():
                await asyncio.sleep(0.2)
                open("hangs", "w").close()
                while True:
                    pass
            if not fork.is_leader():
                yield run()
        fork.stage(hang, serve, forks=2, sockets=[URI], cancel_timeout=2)
        """
    ).ready()
    workers = program.workers
    os.kill(program.by_slot()[0], signal.SIGSTOP)
    tools.until((program.err.parent / "hangs").exists)
    program.process.kill()
    tools.until(lambda: not any(map(tools.alive, workers)))


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.01, 0.05])
def test_a_signal_during_the_start_is_a_clean_end(start, delay):
    """SIGTERM right after the first fork, before a worker has its handlers, ends with 0 and leaves nobody behind."""
    program = start(
        f"""
        import buvar.fork._supervise as supervise
        first = supervise.spawn
        def spawn(*args):
            worker = first(*args)
            if worker.slot == 0:
                time.sleep({delay})
                os.kill(os.getpid(), signal.SIGTERM)
            return worker
        supervise.spawn = spawn
        fork.stage(serve, forks=2, sockets=[URI], cancel_timeout=60)
        """
    )

    assert program.wait() == 0
    assert program.workers == []


def test_a_stubborn_worker_is_killed(start):
    """TERM: what has not ended within the grace is killed, and the program leaves with 128 + 9."""
    program = start(
        """
        class Deaf(plugin.Signals):
            def handle_term(self): pass
        rules = fork.Supervision(grace=0.3)
        try:
            fork.stage(serve, forks=2, sockets=[URI], signals=Deaf, supervision=rules)
        except SystemExit as error:
            print(error.code, error.statuses)
            raise
        """
    ).ready()
    asked = time.monotonic()

    assert program.end() == 137
    assert time.monotonic() - asked >= 0.3
    assert statuses(program) == "137 [137, 137]"
    assert program.log.count("did not end in time") == 2


def test_a_second_signal_ends_at_once(start):
    """The second INT or TERM does not wait for the grace."""
    program = start(
        """
        class Deaf(plugin.Signals):
            def handle_term(self): pass
            def handle_int(self): pass
        fork.stage(serve, forks=2, sockets=[URI], signals=Deaf, cancel_timeout=600)
        """
    ).ready()
    program.send(signal.SIGTERM)
    program.logged("The workers end")

    assert program.end(signal.SIGINT) == 137


def test_a_third_signal_does_not_wait_at_all(start, tools):
    """The third one kills."""
    program = start(
        """
        import buvar.fork._supervise as supervise
        supervise._HURRY = 600
        class Deaf(plugin.Signals):
            def handle_term(self): os.write(1, b"heard\\n")
        fork.stage(serve, forks=2, sockets=[URI], signals=Deaf, cancel_timeout=600)
        """
    ).ready()
    for count in (2, 4):
        program.send(signal.SIGTERM)
        tools.until(lambda count=count: program.printed.count("heard") == count)
    assert program.end() == 137


def test_the_status_of_a_worker_is_passed_on(start):
    """A worker that leaves with status 5 when it is asked to end makes the program leave with 5."""
    program = start(
        """
        async def five(cancel: plugin.Cancel):
            async def run():
                await cancel.wait()
                if not fork.is_leader():
                    sys.exit(5)
            yield run()
        fork.stage(five, serve, forks=2, sockets=[URI])
        """
    ).ready()

    assert program.end() == 5


def test_a_failed_task_is_a_failed_worker(start):
    """Facts 3a-3: a task that raised makes the status 1, although the stage itself went on."""
    program = start(
        """
        async def fail():
            async def run():
                raise RuntimeError("lost?")
            if not fork.is_leader():
                yield run()
        fork.stage(fail, serve, forks=2, sockets=[URI])
        """
    ).ready()

    assert program.end() == 1
    assert "lost?" in program.log


def test_fail_fast_starts_the_worker_again(start):
    """With fail_fast, a task that fails ends its worker, and a new one takes its place."""
    program = start(
        """
        async def fail():
            async def run():
                await asyncio.sleep(0.1)
                if not os.path.exists("failed"):
                    open("failed", "w").close()
                    raise RuntimeError("once")
            if not fork.is_leader():
                yield run()
        fork.stage(fail, serve, forks=2, sockets=[URI], fail_fast=True)
        """
    ).ready(3)

    assert program.log.count("ended with status 1; started again") == 1
    assert program.end() == 0


def test_a_failed_teardown_is_a_failed_worker(start):
    """An error in the teardown makes the status 1."""
    program = start(
        """
        async def fail(teardown: plugin.Teardown):
            def no(): raise RuntimeError("no")
            teardown.add(no)
        fork.stage(fail, serve, forks=2, sockets=[URI])
        """
    ).ready()

    assert program.end() == 1


def test_workers_that_have_finished_are_not_started_again(start):
    """B-15b: the parent waits for all; tasks that end by themselves end the program, status 0."""
    program = start(
        """
        async def work():
            async def run():
                await asyncio.sleep(0.2 * (1 + context.get(fork.Fork).slot))
                print("done", flush=True)
            yield run()
        print(fork.stage(work, forks=2))
        """
    )

    assert program.wait() == 0
    assert program.printed.splitlines() == ["done", "done", "[0, 0]"]


def test_a_worker_that_was_ended_from_outside_comes_back(start):
    """A TERM sent to one worker ends it in order, and another takes its place."""
    program = start(TWO).ready()
    os.kill(program.by_slot()[1], signal.SIGTERM)
    program.ready(3)

    assert "Worker 1 ended with status 0; started again" in program.log
    assert program.end() == 0


def test_signals_are_forwarded(start, tools):
    """FRK-02: a signal that the workers handle reaches all of them, and HUP too is theirs then."""
    program = start(
        """
        class Mine(plugin.Signals):
            def handle_usr1(self): print("usr1", flush=True)
            def handle_usr2(self): print("usr2", flush=True)
            def handle_winch(self): print("winch", flush=True)
            def handle_quit(self): print("quit", flush=True)
            def handle_abort(self): print("abort", flush=True)
            def handle_hup(self): print("hup", flush=True)
            def handle_int(self):
                print("int", flush=True)
                super().handle_int()
        fork.stage(serve, forks=2, sockets=[URI], signals=Mine)
        """
    ).ready()
    workers = set(program.workers)
    for name in ("usr1", "usr2", "winch", "quit", "abrt", "hup"):
        program.send(getattr(signal, f"SIG{name.upper()}"))
        name = name.replace("abrt", "abort")
        tools.until(lambda name=name: program.printed.count(name) == 2)
    assert set(program.workers) == workers
    assert program.end(signal.SIGINT) == 0
    assert program.printed.count("int") == 2


def test_a_signal_that_nobody_handles_ends_all(start):
    """WINCH is ignored; USR1 would have ended a single process, so it ends all, with 128 + its number."""
    program = start(TWO).ready()
    program.send(signal.SIGWINCH)
    assert program.ask()

    assert program.end(signal.SIGUSR1) == 128 + signal.SIGUSR1
    assert program.log.count("started again") == 0


def test_a_hanging_worker_is_killed(start):
    """A worker whose loop stands still shows where, is killed and started again; others are not harmed."""
    program = start(
        """
        rules = fork.Supervision(hang_timeout=2)
        fork.stage(serve, forks=2, sockets=[URI], supervision=rules)
        """
    ).ready()
    with pytest.raises((ConnectionError, ValueError)):
        program.ask("/hang")
    program.ready(3)

    assert "hangs: no sign of life for 2 s" in program.log
    assert "in handle" in program.log  # the stack of the one that hung
    assert program.end() == 0


def test_a_worker_that_was_stopped_for_a_moment_is_spared(start):
    """A worker that shows signs of life again in time is not killed."""
    program = start(
        """
        from buvar.fork import _watch
        _watch._DOOM = 10
        rules = fork.Supervision(hang_timeout=0.5)
        fork.stage(serve, forks=2, sockets=[URI], supervision=rules)
        """
    ).ready()
    worker = program.by_slot()[1]
    os.kill(worker, signal.SIGSTOP)
    program.logged("Worker 1 hangs")
    os.kill(worker, signal.SIGCONT)
    time.sleep(11)

    assert program.by_slot()[1] == worker
    assert program.end() == 0


def test_a_worker_that_never_gets_ready_is_killed(start):
    """A start that takes longer than the limit is a failed start: status 3."""
    program = start(
        """
        async def wait():
            await asyncio.sleep(60)
        rules = fork.Supervision(boot_timeout=0.5)
        fork.stage(wait, forks=2, supervision=rules)
        """
    )

    assert program.wait() == 3
    assert "was not ready after 0.5 s" in program.log


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_program_that_ends_leaves_its_address(start, tools, tmp_path, kind):
    """FRK-02: after TERM clients are refused and the next program takes the address, while requests are finished."""
    address = None if kind == "tcp" else str(tmp_path / "served.sock")
    ending = """
        async def run(cancel):
            sock = next(iter(context.find(fork.Socket).values()))
            server = await asyncio.start_server(take, sock=sock)
            await cancel.wait()
            await fork.stop_accepting(server.sockets)
            server.close()
            open(f"ending{context.get(fork.Fork).slot}", "w").close()
            while not os.path.exists("enough"):
                await asyncio.sleep(0.01)
        async def ending(cancel: plugin.Cancel):
            yield run(cancel)
        fork.stage(ending, forks=2, sockets=[URI], cancel_timeout=600)
        """
    former = start(ending, address).ready()
    folder = former.err.parent
    former.send(signal.SIGTERM)
    tools.until(lambda: all((folder / f"ending{slot}").exists() for slot in (0, 1)))
    with pytest.raises(OSError):
        former.connect()
    assert len(former.workers) == 2

    successor = start(TWO, address).ready()
    assert successor.ask()["pid"] in successor.workers
    (folder / "enough").touch()
    assert former.wait() == 0
    assert successor.ask()["pid"] in successor.workers
    assert successor.end() == 0


def test_old_workers_are_replaced(start):
    """max_lifetime replaces workers by fresh ones, again and again, and one that asks for it at once."""
    program = start(
        """
        rules = fork.Supervision(max_lifetime=0.6)
        fork.stage(serve, forks=2, sockets=[URI], supervision=rules)
        """
    ).ready(6)
    program.logged("was replaced, ended with status 0")

    assert program.ask()
    assert program.end() == 0


def test_the_end_does_not_hurry_who_is_being_replaced(start, tools):
    """FRK-02: TERM while a replaced worker still answers lets that request end; a second one would cut it off."""
    program = start(
        """
        async def run(cancel):
            sock = next(iter(context.find(fork.Socket).values()))
            server = await asyncio.start_server(take, sock=sock)
            await cancel.wait()
            await fork.stop_accepting(server.sockets)
            server.close()
            if fork.is_leader():
                return
            open("ending", "w").close()
            try:
                while not os.path.exists("enough"):
                    await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                open("hurried", "w").close()
                raise
        async def lasting(cancel: plugin.Cancel):
            yield run(cancel)
        fork.stage(lasting, forks=2, sockets=[URI], cancel_timeout=60)
        """
    ).ready()
    folder = program.err.parent
    program.send(signal.SIGHUP)
    tools.until((folder / "ending").exists)
    program.send(signal.SIGTERM)
    program.logged("The workers end, on SIGTERM")
    time.sleep(0.3)  # a second signal would have come by now
    (folder / "enough").touch()

    assert program.wait() == 0
    assert not (folder / "hurried").exists()


def test_times_may_be_long(start):
    """FRK-04: a lifetime of weeks, with nothing else to wait for, is no more than the system can wait for."""
    program = start(
        """
        rules = fork.Supervision(max_lifetime=40 * 86400, hang_timeout=None, grace=float("inf"))
        fork.stage(serve, forks=2, sockets=[URI], supervision=rules)
        """
    ).ready()
    program.send(signal.SIGURG)  # wakes it, and means nothing

    assert program.ask()
    assert program.end() == 0


REFUSED = """
def refuse(fork=os.fork):
    if os.path.exists("full"):
        os.unlink("full")
        raise BlockingIOError(11, "Resource temporarily unavailable")
    return fork()
os.fork = refuse
"""


def test_a_system_that_is_full_for_a_moment(start, tools):
    """FRK-04: that no process can be made ends neither the program nor the other workers; it is tried again."""
    program = start(REFUSED + TWO).ready()
    kept = program.by_slot()[0]
    (program.err.parent / "full").touch()
    os.kill(program.by_slot()[1], signal.SIGKILL)
    program.logged("Worker 1 cannot be forked: Resource temporarily unavailable")
    program.ready(3)

    assert program.by_slot()[0] == kept
    assert program.end() == 0


def test_a_system_that_is_full_at_the_start(start):
    """FRK-04: a program that cannot even start its workers ends with the status for that, and leaves none behind."""
    program = start(REFUSED + "open('full', 'w').close()\n" + TWO)

    assert program.wait() == 3
    assert "Worker 0 cannot be forked" in program.log


def test_a_system_that_is_full_while_workers_are_replaced(start):
    """FRK-02: a reload that can make no new worker keeps those that run."""
    program = start(REFUSED + TWO).ready()
    before = program.by_slot()
    (program.err.parent / "full").touch()
    program.send(signal.SIGHUP)
    program.logged("The workers are not replaced")

    assert program.by_slot() == before
    assert program.ask()
    assert program.end() == 0


def test_a_worker_may_ask_for_its_replacement(start):
    """`Fork.retire` brings a fresh worker, for example after so many requests."""
    program = start(TWO).ready()
    pid = program.ask("/retire")["pid"]
    program.ready(3)

    assert pid not in program.by_slot().values()
    assert program.end() == 0


def test_fat_workers_are_replaced(start):
    """max_memory replaces a worker that has grown beyond it."""
    program = start(
        """
        kept = []
        async def eat():
            async def run():
                if not fork.is_leader() and not os.path.exists("eaten"):
                    open("eaten", "w").close()
                    kept.append(b"x" * 300_000_000)
            yield run()
        rules = fork.Supervision(max_memory=250_000_000)
        fork.stage(eat, serve, forks=2, sockets=[URI], supervision=rules)
        """
    ).ready(3)

    assert "Worker 1, which was replaced" in program.log or program.ask()
    assert program.end() == 0


def test_a_subprocess_of_the_program_is_left_alone(start):
    """Facts 3a-10: another child of the parent ends without anything happening, and its status stays its own."""
    program = start(
        """
        import subprocess
        other = subprocess.Popen(["sh", "-c", "sleep 0.2; exit 6"])
        fork.stage(serve, forks=2, sockets=[URI])
        print(other.wait())
        """
    ).ready()
    time.sleep(0.4)

    assert len(program.workers) == 2
    assert program.end() == 0
    assert program.printed.splitlines()[-1] == "6"


def test_a_restart_needs_no_pause(start, port):
    """B-15c: the port can be bound again at once although connections are left in TIME_WAIT."""
    for _ in range(2):
        program = start(TWO).ready()
        assert program.ask()
        assert program.end() == 0


def test_a_unix_socket_is_shared_and_removed(start, tmp_path):
    """B-15c: workers serve a unix socket, replacing a stale file; the parent removes it at the end."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    program = start(TWO, address=str(path)).ready()
    os.kill(program.by_slot()[1], signal.SIGTERM)
    program.ready(3)

    assert program.ask()["number"] == 2  # a worker that ends does not take the file with it
    assert program.end() == 0
    assert not path.exists()


def test_the_service_manager_is_told(start, tmp_path, tools):
    """sd_notify: READY, signs of life, RELOADING and STOPPING, from the parent and not from the workers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        program = start(TWO, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000")
        said: list[str] = []

        def hear(text: str) -> None:
            while text not in "\n".join(said):
                said.append(manager.recv(4096).decode())

        hear("READY=1\nSTATUS=2 workers")
        assert program.ask()["notify"] is None
        said.clear()
        hear("WATCHDOG=1\nWATCHDOG=1")
        program.send(signal.SIGHUP)
        hear("RELOADING=1\nMONOTONIC_USEC=")
        hear("READY=1")
        program.send(signal.SIGTERM)
        hear("STOPPING=1")
    assert program.wait() == 0


def test_sockets_of_the_service_manager_are_used(start):
    """LISTEN_FDS: a passed socket serves in place of a new one, under its address, its number and its name."""
    program = start(
        """
        if "LISTEN_FDS" not in os.environ:  # be the service manager, then become the service
            import socket
            passed = socket.create_server(("127.0.0.1", int(URI.rpartition(":")[2])))
            os.dup2(passed.fileno(), 3)
            os.set_inheritable(3, True)
            os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="web")
            os.execv(sys.executable, [sys.executable, *sys.argv])
        async def show():
            if fork.is_leader():
                print(sorted(context.find(fork.Socket)), "LISTEN_FDS" in os.environ, flush=True)
        fork.stage(show, serve, forks=2, sockets=[URI, "fd://web", "fd://3"])
        """
    ).ready()

    assert program.ask()["number"] == 2
    assert program.end() == 0
    uri = f"tcp://127.0.0.1:{program.address}"
    assert program.printed.splitlines()[0] == f"{['fd://3', 'fd://web', uri, 'web']} False"


def test_a_terminal_interrupts_each_worker_once(start):
    """Facts 3a-16: Ctrl-C reaches each worker through the parent alone, so that it counts as one request to end."""
    program = start(
        """
        import pty
        open("inner", "w").close()
        class Count(plugin.Signals):
            def handle_int(self):
                os.write(2, b"interrupted\\n")
                asyncio.get_running_loop().call_later(0.2, self._stop)
        pid, master = pty.fork()
        if pid == 0:
            inner = os.open("inner", os.O_WRONLY | os.O_APPEND)
            os.dup2(inner, 1), os.dup2(inner, 2)
            fork.stage(serve, forks=2, sockets=[URI], signals=Count)
            os._exit(33)
        while open("inner").read().count("is ready") < 2:
            time.sleep(0.05)
        os.write(master, b"\\x03")
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), open("inner").read().count("interrupted"))
        """
    )

    assert program.wait() == 0
    assert program.printed.splitlines()[-1] == "33 2"


def test_a_terminal_that_goes_away_ends_the_program(start):
    """HUP from a terminal that was closed ends the program in place of replacing workers."""
    program = start(
        """
        import pty
        open("inner", "w").close()
        pid, master = pty.fork()
        if pid == 0:
            inner = os.open("inner", os.O_WRONLY | os.O_APPEND)
            os.dup2(inner, 1), os.dup2(inner, 2)
            fork.stage(serve, forks=2, sockets=[URI])
            os._exit(33)
        while open("inner").read().count("is ready") < 2:
            time.sleep(0.05)
        os.close(master)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """
    )

    assert program.wait() == 0
    assert program.printed.splitlines()[-1] == "33"


def test_a_worker_whose_reports_reach_nobody_ends(start, tools):
    """Where the system does not tell workers that their parent is gone, the next sign of life does."""
    program = start(
        """
        from buvar.fork import _workers
        _workers.ORPHANED = None
        fork.stage(serve, forks=2, sockets=[URI])
        """
    ).ready()
    workers = program.workers
    program.process.kill()
    tools.until(lambda: not any(map(tools.alive, workers)))


def test_a_parent_that_dies_during_the_fork_leaves_nobody(start, tools):
    """A worker that finds another parent than the one that forked it ends at once."""
    program = start(
        """
        first = os.getppid
        if os.fork():
            os._exit(0)
        os.getppid = lambda: -1
        print(fork.stage(serve, forks=2, sockets=[URI], supervision=fork.Supervision(max_failures=1)))
        """
    )
    program.logged("giving up")


def test_a_candidate_takes_the_place_of_one_that_dies(start, tools):
    """A worker that dies while its successor comes up is not started again besides."""
    program = start(
        """
        async def slow():
            while os.path.exists("reloading"):
                await asyncio.sleep(0.02)
        fork.stage(slow, serve, forks=2, sockets=[URI])
        """
    ).ready()
    (program.err.parent / "reloading").touch()
    program.send(signal.SIGHUP)
    tools.until(lambda: len(program.workers) == 3)
    old = program.by_slot()[1]
    os.kill(old, signal.SIGKILL)
    tools.until(lambda: old not in program.workers)
    (program.err.parent / "reloading").unlink()
    program.logged("The workers are replaced")

    assert "started again" not in program.log
    assert len(program.workers) == 2
    assert program.end() == 0


def test_a_candidate_takes_the_place_of_one_that_finishes(start, tools):
    """A worker that finishes while its successor comes up leaves it the place, which is replaced like any other."""
    program = start(
        """
        async def prepare():
            while os.path.exists("wait"):
                await asyncio.sleep(0.02)
            yield work()
        async def work():
            while not os.path.exists(str(os.getpid())):
                await asyncio.sleep(0.02)
        logging.getLogger("buvar.fork").setLevel("DEBUG")
        fork.stage(prepare, forks=2)
        """
    ).ready()
    folder, first = program.err.parent, program.by_slot()[1]
    (folder / "wait").touch()
    program.send(signal.SIGHUP)
    tools.until(lambda: len(program.workers) == 3)
    (folder / str(first)).touch()
    program.logged("Worker 1 has finished")
    (folder / "wait").unlink()
    program.logged("The workers are replaced")
    second = program.by_slot()[1]
    program.send(signal.SIGHUP)
    program.logged("The workers are replaced", 2)

    assert len({first, second, program.by_slot()[1]}) == 3
    assert program.end() == 0


def test_a_worker_that_waits_for_its_restart_is_started_by_a_reload(start, tools):
    """HUP starts a worker at once that failed, and whose pause is not over."""
    program = start(
        """
        rules = fork.Supervision(backoff=600, backoff_limit=600)
        fork.stage(serve, forks=2, sockets=[URI], supervision=rules)
        """
    ).ready()
    os.kill(program.by_slot()[1], signal.SIGKILL)
    program.logged("started again in")
    program.send(signal.SIGHUP)
    program.logged("The workers are replaced")

    assert len(program.workers) == 2
    assert program.end() == 0


def test_a_worker_asks_for_its_replacement_once_more(start, tools):
    """A worker whose successor comes up already may ask for it again; there is one successor."""
    program = start(
        """
        def there(name):
            return os.path.exists(f"{name}-{os.getpid()}")
        async def prepare():
            while os.path.exists("wait"):
                await asyncio.sleep(0.02)
            yield work()
        async def work():
            for name in ("first", "second"):
                while not there(name):
                    await asyncio.sleep(0.02)
                context.get(fork.Fork).retire()
            open(f"asked-{os.getpid()}", "w").close()
            await asyncio.Future()
        fork.stage(prepare, forks=2)
        """
    ).ready()
    folder, pid = program.err.parent, program.by_slot()[1]
    (folder / "wait").touch()
    (folder / f"first-{pid}").touch()
    tools.until(lambda: len(program.workers) == 3)
    (folder / f"second-{pid}").touch()
    tools.until((folder / f"asked-{pid}").exists)
    (folder / "wait").unlink()
    program.ready(3)
    tools.until(lambda: pid not in program.workers)

    assert len(program.workers) == 2
    assert program.end() == 0
    assert program.log.count("is ready") == 3


def test_the_last_report_of_a_worker_counts(start, tools):
    """A worker that has finished and ended before the parent came to listen has finished."""
    program = start(
        """
        async def work():
            while not os.path.exists("finish"):
                await asyncio.sleep(0.02)
        async def prepare():
            yield work()
        print(fork.stage(prepare, forks=2))
        """
    ).ready()
    program.send(signal.SIGSTOP)
    (program.err.parent / "finish").touch()
    tools.until(lambda: program.workers == [])
    program.send(signal.SIGCONT)

    assert program.wait() == 0
    assert statuses(program) == "[0, 0]"
    assert "started again" not in program.log


def test_a_leader_that_does_not_come_back(start, tools):
    """When the leader's successor alone cannot start, the reload is given up, and the leader is tried again."""
    program = start(
        """
        import pathlib
        file = pathlib.Path("settings.toml")
        file.write_text("lead = true")
        context.add(config.ConfigSource.files(file))
        async def lead(source: config.ConfigSource):
            if fork.is_leader() and not source["lead"]:
                raise RuntimeError("no leader")
        fork.stage(lead, serve, forks=2, sockets=[URI])
        """
    ).ready()
    (program.err.parent / "settings.toml").write_text("lead = false")
    program.send(signal.SIGHUP)
    program.logged("The workers are not replaced")
    program.ready(4)  # 2 at first, the new worker 1, and a leader with the settings from before

    assert program.end() == 0


def test_a_reload_during_the_shutdown_is_ignored(start):
    """HUP changes nothing once the end has begun."""
    program = start(
        """
        class Slow(plugin.Signals):
            def handle_term(self): asyncio.get_running_loop().call_later(0.5, self._stop)
        fork.stage(serve, forks=2, sockets=[URI], signals=Slow)
        """
    ).ready()
    program.send(signal.SIGTERM)
    program.logged("The workers end")
    program.send(signal.SIGHUP)

    assert program.wait() == 0
    assert "replaced" not in program.log


def test_finished_workers_are_not_replaced(start, tmp_path, tools):
    """HUP brings nobody back who has finished, and goes on with those who have not."""
    program = start(
        f"""
        import pathlib
        again = pathlib.Path({str(tmp_path / "again")!r})

        async def work():
            async def run():
                if not fork.is_leader() or again.exists():
                    return
                again.touch()
                await asyncio.sleep(600)
            yield run()
        logging.getLogger("buvar.fork").setLevel("DEBUG")
        print(fork.stage(work, forks=2))
        """
    ).ready()
    program.logged("Worker 1 has finished")
    tools.until((tmp_path / "again").exists)  # ready, the leader may not have begun
    program.send(signal.SIGHUP)
    program.logged("The workers are replaced")

    assert program.wait() == 0
    assert program.log.count("is ready") == 3


def test_an_error_that_breaks_the_loop_is_a_failed_worker(start):
    """What somebody's signal handler raises in the loop ends the worker with status 1, and it is started again."""
    program = start(
        """
        import selectors
        class Selector(selectors.DefaultSelector):
            armed = False
            def select(self, timeout=None):
                if self.armed:
                    # once; here, and in no task
                    self.armed = False
                    os.kill(os.getpid(), signal.SIGALRM)
                return super().select(timeout)
        class Loop(asyncio.SelectorEventLoop):
            def __init__(self):
                super().__init__(Selector())
        async def odd():
            async def run():
                if not fork.is_leader() and not os.path.exists("done"):
                    open("done", "w").close()
                    signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
                    asyncio.get_running_loop()._selector.armed = True
            yield run()
        fork.stage(odd, serve, forks=2, sockets=[URI], loop=Loop())
        """
    ).ready(3)

    assert "ended with status 1; started again" in program.log
    assert program.end() == 0


def test_a_lifetime_that_cannot_be_replaced_is_prolonged(start):
    """When the successor of an old worker cannot start, the old one is kept, and tried again much later."""
    program = start(
        """
        async def broken():
            if os.path.exists("broken"):
                raise RuntimeError("no luck")
            open("leads" if fork.is_leader() else "broken", "w").close()
        rules = fork.Supervision(max_lifetime=0.6)
        async def first():  # the leader is there before anything is broken
            while not fork.is_leader() and not os.path.exists("leads"):
                await asyncio.sleep(0.02)
        fork.stage(first, broken, serve, forks=2, sockets=[URI], supervision=rules)
        """
    ).ready()
    program.logged("The workers are not replaced")

    assert program.log.count("could not be started (status") >= 1
    assert program.ask()
    assert program.end() in {0, 1, 3}
