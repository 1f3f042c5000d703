"""The smaller parts of a worker, on both sides of the fork."""

import os
import signal
import subprocess
import sys
import time

import pytest

from buvar.fork import Supervision, _watch, _workers
from buvar.fork._seat import Pipe, Report
from buvar.fork._watch import check, moments
from buvar.fork._workers import Worker, exit_status


@pytest.fixture
def process():
    """A process that sleeps."""
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield started
    started.kill()
    started.wait()


@pytest.fixture
def worker(process):
    """It, as its parent sees it; born now."""
    return Worker(0, process.pid, -1, time.monotonic(), None)


def test_reports_go_through_a_pipe():
    """What a worker reports is read in order; its end is noticed, and nothing is read twice."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    worker = Worker(0, 0, read, 0.0, None)
    tell = Pipe(write)

    assert worker.read() == []
    assert tell(Report.READY)
    assert tell(Report.BEAT)
    assert worker.read() == [Report.READY, Report.BEAT]
    os.close(write)
    assert worker.read() == []
    assert worker.reports == -1
    assert worker.read() == []
    worker.close()


def test_a_full_pipe_is_no_missing_parent():
    """A parent that is stopped reads nothing, and is there; one that is gone is not."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    tell = Pipe(write)
    for _ in range(70_000):
        assert tell(Report.BEAT)
    os.close(read)
    assert not tell(Report.BEAT)
    os.close(write)


def test_the_end_of_a_process(process, worker):
    """The status is 128 + n for signal n; before the end there is none."""
    assert worker.reap() is None
    worker.kill()
    assert worker.killed
    while (status := worker.reap()) is None:
        time.sleep(0.01)
    assert status == 137
    assert worker.reap() == 1  # somebody was faster
    worker.send(signal.SIGTERM)  # to nobody


def test_memory(worker):
    """The resident set of a process is known; of none it is 0."""
    while worker.memory() < 1_000_000:  # until it has become a Python
        time.sleep(0.01)
    assert Worker(0, 2**22 + 1, -1, 0.0, None).memory() == 0


@pytest.mark.parametrize(("code", "status"), [(None, 0), (0, 0), (7, 7), (256, 0), (True, 1)])
def test_exit_status(code, status):
    """`sys.exit` takes None and numbers."""
    assert exit_status(code) == status


def test_exit_status_of_text(capsys):
    """A text is printed, and is a failure."""
    assert exit_status("went wrong") == 1
    assert capsys.readouterr().err == "went wrong\n"


RULES = Supervision(boot_timeout=10, hang_timeout=5)


def test_a_worker_that_comes_up_is_waited_for(worker):
    """Before it is ready, the limit for coming up counts, and that of signs of life once there was one."""
    assert list(moments(worker, RULES)) == [worker.born + 10]
    check(worker, RULES, worker.born + 9)
    assert not worker.killed
    worker.beat = worker.born
    assert list(moments(worker, RULES)) == [worker.born + 5, worker.born + 10]
    check(worker, RULES, worker.born + 10)
    assert worker.killed
    assert list(moments(worker, RULES)) == []
    check(worker, RULES, worker.born + 20)  # once is enough


@pytest.mark.parametrize("shows", [True, False])
def test_a_worker_that_hangs_is_killed_in_two_steps(worker, process, shows, monkeypatch):
    """It is made to show where it hangs first, on systems where that can be done, and killed a second later."""
    sent = []
    monkeypatch.setattr(type(worker), "send", lambda self, number: sent.append(number))
    if not shows:
        monkeypatch.setattr(_watch, "SHOW_STACKS", None)
    worker.ready, worker.beat = True, worker.born
    check(worker, RULES, worker.born + 4)
    assert worker.doomed_at is None
    check(worker, RULES, worker.born + 5)
    assert worker.doomed_at == worker.born + 6
    assert list(moments(worker, RULES)) == [worker.born + 6]
    check(worker, RULES, worker.born + 5.5)
    assert not worker.killed
    check(worker, RULES, worker.born + 6)
    assert worker.killed
    assert sent == [_workers.SHOW_STACKS, signal.SIGKILL][not shows :]


def test_a_worker_may_hang_where_nobody_minds(worker):
    """Without a limit nothing is due."""
    worker.ready, worker.beat = True, worker.born
    assert list(moments(worker, Supervision(hang_timeout=None))) == []


def test_asking_twice_shortens_the_grace(worker):
    """The earliest end counts."""
    before = time.monotonic()
    worker.ask(signal.SIGCONT, 1000)
    worker.ask(signal.SIGCONT, 1)
    worker.ask(signal.SIGCONT, 1000)
    assert before + 1 <= worker.kill_at <= time.monotonic() + 1
    assert list(moments(worker, RULES)) == [worker.kill_at]
    check(worker, RULES, worker.kill_at - 0.1)
    assert not worker.killed
    check(worker, RULES, worker.kill_at)
    assert worker.killed
