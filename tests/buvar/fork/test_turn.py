"""What a turn tells its parent and hears of it, on both ends of the line."""

import asyncio
import os
import signal
import socket
import types

import pytest

from buvar.fork import _turn


@pytest.fixture
def line():
    """The parent's end; `there` is the turn's."""
    made = _turn.Line()
    yield made
    made.close()


@pytest.fixture
def turn(line):
    return _turn.Turn(line.there, None, was_ready=False)


@pytest.fixture
def stage():
    """Notes what it is told."""
    told = []
    return types.SimpleNamespace(
        told=told, interrupt=lambda: told.append("interrupt"), cancel_now=lambda: told.append("cancel")
    )


async def test_wishes_are_counted(line, turn, stage):
    """The first wish begins the shutdown, any further one cancels; without a wish nothing happens."""
    turn._listen(stage)
    assert stage.told == []
    line.wish()
    turn._listen(stage)
    assert stage.told == ["interrupt"]
    line.wish(2)
    turn._listen(stage)
    assert stage.told == ["interrupt", "interrupt", "cancel"]


@pytest.mark.parametrize("is_broken", [False, True])
async def test_a_parent_that_is_gone(line, turn, stage, monkeypatch, is_broken):
    """When the line ends, however it does, the turn ends as a worker without a parent."""
    ended = []
    monkeypatch.setattr(_turn, "orphaned", lambda: ended.append(True))
    asyncio.get_running_loop().add_reader(line.there.fileno(), lambda: None)
    if is_broken:
        line.there.send(b"unread")  # so that the parent's end is reset when it is closed
    line.here.close()
    turn._listen(stage)

    assert (ended, stage.told) == ([True], ["interrupt"])
    assert not asyncio.get_running_loop().remove_reader(line.there.fileno())


@pytest.mark.parametrize("is_closed", [False, True])
def test_signals_are_left_to_the_parent(line, turn, stage, is_closed):
    """A stage of a turn listens on its line instead of to signals, and leaves no trace, also on a closed loop."""
    loop = asyncio.new_event_loop()
    before = signal.getsignal(signal.SIGTERM)
    with turn.signals(2.5)(stage).installed(loop):
        assert signal.getsignal(signal.SIGTERM) not in (before, signal.SIG_DFL, signal.SIG_IGN)
        assert list(line.read(lambda *_: None)) == [{"begun": 2.5}]
        if is_closed:
            loop.close()
    assert signal.getsignal(signal.SIGTERM) is before
    loop.close()


def test_sockets_that_nobody_took_are_closed(line):
    """What came for a message that was never complete is closed with the line."""
    with socket.socket() as sock:
        socket.send_fds(line.there, [b'{"keep": '], [sock.fileno()])
        assert list(line.read(lambda *_: None)) == []
        (handle,) = line._handles
        assert os.fstat(handle).st_ino == os.fstat(sock.fileno()).st_ino
        line.close()
        with pytest.raises(OSError):
            os.fstat(handle)
        line._handles.clear()
