"""Who may import whom: the contracts hold, they notice what is planted, and what is imported stays small."""

import configparser
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Plant = Callable[[Mapping[str, str]], Path]

PACKAGES = ("buvar", "buvar_aiohttp", "binp")
LAYERED = {"buvar": "kernel", "binp": "platform"}


def contracts(checkout: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string((checkout / ".importlinter").read_text())
    return parser


def layers(checkout: Path, package: str) -> list[set[str]]:
    """The layers that a contract gives a package, from the top, each with the modules side by side in it."""
    text = contracts(checkout)[f"importlinter:contract:{LAYERED[package]}"]["layers"]
    return [set(re.split(r"\s*[|:]\s*", line)) for line in text.split("\n") if line]


@pytest.fixture
def skeleton(checkout: Path, plant: Plant) -> Callable[[Mapping[str, str]], Path]:
    """A tree with an empty module for every placed name, the true contracts, and what a test plants in it."""

    def build(planted: Mapping[str, str]) -> Path:
        files = {f"src/{package}/__init__.py": "" for package in PACKAGES}
        for package in LAYERED:
            for name in set().union(*layers(checkout, package)):
                files[f"src/{package}/{name}/__init__.py"] = ""
        for path in ("contract", "query", "sqlite"):
            files[f"src/binp/store/{path}/__init__.py"] = ""
        return plant({".importlinter": (checkout / ".importlinter").read_text(), **files, **planted})

    return build


@pytest.fixture
def lint_imports(clean_environ: dict[str, str]) -> Callable[[Path], subprocess.CompletedProcess[str]]:
    """Check the contracts of a tree."""
    code = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"

    def lint(root: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code, "--no-cache"],
            capture_output=True,
            text=True,
            cwd=root,
            env={**clean_environ, "PYTHONPATH": str(root / "src")},
            timeout=200,
        )

    return lint


def test_the_contracts_hold(checkout: Path, lint_imports: Callable[[Path], subprocess.CompletedProcess[str]]) -> None:
    """The code imports downward only, features are strangers, and every module is placed."""
    done = lint_imports(checkout)

    assert done.returncode == 0, done.stdout


def test_the_bare_skeleton_passes(
    skeleton: Callable[[Mapping[str, str]], Path], lint_imports: Callable[[Path], subprocess.CompletedProcess[str]]
) -> None:
    """A tree without imports keeps every contract, so that what a planted one shows is its offence alone."""
    done = lint_imports(skeleton({}))

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("buvar/errors/__init__.py", "import binp", "everything stands on buvar, never the other way BROKEN"),
        ("buvar_aiohttp/__init__.py", "import binp", "everything stands on buvar, never the other way BROKEN"),
        ("buvar/components/__init__.py", "import buvar.di", "kernel layers BROKEN"),
        ("buvar/config/__init__.py", "import buvar.log", "kernel layers BROKEN"),
        ("buvar/new.py", "", "kernel layers BROKEN"),
        ("binp/kv/__init__.py", "import binp.service", "platform layers, features strangers to each other BROKEN"),
        ("binp/runs/__init__.py", "import binp.home", "platform layers, features strangers to each other BROKEN"),
        ("binp/new.py", "", "platform layers, features strangers to each other BROKEN"),
        ("binp/store/contract/__init__.py", "import binp.store.sqlite", "what a store promises knows no store BROKEN"),
        ("buvar/di/__init__.py", "import pydantic", "the kernel knows no web and no database BROKEN"),
        ("buvar/di/__init__.py", "def f():\n    import sqlite3", "the kernel knows no web and no database BROKEN"),
    ],
)
def test_a_broken_contract_is_found(
    skeleton: Callable[[Mapping[str, str]], Path],
    lint_imports: Callable[[Path], subprocess.CompletedProcess[str]],
    path: str,
    text: str,
    message: str,
) -> None:
    """An import against the direction, also a lazy one, and a module that nobody placed break the build."""
    done = lint_imports(skeleton({f"src/{path}": text + "\n"}))

    assert done.returncode == 1, done.stdout + done.stderr
    assert message in done.stdout


def loaded_by(run_python: Callable[[str], str], package: str, source: Path) -> set[str]:
    """Top-level names of the modules that importing a package from a folder loads."""
    code = f"""
import sys
sys.path.insert(0, {str(source)!r})
before = set(sys.modules)
import {package}
print(*{{name.split(".")[0] for name in set(sys.modules) - before}})
"""
    return set(run_python(code).split())


WEB_AND_DATABASES = {"fastapi", "starlette", "uvicorn", "aiohttp", "sqlite3", "psycopg", "asyncpg"}


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("buvar", WEB_AND_DATABASES | {"pydantic", "cattrs"}),
        ("binp", WEB_AND_DATABASES),
        ("binp.cli", WEB_AND_DATABASES),
    ],
)
def test_an_import_stays_small(checkout: Path, run_python: Callable[[str], str], package: str, heavy: set[str]) -> None:
    """Importing the kernel, the platform's face or its command line loads no web framework and no database driver."""
    loaded = loaded_by(run_python, package, checkout / "src")

    assert package.split(".")[0] in loaded
    assert set() == loaded & heavy


def test_a_heavy_import_is_found(plant: Plant, run_python: Callable[[str], str]) -> None:
    """A package that loads a database driver is seen to do so."""
    root = plant({"src/buvar/__init__.py": "import sqlite3\n"})

    assert "sqlite3" in loaded_by(run_python, "buvar", root / "src")


def drawn(checkout: Path) -> dict[str, list[set[str]]]:
    """The layers as ARCHITECTURE.md draws them: the first words of each line of its drawing, per package."""
    drawing = re.search(r"```text\n(.*?)```", (checkout / "ARCHITECTURE.md").read_text(), re.DOTALL)
    assert drawing, "ARCHITECTURE.md has no drawing"
    found: dict[str, list[set[str]]] = {}
    for line in drawing[1].splitlines():
        if title := re.match(r"(\w+): ", line):
            package = found.setdefault(title[1], [])
        elif line.strip():
            names = re.match(r"\s+((?:\w+(?: · )?)+)", line)
            assert names, f"not a layer: {line!r}"
            package.append(set(names[1].split(" · ")))
    return found


def test_the_drawing_is_true(checkout: Path) -> None:
    """The layers drawn in ARCHITECTURE.md are those of the contracts, line by line."""
    picture = drawn(checkout)

    assert picture["buvar"] == layers(checkout, "buvar")
    assert picture["binp"] == layers(checkout, "binp")


@pytest.mark.parametrize(("old", "new"), [(" · journals", ""), (" · kv", " · kv · new"), ("  home ", "  house ")])
def test_an_untrue_drawing_is_found(checkout: Path, plant: Plant, old: str, new: str) -> None:
    """A module that is left out, invented or misnamed in the drawing makes it differ from the contract."""
    text = (checkout / "ARCHITECTURE.md").read_text()
    assert text.count(old) == 1

    assert drawn(plant({"ARCHITECTURE.md": text.replace(old, new)}))["binp"] != layers(checkout, "binp")


def test_every_drawn_module_exists(checkout: Path) -> None:
    """What is drawn is there."""
    absent = [
        f"{package}.{name}"
        for package, rows in drawn(checkout).items()
        for name in set().union(*rows)
        if not any((checkout / "src" / package / path).exists() for path in (f"{name}.py", f"{name}/__init__.py"))
    ]

    assert [] == absent
