"""What is committed: pinned and portable, without the host of a registry or the path of a machine in it."""

import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

Plant = Callable[[Mapping[str, str]], Path]
ExpectNone = Callable[[Iterable[str]], None]

# written in halves, because this file is looked at too
REGISTRIES = ("py" + "pi.org", "pythonhosted" + ".org", "registry.npm" + "js.org", "registry.yarn" + "pkg.com")
FORBIDDEN = {
    "the host of a registry": re.compile("|".join(map(re.escape, REGISTRIES))),
    "the path of a machine": re.compile(r"(?<![\w./~])/(?:home|Users)/\w+|(?<![\w./~])/(?:root|work)/[\w.]"),
    "a registry of one's own": re.compile(r"^\s*--?(?:extra-)?index-url|^\s*--find-links|^registry\s*=", re.MULTILINE),
}
FRAGMENT = re.compile(r"[\w+.-]+\.(?:added|changed|fixed|removed)\.md")


@pytest.fixture(scope="session")
def tracked(checkout: Path) -> list[str]:
    """The files under version control that are there, by name."""
    git = shutil.which("git")
    if git is None or not (checkout / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run([git, "ls-files", "-z"], cwd=checkout, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (checkout / name).is_file()]


@pytest.fixture(scope="session")
def project(checkout: Path) -> dict[str, Any]:
    """The project's own description of itself."""
    return tomllib.loads((checkout / "pyproject.toml").read_text())


def offences(root: Path, names: Iterable[str]) -> Iterator[str]:
    """What must not be in a committed file."""
    for name in names:
        if Path(name).name == "uv.lock":
            yield f"{name}: a lock that names registries"
        try:
            text = (root / name).read_text()
        except UnicodeDecodeError:
            continue
        for what, pattern in FORBIDDEN.items():
            for found in pattern.finditer(text):
                line = text.count("\n", 0, found.start()) + 1
                yield f"{name}:{line}: {what}: {found[0].strip()}"
        if Path(name).name == "package-lock.json" and re.search(r'"resolved"\s*:\s*"http', text):
            yield f"{name}: a lock with addresses"


def unpinned(lines: Iterable[str]) -> Iterator[str]:
    """Lines of a constraints file that are no exact version."""
    for line in lines:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*==[\w.+!]+", line):
            yield line


def normal(requirement: str) -> str:
    """The normalised name in a requirement."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement.strip())[0]).lower()


def test_nothing_of_a_machine_is_committed(checkout: Path, tracked: list[str], expect_none: ExpectNone) -> None:
    """No committed file names a registry's host or a path of somebody's machine."""
    expect_none(offences(checkout, tracked))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.md", f"see\nhttps://{REGISTRIES[0]}/simple\n", f"a.md:2: the host of a registry: {REGISTRIES[0]}"),
        ("a.txt", f"x @ https://files.{REGISTRIES[1]}/x\n", f"a.txt:1: the host of a registry: {REGISTRIES[1]}"),
        ("a.py", 'P = "/ho' + 'me/me/x"\n', "a.py:1: the path of a machine: /ho" + "me/me"),
        ("a.py", "# in /ro" + "ot/x\n", "a.py:1: the path of a machine: /ro" + "ot/x"),
        ("a.cfg", "regis" + "try=https://x\n", "a.cfg:1: a registry of one's own: regis" + "try="),
        ("a.txt", "--index" + "-url x\n", "a.txt:1: a registry of one's own: --index" + "-url"),
        ("uv.lock", "", "uv.lock: a lock that names registries"),
        ("ui/package-lock.json", '{"resolved": "https://x"}', "ui/package-lock.json: a lock with addresses"),
    ],
)
def test_what_is_of_a_machine_is_found(plant: Plant, name: str, text: str, message: str) -> None:
    """A registry's host, a home folder and a lock with addresses are offences, with their line."""
    assert [message] == list(offences(plant({name: text}), [name]))


def test_ordinary_paths_are_fine(plant: Plant) -> None:
    """Addresses and paths that only look alike are no offence, and binary files are passed over."""
    root = plant({"a.md": "https://example.org/home/x ~/.ssh /srv/work/x ./home/x /rooted\n"})
    (root / "b.png").write_bytes(b"\x89PNG\xff")

    assert [] == list(offences(root, ["a.md", "b.png"]))


def test_the_lock_is_exact(checkout: Path) -> None:
    """constraints.txt holds exact versions only, one a line, in order, each name once."""
    lines = (checkout / "constraints.txt").read_text().splitlines()
    names = [normal(line) for line in lines]

    assert [] == list(unpinned(lines))
    assert sorted(set(names)) == sorted(names)
    assert lines == sorted(lines, key=lambda line: line.partition("==")[0].lower())


@pytest.mark.parametrize("line", ["", "a", "a>=1", "a @ https://x", "a==1 ; python_version<'3.12'", "-e .", "# a"])
def test_an_inexact_lock_is_found(line: str) -> None:
    """A range, an address, a marker and a comment are no exact version."""
    assert [line] == list(unpinned(["b==1.0.post1", line]))


def test_the_lock_is_complete(checkout: Path, project: dict[str, Any]) -> None:
    """Everything that the project asks for, also to build and to test itself, is pinned."""
    asked = [*project["build-system"]["requires"], *project["project"]["dependencies"], "pip", "editables"]
    for extra in project["project"]["optional-dependencies"].values():
        asked += extra
    for group in project["dependency-groups"].values():
        asked += [text for text in group if isinstance(text, str)]
    pinned = {normal(line) for line in (checkout / "constraints.txt").read_text().splitlines()}

    assert set() == {normal(text) for text in asked} - pinned


def test_dependencies_are_few(project: dict[str, Any]) -> None:
    """At most twelve direct dependencies without extras, each with a lower bound and no upper one."""
    dependencies = project["project"]["dependencies"]

    assert len(dependencies) <= 12
    assert [] == [text for text in dependencies if not re.fullmatch(r"[\w-]+>=[\d.]+", text)]


def test_the_packages_are_those_of_the_contracts(checkout: Path) -> None:
    """What is built, what is typed and what the import contracts watch are the same packages."""
    packages = {path.parent.name for path in (checkout / "src").glob("*/__init__.py")}
    watched = re.search(r"root_packages =\n((?: +\w+\n)+)", (checkout / ".importlinter").read_text())

    assert watched
    assert packages == set(watched[1].split())
    assert packages == {path.parent.name for path in (checkout / "src").glob("*/py.typed")}


def test_a_licence_is_there(checkout: Path, project: dict[str, Any]) -> None:
    """The licence that the project declares lies beside it."""
    assert project["project"]["license"] == "MIT"
    assert (checkout / "LICENSE").read_text().startswith("MIT License")


def test_changelog_fragments_are_well_formed(checkout: Path) -> None:
    """Each fragment is named for its kind and is one short paragraph in the user's words."""
    wrong = [
        path.name
        for path in (checkout / "changelog.d").iterdir()
        if path.name != ".gitignore"
        and (
            not FRAGMENT.fullmatch(path.name)
            or not re.fullmatch(r"(\*\*)?[A-Z`].*[.!?]\n", path.read_text(), re.DOTALL)
        )
    ]

    assert [] == wrong
