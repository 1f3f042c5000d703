"""Make the virtual environment that the verbs of the Makefile run in, and renew it only when its inputs changed."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: What each level installs: the project itself, with these dependency groups.
LEVELS: dict[str, list[str]] = {"run": [], "dev": ["dev"]}

#: The tables of pyproject.toml that decide what is installed; the rest configures tools.
DECISIVE = ("build-system", "project", "dependency-groups")

#: What hatchling asks for besides, when it installs a project in place.
EDITABLE = "editables"


class SetupError(Exception):
    """The environment cannot be made; the text says why and what helps."""


def main() -> int:
    """Bring the environment to the asked level, write the lock, or list the other Pythons at hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=[*LEVELS, "lock", "others"])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where it is (default: .venv)")
    arguments = parser.parse_args()
    try:
        if arguments.command == "lock":
            lock()
        elif arguments.command == "others":
            print("\n".join(pythons()))
        else:
            ensure(arguments.venv.absolute(), arguments.command)
    except SetupError as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        # the program has said what is wrong; a traceback would bury it
        print(f"failed with status {error.returncode}: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    return 0


def ensure(venv: Path, level: str) -> None:
    """Make *venv* hold what *level* needs; a matching stamp makes this a matter of milliseconds."""
    stamp = venv / "installed.json"
    wanted = fingerprint(venv)
    have = read_stamp(stamp)
    ranks = list(LEVELS)
    if have.get("fingerprint") == wanted:
        if ranks.index(have["level"]) >= ranks.index(level) and (venv / "bin" / "python").exists():
            return
    elif have:
        # what was there stays there: a developer's environment does not lose its tools to a `make run`
        level = max(level, have["level"], key=ranks.index)
    stamp.unlink(missing_ok=True)
    create(venv)
    install(venv, level)
    stamp.write_text(json.dumps({"fingerprint": wanted, "level": level}))


def fingerprint(venv: Path, root: Path = ROOT) -> str:
    """A hash of everything that decides what is installed, and where."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    inputs = [
        json.dumps([project.get(table) for table in DECISIVE]),
        (root / "constraints.txt").read_text(),
        str(root),
        str(venv),
        str(sys.version_info[:2]),
    ]
    return hashlib.sha256("\0".join(inputs).encode()).hexdigest()


def read_stamp(stamp: Path) -> dict[str, str]:
    """What was installed last; empty when that is not known."""
    try:
        found = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("level") in LEVELS else {}


def create(venv: Path) -> None:
    """Make the bare environment, unless a working one of the right Python is there."""
    if Path(sys.prefix).resolve() == venv.resolve():
        if importlib.util.find_spec("pip") is None:  # made by a tool that leaves pip out
            run(sys.executable, "-m", "ensurepip")
        return
    if version_of(venv / "bin" / "python") == sys.version_info[:2]:
        return
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
        raise SetupError(
            f"{sys.executable} cannot make virtual environments: its venv or ensurepip module is missing.\n"
            f"On Debian and Ubuntu: apt-get install {package}"
        )
    print(f"making {shown(venv)} with Python {sys.version.split()[0]}", flush=True)
    run(sys.executable, "-m", "venv", "--clear", venv)


def version_of(python: Path) -> tuple[int, ...] | None:
    """Major and minor version of an interpreter, None if it does not start or has no pip."""
    code = "import sys, pip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return tuple(map(int, done.stdout.split()))


def install(venv: Path, level: str) -> None:
    """Install the project in place, with the groups of *level*, everything pinned."""
    print(f"installing what `{level}` needs into {shown(venv)}", flush=True)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pinned: list[str | Path] = ["-c", ROOT / "constraints.txt"]
    # the pip that Python brings along may be too old to know dependency groups
    pip(venv, "--upgrade", *pinned, "pip")
    # without isolation the build is pinned too, and needs the registry only once
    pip(venv, *pinned, *project["build-system"]["requires"], EDITABLE)
    groups = [part for group in LEVELS[level] for part in ("--group", f"{ROOT / 'pyproject.toml'}:{group}")]
    pip(venv, *pinned, "--no-build-isolation", "-e", ROOT, *groups)


def pip(venv: Path, *arguments: str | Path) -> None:
    """Run ``pip install`` in the environment."""
    run(venv / "bin" / "python", "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check", *arguments)


def run(*command: str | Path) -> None:
    """Run a program in the project's folder; it talks to the person itself."""
    subprocess.run(command, check=True, cwd=ROOT)


def shown(path: Path) -> str:
    """A path as a person in the project's folder would write it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def lock() -> None:
    """Write constraints.txt: the newest versions that fit every Python at hand, the oldest Python first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = ",".join(project["project"].get("optional-dependencies", {}))
    wanted = [f".[{extras}]" if extras else ".", EDITABLE, "pip", *project["build-system"]["requires"]]
    # what the console is built with is asked for by the build alone, and pinned like the rest
    wanted += re.findall(r'^NODE = "(.+)"$', (ROOT / "hatch_build.py").read_text(), re.MULTILINE)
    groups = [part for group in project["dependency-groups"] for part in ("--group", group)]
    work = ROOT / ".venv-lock"
    venv = work / "venv"
    found: dict[str, str] = {}
    try:
        run(sys.executable, "-m", "venv", "--clear", venv)
        pip(venv, "--upgrade", "pip")
        for python in pythons():
            print(f"resolving for {python}", flush=True)
            (work / "pins.txt").write_text(lines(found))
            report = work / "report.json"
            pins: list[str | Path] = ["-c", work / "pins.txt", "--dry-run", "--ignore-installed", "--report", report]
            # pip's own --python runs this new pip on that interpreter, whatever pip that one has
            here = ["-m", "pip", "--python", python, "install", "-q", "--no-input", "--disable-pip-version-check"]
            run(venv / "bin" / "python", *here, *pins, *wanted, *groups)
            for item in json.loads(report.read_text())["install"]:
                if item["metadata"]["name"] != project["project"]["name"]:
                    found.setdefault(item["metadata"]["name"], item["metadata"]["version"])
    finally:
        shutil.rmtree(work, ignore_errors=True)
    (ROOT / "constraints.txt").write_text(lines(found))
    print(f"{len(found)} versions written to constraints.txt")


def lines(found: dict[str, str]) -> str:
    """The text of a constraints file, sorted as people sort."""
    return "".join(f"{name}=={found[name]}\n" for name in sorted(found, key=str.lower))


def pythons() -> list[str]:
    """The interpreters at hand that the project supports, one per version, oldest first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    supported = [m[1] for text in project["classifiers"] if (m := re.search(r":: (3\.\d+)$", text))]
    first = (next(candidates(version), None) for version in supported)
    return [path for path in first if path]


def candidates(version: str) -> Iterator[str]:
    """Paths of working interpreters of one version: on the path, or where pyenv keeps them."""
    managed = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for path in [shutil.which(f"python{version}"), *map(str, sorted(managed.glob(f"{version}.*/bin/python")))]:
        if not path:
            continue
        code = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.startswith(f"{version} "):
            yield done.stdout.split(maxsplit=1)[1].strip()


if __name__ == "__main__":
    sys.exit(main())
