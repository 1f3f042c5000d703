"""The queue between a log call and its stream: bounded, counted, flushed, and alive after a fork."""

import io
import os
import subprocess
import sys
import threading
import time

import pytest

from buvar import log
from buvar.log._sink import Sink


class Slow(io.StringIO):
    """A stream that waits until it is opened."""

    def __init__(self):
        super().__init__()
        self.open = threading.Event()

    def write(self, text):
        self.open.wait(100)
        return super().write(text)


class Broken(io.StringIO):
    """A stream that is closed on its other side."""

    def write(self, text):
        raise BrokenPipeError


def test_callers_never_wait():
    """LOG-02: while the stream hangs, calls return at once; what does not fit is dropped, counted and reported."""
    stream = Slow()
    before = log.dropped()
    sink = Sink(stream, size=10)
    sink.write(b"first\n")
    while not sink._queue.empty():
        time.sleep(0.001)
    started = time.monotonic()
    for number in range(30):
        sink.write(b"%d\n" % number)
    assert time.monotonic() - started < 30
    assert sink.dropped == 20 == log.dropped() - before
    assert not sink.flush(0.01)
    stream.open.set()
    assert sink.flush(60)
    lines = stream.getvalue().splitlines()
    assert lines[:11] == ["first", *map(str, range(10))]
    assert lines[-1] == '{"event":"20 log lines were dropped","level":"warning","logger":"buvar.log"}'
    sink.close()


def test_many_lines_in_order():
    """LOG-02: lines come out in order, however many there are."""
    stream = io.StringIO()
    sink = Sink(stream, size=100_000)
    for number in range(5000):
        sink.write(b"%d\n" % number)
    assert sink.flush(60)
    assert stream.getvalue().splitlines() == list(map(str, range(5000)))


def test_a_broken_stream():
    """LOG-02: a stream that cannot be written to breaks nothing."""
    sink = Sink(Broken(), size=10)
    sink.write(b"x\n")
    assert sink.flush(60)
    sink.close()
    sink.write(b"x\n")


@pytest.mark.parametrize("size", [0, 10])
def test_without_a_queue(size):
    """LOG-02: without a queue, and after closing, lines are written at once; binary buffers are used."""
    stream = io.TextIOWrapper(io.BytesIO())
    sink = Sink(stream, size=size)
    if size:
        sink.write(b"queued\n")
        sink.close()
    sink.write(b"direct\n")
    assert stream.buffer.getvalue().endswith(b"direct\n")
    assert sink.flush()


def test_no_thread_can_be_started(monkeypatch):
    """LOG-02: where no thread can be started, lines are written at once."""

    def refuse(self):
        raise RuntimeError("can't start new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    stream = io.StringIO()
    Sink(stream, size=10).write(b"x\n")
    assert stream.getvalue() == "x\n"


def test_two_threads_start_one_writer():
    """LOG-02: however many threads begin to log at once, one writer is started."""
    sink = Sink(io.StringIO(), size=10)
    sink.write(b"x\n")
    thread = sink._thread
    assert sink._start()
    assert sink._thread is thread


FORKS = """
import os, sys, time
import structlog
from buvar import log
log.setup_logging(tty=False)
logger = structlog.get_logger()
logger.info("parent before")
children = []
for number in range(3):
    pid = os.fork()
    if not pid:
        logger.info("child")
        log.flush()
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
logger.info("parent after")
"""


def test_fork(clean_environ):
    """LOG-02: a forked child logs by itself, and no line is written twice; at the end everything is flushed."""
    done = subprocess.run(
        [sys.executable, "-c", FORKS], stderr=subprocess.PIPE, text=True, env=clean_environ, timeout=200
    )
    assert done.returncode == 0
    events = [line.split('"event":"')[1].split('"')[0] for line in done.stderr.splitlines()]
    assert sorted(events) == ["child", "child", "child", "parent after", "parent before"]
    assert os.getpid()


def test_after_a_fork():
    """LOG-02: in a forked child the queue is empty and a thread of its own is started with the first line."""
    from buvar.log import _sink

    stream = io.StringIO()
    sink = Sink(stream, size=10)
    sink._queue.put(b"of the parent\n")
    _sink._after_fork()
    sink.write(b"of the child\n")
    assert sink.flush(60)
    assert stream.getvalue() == "of the child\n"


def test_before_a_fork():
    """LOG-02: before a fork everything is written and the thread has ended; it comes back with the next line."""
    from buvar.log import _sink

    stream = io.StringIO()
    sink = Sink(stream, size=10)
    sink.pause()
    sink.write(b"before\n")
    thread = sink._thread
    _sink._before_fork()
    assert not thread.is_alive()
    assert stream.getvalue() == "before\n"
    sink.write(b"after\n")
    assert sink.flush(60)
    assert stream.getvalue() == "before\nafter\n"
    sink.close()


def test_lines_that_come_during_a_pause():
    """LOG-02: a line that was queued while the thread ended is written all the same."""
    stream = io.StringIO()
    sink = Sink(stream, size=10)
    sink._queue.put(None)
    sink._queue.put(b"late\n")
    sink.write(b"later\n")
    deadline = time.monotonic() + 200
    while stream.getvalue() != "late\nlater\n" and time.monotonic() < deadline:
        time.sleep(0.001)
    assert stream.getvalue() == "late\nlater\n"
    sink.close()


def test_a_pause_does_not_wait_for_ever():
    """LOG-02: a stream that hangs delays a fork by a moment only; what waits is written when it goes on."""
    go_on = threading.Event()

    class Hanging(io.StringIO):
        def write(self, text):
            go_on.wait(200)
            return super().write(text)

    stream = Hanging()
    sink = Sink(stream, size=10)
    sink.write(b"first\n")
    began = time.monotonic()
    sink.pause(0.05)
    assert time.monotonic() - began < 60
    sink.write(b"second\n")
    go_on.set()
    deadline = time.monotonic() + 200
    while stream.getvalue() != "first\nsecond\n" and time.monotonic() < deadline:
        time.sleep(0.001)
    assert stream.getvalue() == "first\nsecond\n"
