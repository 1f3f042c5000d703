"""Which files are the user's own, so that a change of them counts."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from binp.cli._reload import _is_own, _prefixes
from binp.cli._target import check_target, folder_of
from binp.errors import UsageError


@pytest.mark.parametrize(
    ("file", "is_own"),
    [
        ("ops.py", True),
        ("house/rooms/kitchen.py", True),
        ("venv/lib/python3.11/site-packages/fastapi/__init__.py", False),
        ("lib/dist-packages/apt.py", False),
        ("../other.py", False),
    ],
)
def test_what_somebody_else_wrote_is_not_watched(tmp_path: Path, file: str, is_own: bool) -> None:
    """Modules in the folder and below are the user's own, but for packages that were installed there."""
    assert _is_own((tmp_path / file).resolve(), tmp_path.resolve()) is is_own


def test_a_python_in_the_folder_is_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard library of an environment in the folder is not the user's; a folder in an environment is."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    own = tmp_path / ".venv/src/ops.py"

    assert str(tmp_path / ".venv") in _prefixes()
    assert not _is_own(tmp_path / ".venv/lib/json/__init__.py", tmp_path)
    assert _is_own(own, own.parent)


def test_the_folder_is_what_comes_first_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file's modules are beside it, a module's are below the current folder."""
    monkeypatch.chdir(tmp_path)

    assert folder_of("house/ops.py") == tmp_path.resolve() / "house"
    assert folder_of("house/ops.py:binp") == tmp_path.resolve() / "house"
    assert folder_of("house.ops:binp") == tmp_path.resolve()


def test_a_file_that_is_not_there_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is looked for before anything is started; a module cannot be."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ops.py").write_text("")
    check_target("ops.py")
    check_target("no.such.module")
    with pytest.raises(UsageError) as caught:
        check_target("opps.py:binp")

    assert caught.value.what == "there is no file 'opps.py'"
    assert caught.value.fix == "did you mean 'ops.py'?"
