"""The version of the code that a run was made of."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import shutil
import subprocess
from pathlib import Path

import pytest

from binp import BINP
from binp.operations import Operation, Operations
from binp.runs._version import Versions

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

CODE = "def op():\n    pass\n"


def git(folder: Path, *arguments: str) -> str:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    command = ["git", *settings, "-c", "commit.gpgsign=false", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def tree(tmp_path):
    """A git tree with one commit."""
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    for name in ("ops.py", "sub/more.py", "a-very-long-name-of-a-file.py"):
        (folder / name).write_text(CODE)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=one")
    return folder


def operation_in(file: Path) -> Operation:
    spec = importlib.util.spec_from_file_location("ops", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Operation(kind="action", name="op", function=module.op)


def version(file: Path) -> str | None:
    return Versions(Operations()).of(operation_in(file))


def short(file: Path) -> str:
    content = file.read_bytes()
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest()[:8]


@needs_git
@pytest.mark.parametrize("name", ["ops.py", "sub/more.py", "a-very-long-name-of-a-file.py"])
def test_a_file_as_it_was_committed(tree, name):
    """The version is the commit of the tree around the file."""
    assert version(tree / name) == git(tree, "rev-parse", "HEAD")[:12]


@needs_git
def test_a_file_that_was_changed(tree):
    """What is not what git knows of is told apart by its own hash, and so is a file that git does not know."""
    (tree / "ops.py").write_text(CODE + "# changed\n")
    (tree / "new.py").write_text(CODE)
    commit = git(tree, "rev-parse", "HEAD")[:12]
    assert version(tree / "ops.py") == f"{commit}+{short(tree / 'ops.py')}"
    assert version(tree / "new.py") == f"{commit}+{short(tree / 'new.py')}"


@needs_git
def test_where_git_keeps_a_commit(tree, tmp_path):
    """The commit is found in packed references, in a further tree, and where no branch is checked out."""
    commit = git(tree, "rev-parse", "HEAD")[:12]
    git(tree, "pack-refs", "--all")
    assert version(tree / "ops.py") == commit
    git(tree, "worktree", "add", "--quiet", "-b", "other", str(tmp_path / "other"))
    assert version(tmp_path / "other" / "ops.py") == commit
    git(tree, "checkout", "--quiet", "--detach")
    assert version(tree / "ops.py") == commit


@needs_git
@pytest.mark.parametrize("number", ["3", "4"])
def test_other_kinds_of_index(tree, number):
    """An index with flags is read; one that is compressed is not, and then the file speaks for itself."""
    if number == "3":
        (tree / "later.py").write_text(CODE)
        git(tree, "add", "--intent-to-add", "later.py")
    else:
        git(tree, "update-index", "--index-version", "4")
    commit = git(tree, "rev-parse", "HEAD")[:12]
    assert version(tree / "ops.py") == (commit if number == "3" else f"{commit}+{short(tree / 'ops.py')}")


@needs_git
def test_before_the_first_commit_and_with_a_broken_tree(tree, tmp_path):
    """Without a commit, or with an index or a reference that is damaged, something true is said."""
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    git(fresh, "init", "--quiet")
    (fresh / "ops.py").write_text(CODE)
    assert version(fresh / "ops.py") == f"file {short(fresh / 'ops.py')}"
    (tree / ".git" / "index").write_bytes(b"DIRC\0\0\0\2\0\0\0\5broken")
    assert version(tree / "ops.py") == f"file {short(tree / 'ops.py')}"
    (tree / ".git" / "index").write_bytes(b"other" * 10)
    assert version(tree / "ops.py").endswith(f"+{short(tree / 'ops.py')}")


def test_a_file_in_no_tree(tmp_path):
    """Without git the version is the hash of the file."""
    (tmp_path / "ops.py").write_text(CODE)
    assert version(tmp_path / "ops.py") == f"file {short(tmp_path / 'ops.py')}"


@needs_git
def test_an_installed_package_belongs_to_no_tree(tree):
    """A library in a virtual environment inside of a tree is not of that tree's version."""
    folder = tree / ".venv" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "ops.py").write_text(CODE)
    assert version(folder / "ops.py") == f"file {short(folder / 'ops.py')}"


def test_what_has_no_file(tmp_path):
    """What is in no file, or in one that is gone, has no version."""
    namespace: dict = {}
    exec(CODE, namespace)
    assert Versions(Operations()).of(Operation(kind="action", name="op", function=namespace["op"])) is None
    assert Versions(Operations()).of(Operation(kind="action", name="op", function=print)) is None
    (tmp_path / "ops.py").write_text(CODE)
    operation = operation_in(tmp_path / "ops.py")
    (tmp_path / "ops.py").unlink()
    assert Versions(Operations()).of(operation) is None


def test_the_version_is_that_of_the_beginning(tmp_path):
    """A file that is changed while it is served is not what runs: its version stays what it was."""
    file = tmp_path / "ops.py"
    file.write_text(CODE)
    operations = Operations()
    operations.add(operation_in(file), logger=logging.getLogger())
    versions = Versions(operations)
    before = short(file)
    file.write_text(CODE + "# later\n")
    assert versions.of(operations.get("action", "op")) == f"file {before}"


async def test_each_run_has_its_version(binp: BINP):
    """The version of the file that an action is defined in is kept with its runs."""

    @binp.action(name="op")
    async def op():
        pass

    run = await (await binp.action.start("op")).wait()
    assert run.version == Versions(Operations()).of(binp.action.find("op"))
    assert run.version
