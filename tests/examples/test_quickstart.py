"""The quickstart does what it says: on this machine's own files, disk and load."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Served:
    """The quickstart, served by ``binp run`` in an empty folder."""

    def __init__(self, example: Path, folder: Path, environ: dict[str, str]) -> None:
        self.folder = folder
        self.environ = environ
        self.binp = str(Path(sys.executable).with_name("binp"))
        with (folder / "log").open("wb") as log:
            self.popen = subprocess.Popen(
                [self.binp, "run", str(example), "--port", "0"], stdout=log, stderr=log, cwd=folder, env=environ
            )

    def until(self, *command: str, **wanted: Any) -> subprocess.CompletedProcess[str]:
        """Run a command again until it succeeds."""
        end = time.monotonic() + 200
        while time.monotonic() < end:
            done = self.run(*command)
            if done.returncode == 0:
                return done
            time.sleep(0.1)
        raise AssertionError((done, (self.folder / "log").read_text()))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.binp, *command], capture_output=True, text=True, cwd=self.folder, env=self.environ, timeout=200
        )

    @property
    def url(self) -> str:
        return str(json.loads((self.folder / "data.db.serving").read_text())["url"])


@pytest.fixture
def served(checkout: Path, tmp_path: Path, clean_environ: dict[str, str]) -> Iterator[Served]:
    environ = {name: value for name, value in clean_environ.items() if not name.startswith(("BINP_", "DB_URL", "DEV"))}
    made = Served(checkout / "examples" / "quickstart.py", tmp_path, environ)
    yield made
    if made.popen.poll() is None:
        made.popen.kill()
        made.popen.wait()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_bytes(b"alpha")
    (folder / "deep" / "b.bin").write_bytes(bytes(range(256)))
    return folder


def test_the_quickstart_works(served: Served, tree: Path) -> None:
    """Its actions, its service and its route do what they say, its runs are kept, and it ends with status 0."""
    import urllib.request

    listed = json.loads(served.until("action", "list", "--json").stdout)
    checksum = served.run("action", "invoke", "checksum", f"folder={tree}", "algorithm=sha512")
    empty = served.run("action", "invoke", "checksum", f"folder={tree}/none")
    disk = served.run("action", "invoke", "disk_usage", "limit=100")
    full = served.run("action", "invoke", "disk_usage", "limit=0")
    with urllib.request.urlopen(f"{served.url}/load", timeout=200) as answer:
        load = json.load(answer)
    runs = json.loads(served.run("journal", "list", "--json").stdout)
    served.popen.send_signal(signal.SIGINT)

    whole = hashlib.sha512()
    for name, content in (("a.txt", b"alpha"), ("deep/b.bin", bytes(range(256)))):
        whole.update(f"{name}\0{len(content)}\0".encode() + content)
    assert [each["name"] for each in listed] == ["checksum", "disk_usage"]
    assert json.loads(checksum.stdout) == {"files": 2, "bytes": 261, "digest": whole.hexdigest()}
    assert checksum.stderr == f"found files  folder={tree} files=2\n"
    assert (empty.returncode, empty.stderr.splitlines()[-1].partition(" failed: ")[2]) == (
        1,
        f"FileNotFoundError: there are no files in {tree}/none",
    )
    assert 0 < json.loads(disk.stdout)["percent"] <= 100
    assert (full.returncode, "% full" in full.stderr) == (1, True)
    assert set(load) == {"load", "mean"}
    assert isinstance(load["load"], float)
    by_name = {run["operation"]: run for run in runs}
    assert set(by_name) == {"checksum", "disk_usage", "load", "show_load"}
    progress = next(run for run in runs if run["operation"] == "checksum" and run["state"] == "succeeded")
    assert (progress["progress"], progress["progress_total"], progress["progress_message"]) == (2, 2, "b.bin")
    assert served.popen.wait(200) == 0
