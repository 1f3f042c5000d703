"""What every test may use: the checkout, a tiny tree to plant offences in, a Python of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: What a test's own processes must not inherit: who measures or starts the tests is not their concern.
FOREIGN = ("COVERAGE_", "COV_CORE_", "PYTEST_", "MAKE", "MFLAGS", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
#: The verbs' own choice of a Python.
CHOICE = "PYTHON"


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def clean_environ() -> dict[str, str]:
    """The environment variables for a process that must behave as if a person had started it."""
    return {name: value for name, value in os.environ.items() if name != CHOICE and not name.startswith(FOREIGN)}


@pytest.fixture(scope="session")
def expect_none() -> Callable[[Iterable[str]], None]:
    """Fail with the whole list of offences, one a line, if there are any."""

    def check(offences: Iterable[str]) -> None:
        if found := sorted(offences):
            pytest.fail("\n".join(found), pytrace=False)

    return check


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Write files, given as {path: text}, into an empty folder, and answer the folder."""

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.fixture
def run_python(tmp_path: Path, clean_environ: dict[str, str]) -> Callable[[str], str]:
    """Run code in a new interpreter, in an empty folder, and answer what it printed; it must succeed."""

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=clean_environ, timeout=50
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def databases() -> set[Path]:
    return set(ROOT.glob("data.db*"))


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[BEFORE] = databases()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A test that leaves a database in the checkout has not set its working directory; the run fails."""
    if left := databases() - session.config.stash[BEFORE]:
        print(f"\nthe tests left {', '.join(sorted(path.name for path in left))} in the checkout", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


BEFORE = pytest.StashKey[set[Path]]()
