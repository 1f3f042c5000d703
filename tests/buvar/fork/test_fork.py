"""A process's place among the workers, and where forking is refused."""

import os
import threading

import pytest

from buvar import fork, plugin


def test_alone_is_the_leader():
    """Decision 10, FRK-04: where nothing was forked, this process leads and is no child."""
    here = fork.Fork(1)

    assert fork.is_leader()
    assert here.is_leader
    assert (here.number, here.children, here.is_child, here.slot) == (1, [], False, None)
    assert (here.pid, here.ppid) == (os.getpid(), os.getppid())
    here.retire()  # nobody is there to be asked


def test_the_number_of_workers():
    """FRK-01: 0 stands for the processors that may be used; less makes no sense."""
    assert fork.Fork().number == fork.usable_cpus()
    with pytest.raises(ValueError, match="-1 workers"):
        fork.Fork(-1)


def test_one_worker_just_calls():
    """FRK-04: with one worker `run` calls the function and gives its result."""
    assert fork.Fork(1).run(divmod, 7, 2) == (3, 1)
    assert fork.Fork(1).run(dict, a=1) == {"a": 1}


async def test_refused_inside_a_loop():
    """Facts 5: nothing is forked, and no stage is run, while a loop runs in this thread."""
    with pytest.raises(plugin.LoopRunningError) as caught:
        fork.stage(forks=2)
    assert caught.value.method == "fork.stage"
    with pytest.raises(plugin.LoopRunningError, match="fork.stage"):
        fork.stage(forks=1)
    with pytest.raises(plugin.LoopRunningError, match="Fork.run"):
        fork.Fork(2).run(print)


def test_refused_with_other_threads():
    """Facts 3c: another thread is named in the refusal; the one that writes the log is no obstacle."""
    done = threading.Event()
    threads = [threading.Thread(target=done.wait, name=name) for name in ("exporter", "buvar.log")]
    for thread in threads:
        thread.start()
    try:
        with pytest.raises(fork.ForkError) as caught:
            fork.stage(forks=2)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert isinstance(caught.value, fork.ThreadsRunningError)
    assert caught.value.threads == ("exporter",)
    assert str(caught.value) == (
        "cannot fork workers while other threads run: exporter\n"
        "  fix:   start threads, clients and exporters inside a plugin, or use forks=1"
    )


def test_refused_outside_of_the_main_thread():
    """Signals reach the main thread only."""
    errors = []

    def run():
        try:
            fork.stage(forks=2)
        except fork.ForkError as error:
            errors.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert errors == [
        "workers are forked from the main thread only\n  fix:   call it there, or use forks=1",
    ]


def test_refused_where_the_system_cannot(monkeypatch):
    """A system without fork says so."""
    monkeypatch.delattr(os, "fork")
    with pytest.raises(fork.ForkError, match="this system cannot fork"):
        fork.stage(forks=2)


def test_run_forks_a_function(start):
    """FRK-04: each worker calls the function and leaves with what it returns; the parent gets the statuses."""
    program = start(
        """
        def work(a, *, b):
            here = fork._fork._current
            print(a, b, here.slot, here.is_child, here.children, fork.is_leader(), here.ppid == parent, flush=True)
            return here.slot if a == "fail" else None
        parent = os.getpid()
        print(fork.Fork(2).run(work, "ok", b=2))
        try:
            fork.Fork(2, fork.Supervision(max_failures=1)).run(work, "fail", b=3)
        except fork.WorkersFailed as error:
            print(error.code, error.statuses)
        """
    )

    assert program.wait() == 0
    printed = program.printed.splitlines()
    assert sorted(printed[:2]) == ["ok 2 0 True [] True True", "ok 2 1 True [] False True"]
    assert printed[2] == "[0, 0]"
    assert printed[-1] in {"1 [0, 1]", "1 [143, 1]"}  # the other had ended by then, or was asked to


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("sys.exit('that was it')", 1),
        ("sys.exit()", 1),
        ("raise KeyboardInterrupt", 130),
        ("raise RuntimeError('lost?')", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", 137),
        ("return 'text'", 0),
    ],
)
def test_how_a_function_may_end(start, body, status):
    """A worker's status is what `sys.exit` says, 1 for an error, 128 + n for signal n; leaving early is a failure."""
    program = start(
        f"""
        def work():
            fork._fork._current.slot or time.sleep(0.2)
            if fork._fork._current.slot:
                {body}
        fork.Fork(2, fork.Supervision(max_failures=1)).run(work)
        """
    )

    assert program.wait() == status
    assert ("that was it" in program.log) == ("that was it" in body)
    assert ("lost?" in program.log) == ("lost?" in body)


def test_a_function_without_handlers_ends_on_a_signal(start):
    """A worker that dies of the TERM that it was sent did as it was told."""
    program = start("print(fork.Fork(2).run(time.sleep, 30))").ready()

    assert program.end() == 0
    assert program.printed.strip() == "[143, 143]"


def test_children_are_known_to_the_parent(start):
    """FRK-04: `.children` are the ids of the workers that run."""
    program = start(
        """
        here = fork.Fork(2)
        from buvar.fork import _supervise
        first = _supervise.Supervisor._on_ready
        def on_ready(self, worker, slot):
            first(self, worker, slot)
            print(sorted(here.children), flush=True)
        _supervise.Supervisor._on_ready = on_ready
        here.run(time.sleep, 30)
        """
    ).ready()
    workers = sorted(program.workers)

    assert program.end() == 0
    assert program.printed.splitlines()[-1] == str(workers)


def test_importing_it_is_cheap(run_python):
    """What only supervisors need is not imported with the package."""
    code = (
        "import sys, buvar.fork; print([m for m in ('ctypes', 'structlog', 'aiohttp', 'uvloop') if m in sys.modules])"
    )
    assert run_python(code) == "[]\n"
