"""The documentation runs, and names every error, setting, command and environment variable in a heading."""

import ast
import dataclasses
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest

Plant = Callable[[Mapping[str, str]], Path]
ExpectNone = Callable[[Iterable[str]], None]
PytestRun = Callable[..., subprocess.CompletedProcess[str]]

OURS = ("buvar", "buvar_aiohttp", "binp")
#: What still waits for its heading, one a line. A line that is done or gone must be taken out: the list only shrinks.
WAITING = "tests/undocumented.txt"


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    """Dotted name and file of all our modules, private ones included, programs left out."""
    for package in OURS:
        for path in sorted((root / "src" / package).rglob("*.py")):
            parts = path.relative_to(root / "src").with_suffix("").parts
            if parts[-1] != "__main__":
                yield ".".join(parts).removesuffix(".__init__"), path


def error_classes(root: Path) -> set[str]:
    """Names of the errors that a person can meet: what explains itself, and all public classes that descend from it.

    Read from the text: a module whose driver is not installed counts too.
    """
    bases = {
        node.name: {getattr(base, "attr", None) or getattr(base, "id", None) for base in node.bases}
        for _, path in modules(root)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    }
    found = {"Explained"} & set(bases)
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return {name for name in found if not name.startswith("_")}


def settings() -> set[str]:
    """Names of the platform's settings, those of a section in it with a dot."""
    module = importlib.import_module("binp.settings")
    klass = getattr(module, "Settings", None)
    return set(field_names(klass())) if klass else set()


def field_names(defaults: Any, path: str = "") -> Iterator[str]:
    for field in dataclasses.fields(defaults):
        value = getattr(defaults, field.name)
        if dataclasses.is_dataclass(value):
            yield from field_names(value, f"{path}{field.name}.")
        else:
            yield path + field.name


def commands() -> set[str]:
    """The command lines `binp ...`, groups and their members."""
    main = getattr(importlib.import_module("binp.cli"), "main", None)
    return set(command_lines(main, "binp")) if isinstance(main, click.Command) else set()


def command_lines(command: click.Command, line: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if (member := command.get_command(context, name)) and not member.hidden:
                yield from command_lines(member, f"{line} {name}")
    else:
        yield line


def variables(root: Path) -> set[str]:
    """Environment variables that the code names: whatever is looked up in something called environ."""
    return {name for _, path in modules(root) for name in looked_up(ast.parse(path.read_text()))}


def looked_up(tree: ast.Module) -> Iterator[str]:
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(value=place, slice=key):
                pass
            case ast.Compare(left=key, ops=[ast.In() | ast.NotIn()], comparators=[place]):
                pass
            case ast.Call(func=ast.Attribute(value=place, attr="get" | "pop" | "setdefault"), args=[key, *_]):
                pass
            case ast.Call(func=ast.Attribute(attr="getenv") | ast.Name(id="getenv") as place, args=[key, *_]):
                pass
            case _:
                continue
        if (getattr(place, "attr", None) or getattr(place, "id", "")) in ("environ", "_environ", "getenv"):
            value = key.value if isinstance(key, ast.Constant) else constants.get(getattr(key, "id", ""))
            if isinstance(value, str):
                yield value


def things(root: Path) -> set[str]:
    """Everything that needs a heading, as `kind name`."""
    named = settings()
    return {
        *(f"error {name}" for name in error_classes(root)),
        *(f"setting {name}" for name in named),
        *(f"command {name}" for name in commands()),
        *(
            f"variable {name}"
            for name in variables(root) | {f"BINP_{name.replace('.', '_').upper()}" for name in named}
        ),
    }


def headings(root: Path) -> set[str]:
    """What stands in backticks in a heading of a page under docs/; code blocks have none."""
    found: set[str] = set()
    for path in sorted((root / "docs").rglob("*.md")):
        prose = re.sub(r"^(```|~~~).*?^\1", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        for heading in re.findall(r"^#+ (.*)$", prose, re.MULTILINE):
            found.update(re.findall(r"`([^`]+)`", heading))
    return found


def undocumented(needed: Iterable[str], root: Path) -> set[str]:
    there = headings(root)
    return {thing for thing in needed if thing.partition(" ")[2] not in there}


def waiting(checkout: Path) -> set[str]:
    return set((checkout / WAITING).read_text().splitlines())


def test_everything_has_its_heading(checkout: Path, expect_none: ExpectNone) -> None:
    """Every error class, setting, command and environment variable has a heading, but for those known to wait."""
    expect_none(undocumented(things(checkout), checkout) - waiting(checkout))


def test_nothing_waits_that_is_done_or_gone(checkout: Path, expect_none: ExpectNone) -> None:
    """What has its heading by now, or is no more, is taken off the list of what waits."""
    expect_none(waiting(checkout) - undocumented(things(checkout), checkout))


def test_headings_are_found(plant: Plant) -> None:
    """Names in backticks count in headings of any page and depth, not in prose and not in code blocks."""
    root = plant(
        {
            "docs/a.md": "# `One`\n`Two`\n```text\n# `Three`\n```\n## `Four` and `five six`\n",
            "docs/deep/b.md": "### `Seven`\n",
        }
    )

    assert headings(root) == {"One", "Four", "five six", "Seven"}
    assert undocumented({"error One", "error Two", "command five six"}, root) == {"error Two"}


def test_variables_are_found() -> None:
    """A variable is seen however it is looked up, also through a constant."""
    code = """
NAME = "FIVE"
os.environ["ONE"], os.environ.get("TWO"), "THREE" in environ, os.getenv("FOUR"), self._environ.pop(NAME, None)
other["SIX"], other.get("SEVEN"), os.environ[unknown]
"""
    assert set(looked_up(ast.parse(code))) == {"ONE", "TWO", "THREE", "FOUR", "FIVE"}


def test_commands_are_found() -> None:
    """Members of groups are named in full, hidden ones are not."""
    main = click.Group("binp")
    main.add_command(click.Command("run"))
    main.add_command(click.Command("secretly", hidden=True))
    main.add_command(group := click.Group("runs"))
    group.add_command(click.Command("list"))

    assert set(command_lines(main, "binp")) == {"binp run", "binp runs list"}


def test_errors_are_found(checkout: Path, plant: Plant) -> None:
    """Whatever descends from what explains itself is an error that a person can meet, unless it is private."""
    root = plant(
        {
            "src/buvar/errors.py": "class Explained(Exception): ...\nclass BuvarError(Explained): ...\n",
            "src/binp/new.py": "class Own(errors.BuvarError, LookupError): ...\nclass Not: ...\n",
            "src/binp/_hidden.py": "class _Inner(Own): ...\nclass Deep(_Inner): ...\n",
        }
    )

    assert error_classes(root) == {"Explained", "BuvarError", "Own", "Deep"}
    assert {"Explained", "BuvarError", "BinpError", "UsageError"} <= error_classes(checkout)


@pytest.fixture
def run_pages(checkout: Path, plant: Plant, clean_environ: dict[str, str]) -> PytestRun:
    """Run pages with the project's own settings, in a tree of their own."""

    def run(pages: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        ours = {name: (checkout / name).read_text() for name in ("conftest.py", "pyproject.toml")}
        root = plant({**ours, **pages})
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, *pages]
        return subprocess.run(command, capture_output=True, text=True, cwd=root, env=clean_environ, timeout=200)

    return run


PAGE = """# A page

```python
import asyncio, contextvars, dataclasses, pathlib, typing

state = contextvars.ContextVar("state")
state.set(1)
pathlib.Path("data.db").write_text("")
```

A loop and a context last from block to block:

```python
lock = asyncio.Lock()
await lock.acquire()
assert state.get() == 1
state.set(2)
```

```python
assert lock.locked() and state.get() == 2
assert [path.name for path in pathlib.Path().iterdir()] == ["data.db"]

@dataclasses.dataclass
class Later:
    next: "Later | None" = None

assert typing.get_type_hints(Later)["next"] == Later | None
assert (await asyncio.gather(asyncio.sleep(0, 3))) == [3]
```

```console
$ not run
```

<!--- skip: next -->

```python
raise SystemExit("skipped")
```
"""


def test_pages_run(run_pages: PytestRun, tmp_path: Path) -> None:
    """Blocks share a namespace, a loop and a context, await at top level, and work in a folder of their own."""
    done = run_pages({"README.md": PAGE, "docs/a.md": PAGE, "docs/deep/b.md": PAGE})

    assert done.returncode == 0, done.stdout
    assert "15 passed" in done.stdout
    assert not list(tmp_path.rglob("data.db"))


def test_pages_run_in_parallel(run_pages: PytestRun) -> None:
    """Distributed over processes, the blocks of a page stay together and in order."""
    done = run_pages({"README.md": PAGE, "docs/a.md": PAGE}, "-n", "2", "--dist", "loadfile")

    assert done.returncode == 0, done.stdout
    assert "10 passed" in done.stdout


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("assert 1 == 2", "assert 1 == 2"),
        ("await nothing()", "NameError: name 'nothing' is not defined"),
        ("import warnings\nwarnings.warn('left')", "UserWarning: left"),
    ],
)
def test_a_broken_block_is_found(run_pages: PytestRun, block: str, message: str) -> None:
    """A block that fails is a red test that points to the line in the page."""
    done = run_pages({"docs/a.md": f"# A page\n\n```python\nx = 1\n{block}\n```\n"})

    assert done.returncode == 1, done.stdout
    assert message in done.stdout
    assert f"docs/a.md:{4 + len(block.splitlines())}" in done.stdout
