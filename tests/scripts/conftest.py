"""A tree with the Makefile and its scripts, whose environment is made of stand-ins."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

#: Stands in for .venv/bin/python: writes down what pip is asked for, and what leaks in from the caller.
PYTHON = f"""#!/bin/sh
if [ "$1" = -m ] && [ "$2" = pip ]; then
    shift 2
    echo "$@" >> "$(dirname "$0")/../pip.log"
    echo "$VIRTUAL_ENV$PYTHONPATH$PIP_TARGET" >> "$(dirname "$0")/../leaks.log"
    exit 0
fi
exec {sys.executable} "$@"
"""


@pytest.fixture
def environment(checkout: Path, load_file: Callable[[Path], ModuleType]) -> ModuleType:
    """The script, as a module."""
    return load_file(checkout / "scripts/environment.py")


@pytest.fixture
def tree(checkout: Path, tmp_path: Path) -> Path:
    """A copy of what the verbs consist of, with a stand-in for the environment's Python."""
    root = tmp_path / "tree"
    shutil.copytree(checkout / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "hatch_build.py"):
        shutil.copy(checkout / name, root)
    (root / ".venv/bin").mkdir(parents=True)
    program(root / ".venv/bin/python", PYTHON)
    return root


@pytest.fixture
def install(environment: ModuleType) -> Callable[[Path, str], None]:
    """Make a tree's environment look as if a level were installed."""

    def stamp(root: Path, level: str) -> None:
        venv = root / ".venv"
        text = json.dumps({"fingerprint": environment.fingerprint(venv, root), "level": level})
        (venv / "installed.json").write_text(text)

    return stamp


@pytest.fixture
def write_program() -> Callable[[Path, str], None]:
    """Write a text that can be started."""
    return program


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
