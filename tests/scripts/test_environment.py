"""The virtual environment of the verbs: made when it must be, left alone when it can be, clear when it cannot."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Install = Callable[[Path, str], None]
WriteProgram = Callable[[Path, str], None]


@pytest.fixture
def run(tree: Path, clean_environ: dict[str, str]) -> Run:
    """Run the script of the tree."""

    def start(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [tree / "scripts/environment", *arguments],
            capture_output=True,
            text=True,
            cwd=tree,
            env=clean_environ | environ,
            timeout=200,
        )

    return start


def installed(tree: Path) -> list[str]:
    """What pip was asked for, without the options that are always there."""
    log = tree / ".venv/pip.log"
    common = f"install -q --no-input --disable-pip-version-check -c {tree}/constraints.txt "
    text = log.read_text().replace("--upgrade -c", "-c") if log.exists() else ""
    return [line.removeprefix(common) for line in text.splitlines()]


def test_nothing_is_done_when_nothing_changed(tree: Path, run: Run, install: Install) -> None:
    """With a matching stamp the set-up installs nothing and says nothing."""
    install(tree, "run")
    done = run("run")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert installed(tree) == []


def test_what_a_level_needs_is_installed_pinned(tree: Path, run: Run) -> None:
    """Running needs the project alone, developing its group besides; all is pinned and built in place."""
    project = f"--no-build-isolation -e {tree}"

    assert run("run").stdout == "installing what `run` needs into .venv\n"
    assert installed(tree) == ["pip", "hatchling>=1.27 editables", project]

    assert run("dev").stdout == "installing what `dev` needs into .venv\n"
    assert installed(tree)[3:] == ["pip", "hatchling>=1.27 editables", f"{project} --group {tree}/pyproject.toml:dev"]


def test_a_higher_level_stays(tree: Path, run: Run, install: Install) -> None:
    """`make run` after `make setup` is a no-op, and a changed lock renews all that was there."""
    install(tree, "dev")
    assert run("run").stdout == ""

    with (tree / "constraints.txt").open("a") as lock:
        lock.write("zzz==1\n")

    assert run("run").stdout == "installing what `dev` needs into .venv\n"
    assert run("dev").stdout == ""


def test_a_tool_setting_installs_nothing(tree: Path, run: Run, install: Install) -> None:
    """Of pyproject.toml only what decides about packages counts."""
    install(tree, "run")
    project = tree / "pyproject.toml"

    project.write_text(project.read_text().replace("line-length = 120", "line-length = 99"))
    assert run("run").stdout == ""

    project.write_text(project.read_text().replace('"attrs>=24.2"', '"attrs>=24.3"'))
    assert run("run").stdout == "installing what `run` needs into .venv\n"


def test_a_failed_installation_is_tried_again(tree: Path, run: Run, write_program: WriteProgram) -> None:
    """A failure of pip is reported without a traceback, and the next call does not believe that all is well."""
    python = tree / ".venv/bin/python"
    working = python.read_text()
    write_program(python, working.replace("exit 0", "exit 7"))
    done = run("run")

    assert done.returncode == 1
    assert done.stderr.startswith("failed with status 7: ")
    assert "Traceback" not in done.stderr

    write_program(python, working)
    assert run("run").stdout == "installing what `run` needs into .venv\n"


def test_nothing_leaks_in_from_the_caller(tree: Path, run: Run) -> None:
    """Another active environment and the caller's module path do not decide what is installed where."""
    (tree / "leak").mkdir()
    (tree / "leak/json.py").write_text("raise SystemExit('leaked')")
    done = run("run", VIRTUAL_ENV="/elsewhere", PYTHONPATH=str(tree / "leak"), PIP_TARGET="/elsewhere")

    assert done.returncode == 0, done.stderr
    assert set((tree / ".venv/leaks.log").read_text().split("\n")) == {""}


def test_a_python_that_does_not_start_is_passed_over(tree: Path, run: Run, write_program: WriteProgram) -> None:
    """A command that a version manager left on the path, but that does not start, is not the one that is used."""
    commands = tree / "commands"
    commands.mkdir()
    (tree / ".venv/bin/python").unlink()
    write_program(commands / "python3.13", "#!/bin/sh\necho not here >&2\nexit 127\n")
    write_program(commands / "python3.12", "#!/bin/sh\nexit 1\n")  # as an older one answers
    write_program(commands / "python3.11", "#!/bin/sh\n[ $1 = -c ] || echo used\n")
    done = run("run", PATH=f"{commands}:/bin:/usr/bin")

    assert (done.returncode, done.stdout, done.stderr) == (0, "used\n", "")


def test_no_python_is_said_clearly(tree: Path, run: Run, write_program: WriteProgram) -> None:
    """Without a Python that is new enough, one message says what is needed and how to name one."""
    commands = tree / "commands"
    commands.mkdir()
    (tree / ".venv/bin/python").unlink()
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        write_program(commands / name, "#!/bin/sh\nexit 1\n")
    done = run("run", PATH=f"{commands}:/bin:/usr/bin")

    assert done.returncode == 1
    assert done.stderr == (
        "This needs Python 3.11 or newer: none of python3.13, python3.12, python3.11 and python3 is that.\n"
        "Install one, or say where it is: make PYTHON=/path/to/python3.12 ...\n"
    )


def test_a_wrong_choice_is_said_clearly(run: Run) -> None:
    """A chosen Python that does not fit is an error, never silently replaced."""
    done = run("run", PYTHON="/nowhere/python")

    assert done.returncode == 1
    assert done.stderr == "PYTHON=/nowhere/python is not Python 3.11 or newer, or does not start.\n"


def test_a_missing_module_names_its_package(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Debian left out what makes environments, the message names the package that brings it."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else find(name))

    with pytest.raises(environment.SetupError) as caught:
        environment.create(tmp_path / "venv")

    assert str(caught.value) == (
        f"{sys.executable} cannot make virtual environments: its venv or ensurepip module is missing.\n"
        f"On Debian and Ubuntu: apt-get install python3.{sys.version_info[1]}-venv"
    )


@pytest.mark.parametrize("text", ["", "{", "[]", '{"level": "other"}'])
def test_a_broken_stamp_counts_as_none(environment: ModuleType, tmp_path: Path, text: str) -> None:
    """What cannot be understood says nothing about what is installed."""
    (tmp_path / "stamp").write_text(text)

    assert environment.read_stamp(tmp_path / "stamp") == {}


def test_the_lock_sorts_as_people_do(environment: ModuleType) -> None:
    """One exact version a line, capital letters among the others."""
    assert environment.lines({"b": "1", "A": "2", "c": "3"}) == "A==2\nb==1\nc==3\n"


def test_this_python_is_among_those_at_hand(environment: ModuleType) -> None:
    """Each supported version is named at most once, and answers to its name."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    versions = [subprocess.check_output([path, "-c", code], text=True).strip() for path in environment.pythons()]

    assert versions == sorted(set(versions), key=lambda text: int(text.split(".")[1]))
    assert set(versions) <= {"3.11", "3.12", "3.13"}


@pytest.mark.slow
def test_an_environment_is_made(environment: ModuleType, tmp_path: Path) -> None:
    """A bare environment is made once, and again when it does not work."""
    venv = tmp_path / "venv"
    environment.create(venv)
    made = (venv / "pyvenv.cfg").stat().st_mtime_ns
    environment.create(venv)

    assert environment.version_of(venv / "bin/python") == sys.version_info[:2]
    assert (venv / "pyvenv.cfg").stat().st_mtime_ns == made

    (venv / "bin/python").unlink()
    environment.create(venv)

    assert environment.version_of(venv / "bin/python") == sys.version_info[:2]


def test_the_stamp_tells_what_was_installed(tree: Path, run: Run) -> None:
    """After an installation the stamp holds its level and a fingerprint."""
    run("dev")
    stamp = json.loads((tree / ".venv/installed.json").read_text())

    assert stamp["level"] == "dev"
    assert len(stamp["fingerprint"]) == 64
