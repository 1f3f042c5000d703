"""Databases that cannot be opened: what somebody sees who starts a server with one."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

OPS = """
from binp import BINP

binp = BINP()

@binp.action
async def put(value: str) -> None:
    await binp.kv.set(value=value)
"""

Run = Callable[..., CompletedProcess[str]]

POSTGRES = """\
Error: this version keeps its data in SQLite files alone, not in PostgreSQL
  where: the URL of the database, 'postgresql://me:***@host/ops'
"""


@pytest.fixture
def refused(tmp_path: Path, binp: Run) -> Callable[..., str]:
    """Try to serve a database; what is printed, which is one message, without a traceback, and status 2."""
    (tmp_path / "ops.py").write_text(OPS)

    def run(*arguments: str, **variables: str) -> str:
        done = binp("run", "ops.py", "--port", "0", *arguments, **variables)
        assert done.returncode == 2, done
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        # the log is JSON, and of no interest here
        text = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("{"))
        return text.replace(str(tmp_path), "FOLDER")

    return run


@pytest.fixture
def database(tmp_path: Path, serve: Callable[..., Any]) -> Path:
    """A database that was served and closed."""
    (tmp_path / "ops.py").write_text(OPS)
    server = serve()
    for number in range(5):
        server.ask("POST", "/internal/action/put", {"value": str(number) * 5000})
    assert server.stop() == 0
    return tmp_path / "data.db"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A directory on a disk of its own, mounted with options."""
    mounted: set[Path] = set()

    def mount(options: str) -> Path:
        place = tmp_path / "disk"
        place.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
        mounted.add(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_directory_that_is_missing(refused: Callable[..., str]) -> None:
    """The directory is not made by chance; how to make it is said."""
    assert refused("--db", "no such/data.db") == (
        "Error: the directory of the database does not exist\n"
        "  where: FOLDER/no such/data.db\n  fix:   make it: mkdir -p 'FOLDER/no such'"
    )


def test_a_directory_instead_of_a_file(refused: Callable[..., str], tmp_path: Path) -> None:
    """A directory is no database."""
    (tmp_path / "data.db").mkdir()
    assert refused() == "Error: the database is a directory\n  where: FOLDER/data.db\n  fix:   name a file in it"


def test_a_picture(refused: Callable[..., str], tmp_path: Path) -> None:
    """What is no database at all is left as it is."""
    picture = b"\x89PNG\r\n\x1a\n" + os.urandom(5000)
    (tmp_path / "data.db").write_bytes(picture)

    assert refused() == (
        "Error: the file is not a database (file is not a database)\n"
        "  where: FOLDER/data.db\n  fix:   name another file, or put this one aside"
    )
    assert (tmp_path / "data.db").read_bytes() == picture


def test_a_database_of_another_program(refused: Callable[..., str], tmp_path: Path) -> None:
    """Tables of somebody else are not touched."""
    with sqlite3.connect(tmp_path / "data.db") as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()

    assert refused() == (
        "Error: the database was made by another program\n"
        "  where: FOLDER/data.db\n  fix:   name another file; this one is left as it is"
    )


def test_a_damaged_header(refused: Callable[..., str], database: Path) -> None:
    """Flipped bytes at the beginning of the file make it another kind of file."""
    with database.open("r+b") as file:
        file.write(os.urandom(16))
    assert refused().startswith("Error: the file is not a database (file is not a database)\n  where: FOLDER/data.db\n")


def test_a_damaged_page(refused: Callable[..., str], database: Path, binp: Run) -> None:
    """Flipped bytes in the middle of the file are found at the start, before anything is written on top of them."""
    size = database.stat().st_size
    with database.open("r+b") as file:
        for page in range(5, size // 4096, 2):
            file.seek(page * 4096)
            file.write(b"\xff" * 64)

    text = refused()
    assert re.fullmatch(
        r"Error: the database is damaged[^\n]+(\n[^\n]*)?\n  where: FOLDER/data.db\n"
        r"  fix:   look at it with `binp check`; restore a backup with `binp restore`",
        text,
    ), text
    assert binp("check").returncode == 1


def test_a_newer_schema(refused: Callable[..., str], database: Path, binp: Run) -> None:
    """An older version does not touch what a newer one wrote."""
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO migration VALUES (99, '0099_x.sql', 'x', 1)")
    connection.close()

    text = (
        "Error: the database has schema 99, and this version knows schema 1\n  where: FOLDER/data.db\n"
        "  fix:   install the version that wrote it"
    )
    assert refused() == text
    for command, status in (("check", 1), ("export", 2), ("info", 2), ("migrate", 2)):
        done = binp(command)
        assert (done.returncode, done.stderr.replace(str(database.parent), "FOLDER")) == (status, f"{text}\n")
        assert command == "check" or done.stdout == ""
    # a copy is a copy, whatever is in it; nobody is to rely on it for this version
    done = binp("backup", "copy.db")
    assert done.returncode == 0
    schemas = "the database has schema 99, and this version knows schema 1"
    assert done.stderr == f"The copy is whole, but this version cannot use it: {schemas}\n"
    assert binp("restore", "copy.db").returncode == 2
    with contextlib.closing(sqlite3.connect(database.parent / "copy.db")) as connection:
        assert connection.execute("SELECT max(version) FROM migration").fetchone() == (99,)


def test_a_foreign_lock(refused: Callable[..., str], database: Path) -> None:
    """A program that is not ours and holds the database open for writing is waited for, for a while."""
    foreign = sqlite3.connect(database, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    try:
        assert refused() == (
            "Error: the database is locked by another program (database is locked)\n"
            "  where: FOLDER/data.db\n  fix:   end the program that holds it open for writing"
        )
    finally:
        foreign.close()


def test_two_servers(refused: Callable[..., str], tmp_path: Path, serve: Callable[..., Any]) -> None:
    """The second server of a database names the first."""
    (tmp_path / "ops.py").write_text(OPS)
    first = serve()
    assert re.fullmatch(
        rf"Error: the database is in use by process {first.popen.pid} \(.*binp run ops.py --port 0\) since \S+\n"
        rf"  where: FOLDER/data.db\n"
        rf"  fix:   end that process: kill {first.popen.pid}; "
        rf"or use another database: --db other.db or BINP_DB=other.db",
        refused(),
    )


def test_a_disk_that_cannot_be_written_to(
    refused: Callable[..., str], database: Path, disk: Callable[[str], Path]
) -> None:
    """A file system that is mounted read-only refuses a new database and an old one."""
    place = disk("size=4m")
    shutil.copy(database, place / "old.db")
    disk("remount,ro,size=4m")

    for name in ("old.db", "new.db"):
        assert refused("--db", f"disk/{name}") == (
            f"Error: the database cannot be claimed: Read-only file system\n  where: FOLDER/disk/{name}.owner\n"
            "  fix:   make the database and its directory readable and writable"
        )


def test_a_database_that_is_write_protected(
    database: Path, start: Callable[..., Any], environ: dict[str, str], program: Callable[[str], list[str]]
) -> None:
    """Who may not read or write it is told what to change; then it is served, whoever read it before."""
    # root may do anything to any file, unless this is taken from it
    rights = "-dac_override,-dac_read_search"
    user = ["setpriv", "--bounding-set", rights, "--inh-caps", rights] if os.geteuid() == 0 else []
    if user and (shutil.which("setpriv") is None or subprocess.run([*user, "true"], check=False).returncode):
        pytest.skip("needs setpriv, or somebody else than root")

    def binp(*arguments: str) -> CompletedProcess[str]:
        command = [*user, *program("binp"), *arguments]
        folder = database.parent
        return subprocess.run(
            command, capture_output=True, text=True, cwd=folder, env=environ, timeout=200, check=False
        )

    def refusal(*arguments: str) -> str:
        done = binp(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), done
        return "\n".join(line for line in done.stderr.splitlines() if not line.startswith("{"))

    serve = ("run", "ops.py", "--port", "0")
    database.chmod(0)
    for arguments in (serve, ("check",), ("export",), ("backup", "copy.db")):
        assert refusal(*arguments) == (
            f"Error: the database cannot be opened (unable to open database file)\n  where: {database}\n"
            "  fix:   make the file and its directory readable and writable"
        )
    database.chmod(0o400)
    assert binp("check").returncode == 0
    exported = binp("export")
    assert exported.returncode == 0
    (database.parent / "lines").write_text(exported.stdout)
    assert refusal(*serve) == (
        f"Error: the database cannot be written to (attempt to write a readonly database)\n  where: {database}\n"
        "  fix:   make the file and its directory writable"
    )
    database.chmod(0o600)
    done = binp("import", "lines")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done
    assert start("binp", *serve).link


def test_a_full_disk(
    refused: Callable[..., str],
    tmp_path: Path,
    disk: Callable[[str], Path],
    start: Callable[..., Any],
) -> None:
    """Where there is no space for a new database that is said; when there is, what was begun is no hindrance."""
    place = disk("size=1m")
    full = (
        "Error: there is no space left for the database (database or disk is full)\n"
        "  where: FOLDER/disk/data.db\n  fix:   free some space; nothing that was acknowledged is lost"
    )
    for free in (0, 60):
        (place / "filler").write_bytes(bytes((1024 - free) * 1024))
        assert refused("--db", "disk/data.db") == full
        (place / "filler").unlink()

    server = start("binp", "run", "ops.py", "--port", "0", "--db", "disk/data.db")
    assert server.link
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "Error: the URL of the database is empty\n  where: the URL of the database, ''\n"),
        ("postgresql://me:secret@host/ops", POSTGRES),
        (
            "sqlite:///:memory:",
            "Error: 'sqlite:///:memory:' is not a file: state that ends with the process is not supported\n",
        ),
        ("sqlite://", "Error: 'sqlite://' is not a file: state that ends with the process is not supported\n"),
        ("mysql://host/x", "Error: there is no store for 'mysql' databases\n"),
        ("sqlite:data.db", "Error: 'sqlite:data.db' has too few slashes\n"),
    ],
)
def test_urls_that_name_no_database(refused: Callable[..., str], tmp_path: Path, url: str, text: str) -> None:
    """N-21: what DB_URL cannot be is said in words, without the password, and nothing is made."""
    printed = refused(DB_URL=url)

    assert printed.startswith(text)
    assert "\n  fix:   " in printed
    assert "secret" not in printed
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("data")] == []


def test_a_database_that_is_removed_while_it_is_served(tmp_path: Path, serve: Callable[..., Any]) -> None:
    """What would be written into a file that is gone is not acknowledged; the answer says what happened."""
    (tmp_path / "ops.py").write_text(OPS)
    server = serve()
    server.ask("POST", "/internal/action/put", {"value": "1"})
    (tmp_path / "data.db").unlink()

    problem = server.ask("POST", "/internal/action/put", {"value": "2"}, status=503)

    assert problem["detail"] == "the database file was removed or replaced while it was open"
    assert problem["fix"].startswith("end the program, put the file back or restore a backup")


def test_a_disk_that_gets_full_while_it_is_served(
    tmp_path: Path, disk: Callable[[str], Path], start: Callable[..., Any], binp: Run
) -> None:
    """What finds no space fails with words, in the shell as well, and goes on without a restart when there is some."""
    (tmp_path / "ops.py").write_text(OPS)
    place = disk("size=6m")
    server = start("binp", "run", "ops.py", "--port", "0", "--db", "disk/data.db")
    assert server.link
    put = ("action", "invoke", "put", "--db", "disk/data.db", "value=" + "x" * 10_000)
    assert binp(*put).returncode == 0
    with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
    done = binp(*put)
    while done.returncode == 0:
        # what was reserved before is used up first
        done = binp(*put)

    assert "there is no space left for the database" in done.stderr
    assert "free some space; nothing that was acknowledged is lost" in done.stderr
    assert "Traceback" not in done.stderr
    (place / "filler").unlink()
    server.until(lambda: "takes writes again" in server.stderr, "end of the trouble")
    assert binp(*put).returncode == 0
    assert server.stop() == 0


def test_a_lock_that_is_taken_while_it_is_served(tmp_path: Path, serve: Callable[..., Any], binp: Run) -> None:
    """Writes wait for a foreign lock, fail with its cause when it stays, and go on when it is gone."""
    (tmp_path / "ops.py").write_text(OPS)
    server = serve()
    server.ask("POST", "/internal/action/put", {"value": "1"})
    foreign = sqlite3.connect(tmp_path / "data.db", isolation_level=None, timeout=200)
    foreign.execute("BEGIN IMMEDIATE")
    try:
        problem = server.ask("POST", "/internal/action/put", {"value": "2"}, status=503)
        assert problem["detail"].startswith("the database is locked by another program")
        assert problem["fix"] == "end the program that holds it open for writing"
        health = server.ask("GET", "/internal/health", status=503)
        assert health["reason"].startswith("the database is locked by another program")
        # what is there can be looked at meanwhile
        assert [run["state"] for run in server.runs()] == ["succeeded"]
    finally:
        foreign.close()

    server.until(lambda: "takes writes again" in server.stderr, "end of the trouble")
    server.ask("POST", "/internal/action/put", {"value": "3"})
    assert server.ask("GET", "/internal/kv/value?namespace=default&key=value")["value"] == "3"
    assert server.stop() == 0


@pytest.fixture
def ext4(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system of its own that goes read-only when it meets an error."""
    image, place = tmp_path / "image", tmp_path / "disk"
    place.mkdir()
    with image.open("wb") as file:
        file.truncate(64 * 1024 * 1024)
    for command in (["mkfs.ext4", "-q", str(image)], ["mount", "-o", "loop,errors=remount-ro", str(image), str(place)]):
        if shutil.which(command[0]) is None:
            pytest.skip(f"needs {command[0]}")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"needs the right to mount an image: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False, capture_output=True)


def break_down(place: Path) -> None:
    """Let the file system at *place* meet an error, by which Linux makes it read-only."""
    major, minor = os.major(place.stat().st_dev), os.minor(place.stat().st_dev)
    device = Path(f"/sys/dev/block/{major}:{minor}").resolve().name
    try:
        Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("a test")
    except OSError as error:
        pytest.skip(f"needs the right to break a file system: {error}")


def test_a_file_system_that_becomes_read_only_while_it_is_served(
    tmp_path: Path, ext4: Path, start: Callable[..., Any], binp: Run
) -> None:
    """After an error of the disk reading goes on, writes fail with the reason, and what was acknowledged is there."""
    (tmp_path / "ops.py").write_text(OPS)
    serve = ("binp", "run", "ops.py", "--port", "0", "--db", "disk/data.db")
    server = start(*serve)
    assert server.link
    put = ("action", "invoke", "put", "--db", "disk/data.db")
    assert binp(*put, "value=kept").returncode == 0
    break_down(ext4)
    done = binp(*put, "value=lost")

    assert done.returncode == 2
    assert "the file system of the database has become read-only" in done.stderr
    assert "mount it for writing again" in done.stderr
    shown = binp("kv", "get", "value", "--db", "disk/data.db")
    assert "kept" in shown.stdout
    assert server.stop() == 0
    assert "Traceback" not in server.stderr + done.stderr + shown.stderr

    unmount = ["umount", str(ext4)]
    for _ in range(600):
        # whatever looks at files here, a virus scanner or an indexer, may be at it
        if not subprocess.run(unmount, check=False, capture_output=True).returncode:
            break
        time.sleep(0.1)
    assert subprocess.run(["e2fsck", "-fy", str(tmp_path / "image")], capture_output=True, check=False).returncode < 4
    subprocess.run(["mount", "-o", "loop", str(tmp_path / "image"), str(ext4)], check=True)
    again = start(*serve)
    assert again.link
    assert binp("check", "--db", "disk/data.db").returncode == 0
    assert "kept" in binp("kv", "get", "value", "--db", "disk/data.db").stdout
    assert again.stop() == 0
