"""The configuration is read again before workers are replaced, and kept only when they can start with it."""

import os
import signal

import pytest

from buvar import fork, plugin
from buvar.components import Components
from buvar.config import ConfigSource
from buvar.fork._reload import Reload


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("x = 1\n[a]\nb = 1")
    return path


@pytest.fixture
def source(file):
    return ConfigSource.files(file)


@pytest.fixture
def components(source):
    components = Components()
    components.add(source)
    return components


def test_kept(file, source, components):
    """What was read again and kept stays, also when a later reading is undone."""
    reload = Reload(components)
    file.write_text("x = 2")
    assert reload.begin()
    assert source == {"x": 2}
    reload.keep()
    reload.undo()
    assert source == {"x": 2}


def test_undone(file, source, components):
    """When workers cannot start with it, everything is as it was."""
    reload = Reload(components)
    file.write_text("x = 2")
    assert reload.begin()
    reload.undo()
    assert source == {"x": 1, "a": {"b": 1}}


def test_begun_twice(file, source, components):
    """A second reading before the first was kept leads back to what was there before both."""
    reload = Reload(components)
    for text in ("x = 2", "x = 3"):
        file.write_text(text)
        assert reload.begin()
    assert source == {"x": 3}
    reload.undo()
    assert source["x"] == 1


def test_unreadable(file, source, components, caplog):
    """A broken file changes nothing, and is logged."""
    file.write_text("x = ")
    assert not Reload(components).begin()
    assert source["x"] == 1
    assert "could not be read again" in caplog.text


def test_extra(file, source, components):
    """What the program does besides is called after, and an error of it undoes the reading."""
    seen = []
    file.write_text("x = 2")
    assert Reload(components, lambda: seen.append(source["x"])).begin()
    assert seen == [2]
    file.write_text("x = 3")

    def fail():
        raise RuntimeError("no")

    source.reload()
    assert not Reload(components, fail).begin()
    assert source["x"] == 3


class Ended(plugin.Signals):
    """Signals of a program that says nothing about HUP."""


class Own(plugin.Signals):
    def handle_hup(self):
        self.stage.cancel.set()


def hang_up_alone(components, **options):
    """Send HUP to a single worker, and end when the hook that is given was called."""

    async def prepare(cancel: plugin.Cancel):
        async def task():
            os.kill(os.getpid(), signal.SIGHUP)
            await cancel.wait()

        yield task()

    stop = []

    async def remember(cancel: plugin.Cancel):
        stop.append(cancel)

    hook = options.pop("hook", lambda: None)

    def reload():
        stop[0].set()
        hook()

    fork.stage(remember, prepare, components=components, forks=1, reload=reload, **options)


@pytest.mark.parametrize("signals", [None, Ended])
def test_a_single_worker_reads_all_and_calls_the_hook(file, tmp_path, source, components, signals):
    """FRK-02: with one worker, too, HUP reads every configuration again and then calls the hook."""
    second = tmp_path / "second.toml"
    second.write_text("y = 1")
    components.add(other := ConfigSource.files(second), name="second")
    file.write_text("x = 2")
    second.write_text("y = 2")
    seen = []
    hang_up_alone(components, hook=lambda: seen.append((source["x"], other["y"])), signals=signals)
    assert seen == [(2, 2)]
    assert (source["x"], other["y"]) == (2, 2)


def test_a_single_worker_whose_hook_fails(file, source, components, caplog):
    """FRK-02: with one worker, too, nothing changes when the hook raises."""
    file.write_text("x = 2")

    def fail():
        assert source["x"] == 2
        raise RuntimeError("no")

    hang_up_alone(components, hook=fail)
    assert source["x"] == 1
    assert "could not be read again; it stays as it was" in caplog.text


def test_a_single_worker_whose_signals_handle_hup(file, source, components):
    """FRK-02: with one worker, too, HUP is for `signals=` if that handles it."""
    file.write_text("x = 2")
    called = []
    hang_up_alone(components, hook=lambda: called.append(True), signals=Own)
    assert not called
    assert source["x"] == 1


def test_nothing_to_read():
    """Without components there is nothing to do."""
    assert Reload().begin()
