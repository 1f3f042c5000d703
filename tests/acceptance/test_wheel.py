"""What is built is complete, holds nothing else, and installs into a clean environment."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PACKAGES = ("buvar", "buvar_aiohttp", "binp")


@pytest.fixture(scope="module")
def sdist(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built without asking a registry."""
    folder = tmp_path_factory.mktemp("sdist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder], cwd=checkout, check=True)
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source distribution as an installer would, without asking a registry."""
    folder = tmp_path_factory.mktemp("wheel")
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "-q"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *offline, "-w", folder, sdist], cwd=folder, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_packages_and_nothing_else(checkout: Path, wheel: Path) -> None:
    """Every module, marker and SQL file of the three packages is in the wheel; tests, examples and tools are not."""
    names = set(zipfile.ZipFile(wheel).namelist())
    source = checkout / "src"
    expected = {
        path.relative_to(source).as_posix()
        for package in PACKAGES
        for path in (source / package).rglob("*")
        if path.suffix in (".py", ".sql") or path.name == "py.typed"
    }

    assert set() == expected - names
    assert {name.split("/")[0].split("-")[0] for name in names} == set(PACKAGES)
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []
    assert wheel.name.endswith("-py3-none-any.whl")


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """Licence, README, entry points and supported Pythons travel with the wheel."""
    archive = zipfile.ZipFile(wheel)
    info = {name.split("/", 1)[1]: name for name in archive.namelist() if ".dist-info/" in name}
    metadata = archive.read(info["METADATA"]).decode()

    assert "licenses/LICENSE" in info
    assert "binp = binp.cli:main" in archive.read(info["entry_points.txt"]).decode()
    assert "Requires-Python: >=3.11" in metadata
    assert "Description-Content-Type: text/markdown" in metadata


def test_the_source_distribution_can_test_itself(sdist: Path) -> None:
    """What a packager needs is there: sources, tests, lock, contracts, licence."""
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}

    needed = {"LICENSE", "README.md", "Makefile", "constraints.txt", ".importlinter", "conftest.py", "pyproject.toml"}
    assert set() == needed - names
    assert {"src/binp/py.typed", "tests/conftest.py", "scripts/environment.py", "docs/errors.md"} <= names
    assert [name for name in names if "node_modules" in name or name.endswith((".pyc", ".db"))] == []


def test_a_clean_install_works(
    checkout: Path, wheel: Path, tmp_path: Path, clean_environ: dict[str, str], download_environ: dict[str, str]
) -> None:
    """N-25: the wheel and what it asks for, in an environment of its own, are all that `import binp` needs."""
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, env=clean_environ)
    subprocess.run(
        [python, "-m", "pip", "install", "-q", "-c", checkout / "constraints.txt", wheel],
        check=True,
        env={**download_environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"},
        cwd=tmp_path,
    )
    code = "import binp, buvar; print(binp.__version__, binp.BINP.__name__, binp.__file__)"
    done = subprocess.run(
        [python, "-W", "error", "-c", code], capture_output=True, text=True, cwd=tmp_path, env=clean_environ
    )

    assert done.returncode == 0, done.stderr
    version, name, place = done.stdout.split()
    assert (version, name) == (wheel.name.split("-")[1], "BINP")
    assert Path(place).is_relative_to(os.path.realpath(tmp_path))
