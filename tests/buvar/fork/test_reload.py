"""The configuration is read again before workers are replaced, and kept only when they can start with it."""

import pytest

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


def test_nothing_to_read():
    """Without components there is nothing to do."""
    assert Reload().begin()
