"""The tools are as strict as promised: what they must find, they find, with the project's own settings."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Plant = Callable[[Mapping[str, str]], Path]
Tool = Callable[..., subprocess.CompletedProcess[str]]

HEAD = '"""Purpose."""\n\n'


@pytest.fixture
def tool(checkout: Path, clean_environ: dict[str, str]) -> Tool:
    """Run a tool of the environment with the project's settings."""

    def run(name: str, *arguments: str | Path, cwd: Path = checkout) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", name, *arguments],
            capture_output=True,
            text=True,
            cwd=cwd,
            env=clean_environ,
            timeout=800,
        )

    return run


@pytest.fixture
def mypy(checkout: Path, tool: Tool, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Check files with the project's settings; errors elsewhere are not their concern."""
    cache = tmp_path_factory.getbasetemp() / "mypy"

    def check(*paths: Path) -> str:
        settings = ["--config-file", checkout / "pyproject.toml", "--cache-dir", cache, "--follow-imports", "silent"]
        done = tool("mypy", *settings, "--no-error-summary", *paths)
        assert done.returncode in (0, 1), done.stdout + done.stderr
        return done.stdout

    return check


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_users_write_is_typed(checkout: Path, mypy: Callable[..., str]) -> None:
    """A type checker sees what the documentation promises: tests/typing is checked, never run."""
    assert mypy(*sorted((checkout / "tests/typing").glob("*.py"))) == ""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def f(x): ...\n", "[no-untyped-def]"),
        ("x: list = []\n", "[type-arg]"),
        ("def f(x: str) -> int:\n    return x  # type: ignore\n", "[ignore-without-code]"),
        ("x = 1  # type: ignore[misc]\n", "[unused-ignore]"),
        ("from buvar.secret import Secret\nx: int = Secret('a').reveal()\n", "[assignment]"),
    ],
)
def test_mypy_is_strict(plant: Plant, mypy: Callable[..., str], text: str, code: str) -> None:
    """Untyped functions, bare generics, blanket or idle suppressions and wrong use of our own types are errors."""
    assert code in mypy(plant({"new.py": HEAD + text}) / "new.py")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("try:\n    x = 1\nexcept Exception:\n    x = 2\n", "BLE001"),
        ("print(1)\n", "T201"),
        ("assert True\n", "S101"),
        ("# x = f(1)\n", "ERA001"),
        ("x = 1  # noqa\n", "PGH004"),
        ("x = 1  # noqa: S311\n", "RUF100"),
        ("import datetime\n\nx = datetime.datetime.now()\n", "DTZ005"),
        ("def f():\n    return 1\n", "D103"),
        ("import os\n", "F401"),
    ],
)
def test_ruff_is_strict(checkout: Path, plant: Plant, tool: Tool, text: str, code: str) -> None:
    """Blanket excepts, prints, asserts, commented-out code, blanket suppressions and naive times are errors."""
    root = plant({"src/binp/new.py": HEAD + text})
    settings = ["--config", checkout / "pyproject.toml", "--no-cache", "--output-format", "concise"]
    done = tool("ruff", "check", *settings, "src", cwd=root)

    assert done.returncode == 1, done.stdout + done.stderr
    assert code in done.stdout


def test_a_warning_fails_a_test(checkout: Path, plant: Plant, tool: Tool) -> None:
    """A test that leaves a warning behind is red."""
    root = plant(
        {
            "pyproject.toml": (checkout / "pyproject.toml").read_text(),
            "tests/test_new.py": HEAD + "import warnings\n\ndef test_it():\n    warnings.warn('left')\n",
        }
    )
    done = tool("pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=root)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "UserWarning: left" in done.stdout


def test_bandit_finds_what_it_should(checkout: Path, plant: Plant, tool: Tool) -> None:
    """Code that hands text to a shell is found."""
    root = plant({"new.py": HEAD + "import subprocess\n\nsubprocess.call('ls', shell=True)\n"})
    done = tool("bandit", "-q", "-c", checkout / "pyproject.toml", "-r", ".", cwd=root)

    assert done.returncode == 1, done.stdout + done.stderr
    assert "B602" in done.stdout


def test_changelog_fragments_render(checkout: Path, plant: Plant, tool: Tool) -> None:
    """A fragment becomes a line under its heading."""
    root = plant(
        {
            "pyproject.toml": (checkout / "pyproject.toml").read_text(),
            "changelog.d/+new.added.md": "Actions can fly.\n",
        }
    )
    done = tool("towncrier", "build", "--draft", "--version", "9.9", "--date", "2001-01-01", cwd=root)

    assert done.returncode == 0, done.stderr
    assert "## 9.9 (2001-01-01)" in done.stdout
    assert "### Added\n\n- Actions can fly." in done.stdout
