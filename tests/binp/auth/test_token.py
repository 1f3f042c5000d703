"""The token file: made once, private, and refused when it cannot be trusted."""

from __future__ import annotations

import logging
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from binp.auth import TokenFileError, read_or_create_token, token_path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.db.token"


def test_created_private_and_kept(path: Path) -> None:
    """N-18: the token has 32 random bytes, is its owner's alone, and stays the same."""
    token = read_or_create_token(path)

    assert len(token) == 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_or_create_token(path) == token
    assert [entry.name for entry in path.parent.iterdir()] == ["data.db.token"]


def test_private_under_any_umask(path: Path) -> None:
    """N-18: the token is private whatever the umask is."""
    old = os.umask(0)
    try:
        read_or_create_token(path)
    finally:
        os.umask(old)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_many_at_once_get_one_token(path: Path) -> None:
    """N-18: workers that start at the same moment agree on one token."""
    with ThreadPoolExecutor(16) as pool:
        tokens = set(pool.map(lambda _: read_or_create_token(path), range(64)))

    assert len(tokens) == 1


def test_without_hard_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """N-18: workers agree on one token also on a file system without hard links."""

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with ThreadPoolExecutor(16) as pool:
        tokens = set(pool.map(lambda _: read_or_create_token(path), range(64)))

    assert len(tokens) == 1
    assert [entry.name for entry in path.parent.iterdir()] == ["data.db.token"]


def test_open_file_is_made_private(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """N-18: a token that others can read is made private again, and that is said."""
    token = read_or_create_token(path)
    path.chmod(0o644)

    with caplog.at_level(logging.WARNING):
        assert read_or_create_token(path) == token

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [record.getMessage() for record in caplog.records] == [
        f"others could use the token file {path} (mode 644), which is private again: delete it if they must not know it"
    ]


@pytest.mark.parametrize("content", ["short", "x" * 43 + " y", "ü" * 50])
def test_no_token(path: Path, content: str) -> None:
    """N-18: a file that holds no token is refused, never replaced."""
    path.write_text(content)
    path.chmod(0o600)

    with pytest.raises(TokenFileError) as caught:
        read_or_create_token(path)

    assert str(caught.value) == (
        f"the token file holds no token\n  where: {path}\n  fix:   delete it: a new one is made at the next start"
    )
    assert path.read_text() == content


def test_symbolic_link(path: Path, tmp_path: Path) -> None:
    """N-18: a link is not followed to a file somebody else may have chosen."""
    (tmp_path / "other").write_text("x" * 43)
    path.symlink_to(tmp_path / "other")

    with pytest.raises(TokenFileError, match="is a symbolic link"):
        read_or_create_token(path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_no_regular_file(path: Path, make: Any) -> None:
    """N-18: what is not a regular file is refused, and nothing waits for a pipe."""
    make(path)

    with pytest.raises(TokenFileError, match="is not a regular file"):
        read_or_create_token(path)


def test_no_directory(tmp_path: Path) -> None:
    """N-18: where the file cannot be made, the message says where and why."""
    with pytest.raises(TokenFileError, match="cannot be used: No such file or directory"):
        read_or_create_token(tmp_path / "nowhere" / "data.db.token")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give a file away")
def test_file_of_somebody_else(path: Path) -> None:
    """N-18: a file that somebody else owns is refused: its owner knows the token."""
    read_or_create_token(path)
    os.chown(path, 12345, 12345)

    with pytest.raises(TokenFileError, match="belongs to user 12345"):
        read_or_create_token(path)


def test_path() -> None:
    """N-18: the token of a database file lies beside it."""
    assert token_path("sqlite:////srv/data.db") == Path("/srv/data.db.token")
    assert token_path("sqlite:///data.db") == Path("data.db.token")
    assert token_path("postgresql://u:p@h/db").name.startswith("binp-")
