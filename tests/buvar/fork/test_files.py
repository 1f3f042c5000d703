"""What counts as a change of a file, and when it is told."""

import os
import time

import pytest

from buvar.fork import _files
from buvar.fork._files import Files


@pytest.fixture
def files():
    return Files()


def told(files, looks=8):
    """What is told within so many looks."""
    return [path.name for _ in range(looks) for path in files.changed()]


def test_other_contents_are_a_change(files, tmp_path):
    """A file that holds something else is told once, when it was looked at twice alike; one that was touched is not."""
    path = tmp_path / "a.py"
    path.write_text("1")
    files.add([path], since=time.time() + 60)
    assert told(files) == []

    path.write_text("2")
    assert files.changed() == []
    assert files.is_restless
    assert files.changed() == [path]
    assert told(files) == []
    os.utime(path, (1, 1))
    assert told(files) == []
    path.write_text("3")
    path.write_text("2")
    assert told(files) == []
    assert not files.is_restless


@pytest.mark.parametrize("moment", ["before", "behind"])
def test_one_that_is_replaced_while_it_is_read_first_has_changed(files, tmp_path, monkeypatch, moment):
    """What was put in its place meanwhile is not what its reader read, even if it is older by its time."""
    path = tmp_path / "a.py"
    path.write_text("1")
    read = _files._content

    def read_slowly(place):
        monkeypatch.undo()
        content = read(place) if moment == "behind" else None
        (tmp_path / "draft").write_text("2")
        os.utime(tmp_path / "draft", (1, 1))
        (tmp_path / "draft").replace(place)
        return content if moment == "behind" else read(place)

    monkeypatch.setattr(_files, "_content", read_slowly)
    files.add([path], since=time.time() + 60)

    assert told(files) == ["a.py"]


def test_what_is_being_written_is_waited_for(files, tmp_path):
    """As long as it differs from look to look nothing is told; then all of it at once."""
    paths = [tmp_path / name for name in ("b.py", "a.py")]
    files.add(paths, since=0)
    for number in range(4):
        paths[number % 2].write_text("x" * number)
        assert files.changed() == []

    assert told(files) == ["a.py", "b.py"]


def test_one_that_is_gone_for_a_moment_is_not_gone(files, tmp_path):
    """Editors take the old file away before the new one is there: that has to last to be a change."""
    path = tmp_path / "a.py"
    path.write_text("1")
    files.add([path], since=time.time() + 60)
    path.unlink()
    assert told(files, 4) == []
    path.write_text("1")
    assert told(files) == []

    path.unlink()
    assert told(files) == ["a.py"]
    assert told(files) == []
    path.write_text("1")
    assert told(files) == ["a.py"]


def test_one_that_came_later_may_have_been_read_as_it_was(files, tmp_path):
    """A file that is new here and was written since its reader began counts as changed; one that is known does not."""
    old, new, folder = tmp_path / "old.py", tmp_path / "new.py", tmp_path / "folder"
    old.write_text("")
    new.write_text("")
    folder.mkdir()
    began = time.time() - 100
    os.utime(old, (began - 1, began - 1))
    files.add([old, new, folder], since=began)

    assert told(files) == ["new.py"]
    files.replace([new, folder], since=began)
    assert told(files) == []
    assert (len(files), old in files, new in files) == (2, False, True)


def test_a_folder_changes_with_its_modules(files, tmp_path):
    """Another Python file or package in a folder is a change of it; whatever else appears there is not."""
    files.add([tmp_path], since=0)
    (tmp_path / "data.txt").write_text("")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".#a.py").symlink_to("nobody@nowhere")
    assert told(files) == []

    (tmp_path / "a.py").write_text("")
    assert told(files) == [tmp_path.name]
    (tmp_path / "package").mkdir()
    assert told(files) == [tmp_path.name]
    (tmp_path / "a.py").write_text("changed")
    assert told(files) == []
