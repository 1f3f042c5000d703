"""Which processes are alive."""

import contextlib
import dataclasses
import os
import resource
import subprocess
import sys

import pytest

from binp.store import open_store
from binp.store.sqlite import _nodes
from binp.store.sqlite._nodes import this_process


@pytest.fixture
def no_descriptors():
    """Within it, this process can open nothing."""

    @contextlib.contextmanager
    def exhaust():
        taken = []
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64 + len(os.listdir("/dev/fd")), limits[1]))
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
            for file in taken:
                os.close(file)

    return exhaust


@pytest.fixture
def other():
    """Another process, and what is known of it."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = _nodes._started(process.pid)
    yield process, dataclasses.replace(this_process(), pid=process.pid, started=started)
    process.communicate()


def test_nobody_is_dead_because_there_are_no_descriptors(other, no_descriptors):
    """N-13: a process that cannot open a file to look takes no living one for dead, whose runs it would end."""
    process, node = other
    assert node.is_alive()
    with no_descriptors():
        assert node.is_alive()
    process.kill()
    # it has ended, and waits for its parent
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not node.is_alive()
    process.wait()
    assert not node.is_alive()


async def test_who_does_not_know_itself_opens_nothing(path, no_descriptors):
    """A process that cannot find out what it is says why, and opens the database when it can."""
    store = open_store(str(path))
    with no_descriptors(), pytest.raises(OSError, match="Too many open files"):
        await store.open()
    await store.open()
    assert store.node.startswith(this_process().host)
    await store.close()
