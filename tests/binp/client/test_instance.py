"""A running server is found beside its database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from binp import client
from binp.client import Instance, NotServed

FIX = "\n  fix:   start it with `binp run FILE`, or name its database with --db, or its address with --url"


def test_what_was_published_is_found(database: Path) -> None:
    """An instance is found where it published itself, for its owner's eyes only, until it takes that back."""
    client.publish(database, "http://127.0.0.1:1")
    client.publish(database, "http://127.0.0.1:2")
    place = database.with_name("data.db.serving")
    found = client.find(database)
    mode = place.stat().st_mode & 0o777
    client.withdraw(database)
    client.withdraw(database)

    assert found == Instance("http://127.0.0.1:2", os.getpid())
    assert mode == 0o600
    assert sorted(path.name for path in database.parent.iterdir()) == ["data.db"]


def test_only_the_own_word_is_taken_back(database: Path) -> None:
    """A process that ends leaves alone what another one has published since."""
    place = database.with_name("data.db.serving")
    place.write_text('{"url": "http://127.0.0.1:1", "pid": 1}')
    client.withdraw(database)

    assert client.find(database) == Instance("http://127.0.0.1:1", 1)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Publishing where there is no folder raises, and leaves nothing."""
    with pytest.raises(FileNotFoundError):
        client.publish(tmp_path / "none" / "data.db", "http://127.0.0.1:1")


def test_a_draft_is_not_left_behind(database: Path) -> None:
    """When the place cannot be replaced, no draft stays."""
    database.with_name("data.db.serving").mkdir()
    with pytest.raises(OSError, match="data.db.serving"):
        client.publish(database, "http://127.0.0.1:1")

    assert len(list(database.parent.iterdir())) == 2


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as done:
        pass
    return done.pid


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "no server is running for data.db\n  where: FOLDER/data.db" + FIX),
        (
            "{",
            (
                "it is unclear which server runs for data.db: the file is damaged\n  where: FOLDER/data.db.serving\n"
                "  fix:   delete it, and start the server again"
            ),
        ),
        (
            '{"url": "http://127.0.0.1:1", "pid": PID}',
            (
                "the server of data.db is gone: process PID was killed\n  where: FOLDER/data.db.serving\n"
                "  fix:   start it again with `binp run FILE`"
            ),
        ),
    ],
)
def test_who_is_not_found(database: Path, content: str | None, text: str) -> None:
    """Nobody, a damaged file, and one of a process that was killed: each is told apart, with what to do."""
    pid = str(dead_pid())
    if content is not None:
        database.with_name("data.db.serving").write_text(content.replace("PID", pid))

    with pytest.raises(NotServed) as caught:
        client.find(database)
    assert str(caught.value) == text.replace("FOLDER", str(database.parent)).replace("PID", pid)


def test_no_database(tmp_path: Path) -> None:
    """Where there is no database, that is what is said."""
    with pytest.raises(NotServed) as caught:
        client.find(tmp_path / "data.db")
    assert str(caught.value) == f"there is no database here\n  where: {tmp_path}/data.db{FIX}"


def test_a_file_that_cannot_be_read(database: Path) -> None:
    """A file that this user may not read is told from one that is not there."""
    database.with_name("data.db.serving").mkdir()

    with pytest.raises(NotServed, match="it is unclear which server runs for data.db: Is a directory"):
        client.find(database)


def test_a_server_that_waits_says_for_what(database: Path) -> None:
    """Who waits for its file to be fixed is no server yet; it is not said where another process serves."""
    client.publish_waiting(database, "it is broken", os.getpid())
    with pytest.raises(NotServed) as caught:
        client.find(database)
    client.withdraw(database, os.getpid())
    database.with_name("data.db.serving").write_text('{"url": "http://127.0.0.1:1", "pid": 1}')
    client.publish_waiting(database, "it is broken", os.getpid())

    assert caught.value.what == "the server of data.db waits for its file to be fixed: it is broken"
    assert client.find(database) == Instance("http://127.0.0.1:1", 1)


def test_what_a_killed_process_said_is_no_obstacle(database: Path) -> None:
    """A process that is gone serves nothing, so another one may say that it waits."""
    database.with_name("data.db.serving").write_text(f'{{"url": "http://127.0.0.1:1", "pid": {dead_pid()}}}')
    client.publish_waiting(database, "it is broken", os.getpid())
    with pytest.raises(NotServed, match="waits for its file"):
        client.find(database)
