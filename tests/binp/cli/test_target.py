"""The file that is named is found, loaded once as a module of its name, and its BINP picked."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from binp.cli._target import BrokenFile, load_target, user_traceback
from binp.errors import UsageError

Plant = Callable[[Mapping[str, str]], Path]
GOOD = "from binp import BINP\nbinp = BINP()\nclass Thing: ...\n"


@pytest.fixture(autouse=True)
def _clean_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """What is loaded here is forgotten afterwards, and the current folder is an empty one."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.mark.parametrize("target", ["shop_ops.py", "./shop_ops.py", "shop_ops.py:binp", "shop_ops", "shop_ops:binp"])
def test_the_one_binp_is_found(plant: Plant, target: str) -> None:
    """A file, with or without name and suffix, gives its BINP; it is the module of its name, which can be pickled."""
    plant({"shop_ops.py": GOOD})
    found = load_target(target)
    module = sys.modules["shop_ops"]

    assert found is module.binp
    assert found.module == "shop_ops"
    assert isinstance(pickle.loads(pickle.dumps(module.Thing())), module.Thing)


def test_its_folder_goes_first(plant: Plant) -> None:
    """What stands beside the file can be imported from it, wherever the command was started."""
    root = plant({"deep/down/ops_a.py": GOOD + "import helper_a\n", "deep/down/helper_a.py": "x = 1\n"})
    load_target("deep/down/ops_a.py")

    assert sys.path[0] == str(root / "deep" / "down")


def test_a_dotted_module(plant: Plant) -> None:
    """A module inside a package is imported as that, so that its relative imports work."""
    plant({"pkg_b/__init__.py": "", "pkg_b/ops.py": "from .other import binp\n", "pkg_b/other.py": GOOD})

    assert load_target("pkg_b.ops").module == "pkg_b.other"


def test_a_name_may_be_a_path_of_attributes(plant: Plant) -> None:
    """NAME may lead to the BINP by attributes."""
    plant({"ops_c.py": GOOD + "second = BINP()\nclass Holder:\n    inner = second\n"})

    assert load_target("ops_c.py:Holder.inner") is sys.modules["ops_c"].second


def test_an_included_binp_is_no_second_one(plant: Plant) -> None:
    """What the file includes is served by the one that includes it."""
    plant({"part_d.py": GOOD, "ops_d.py": GOOD + "from part_d import binp as part\nbinp.include(part)\n"})

    found = load_target("ops_d.py")
    assert found is sys.modules["ops_d"].binp
    del sys.modules["ops_d"], sys.modules["part_d"]
    assert load_target("ops_d.py:part") is sys.modules["ops_d"].binp


def test_a_file_whose_name_is_no_identifier(plant: Plant) -> None:
    """A file may be called as it likes, as long as it hides no module."""
    plant({"my-ops.e.py": GOOD})

    assert load_target("my-ops.e.py").module == "my-ops.e"


@pytest.mark.parametrize("name", ["json", "queue", "binp", "click"])
def test_a_file_that_would_hide_a_module(plant: Plant, name: str) -> None:
    """A file that is called like a module of Python, or one that is loaded, is refused before it does harm."""
    plant({f"{name}.py": GOOD})

    with pytest.raises(UsageError, match=f"a file cannot be called {name}.py: it would hide the module '{name}'"):
        load_target(f"{name}.py")


def test_the_file_is_loaded_once(plant: Plant) -> None:
    """A file that another file imports back by its name is not executed twice."""
    plant({"ops_f.py": GOOD + "import back_f\nassert back_f.binp is binp\n", "back_f.py": "from ops_f import binp\n"})

    assert load_target("ops_f.py") is sys.modules["back_f"].binp


def test_what_leaves_the_file_by_itself_goes_through(plant: Plant) -> None:
    """A file that exits while it is imported exits the program."""
    plant({"ops_g.py": "raise SystemExit(7)\n"})

    with pytest.raises(SystemExit) as caught:
        load_target("ops_g.py")
    assert caught.value.code == 7


def test_the_traceback_has_the_frames_of_the_user() -> None:
    """Causes and contexts are shown as well, all of them without frames of ours; a cycle of them ends."""

    def fail() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    with pytest.raises(ValueError, match="outer") as caught:
        fail()
    caught.value.__cause__.__context__ = caught.value  # type: ignore[union-attr]  # set just above
    text = user_traceback(caught.value)

    assert text.count("Traceback") >= 2
    assert "KeyError: 'inner'" in text
    assert "src/binp/cli" not in text


def test_a_broken_file_keeps_what_it_raised(plant: Plant) -> None:
    """The error of the file is kept as an attribute, and its traceback is in the message."""
    plant({"ops_h.py": "def work():\n    return 1 / 0\nwork()\n"})

    with pytest.raises(BrokenFile) as caught:
        load_target("ops_h.py")
    assert isinstance(caught.value.error, ZeroDivisionError)
    assert str(caught.value).startswith("ops_h.py cannot be imported\n\nTraceback (most recent call last):\n")


@pytest.mark.parametrize(("name", "near"), [("opz.py", "ops.py"), ("./ops.py3", "ops.py"), ("nope.py", None)])
def test_a_file_that_is_not_there_is_taken_for_one_of_a_like_name(plant: Plant, name: str, near: str | None) -> None:
    """The ending, which all files have, makes no two of them alike."""
    plant({"ops.py": "", "e.py": ""})
    with pytest.raises(UsageError) as caught:
        load_target(name)

    assert caught.value.fix == (f"did you mean {near!r}?" if near else None)
