"""The shop, as it is written, serves from a real PostgreSQL, with one worker and with several, and ends in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

#: what the shop finds; each sweep leaves a mark
TABLES = """
create table orders (id integer primary key, item text not null);
insert into orders values (1, 'a teapot');
create table cart (id integer primary key, touched timestamptz not null);
insert into cart values (1, now() - interval '2 days'), (2, now());
create table swept (worker integer not null);
create function mark() returns trigger language plpgsql as
    'begin insert into swept values (pg_backend_pid()); return null; end';
create trigger mark after delete on cart for each statement execute function mark();
"""

PATIENCE = 200.0


class Shop:
    """The running program."""

    def __init__(self, folder: Path, port: int, *command: str, environ: dict[str, str]) -> None:
        self.port = port
        self.err = folder / "err"
        with self.err.open("w") as err:
            self.process = subprocess.Popen([sys.executable, *command], stderr=err, cwd=folder, env=environ)

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask for something; waits for the server."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE) as answer:
                    return answer.status, answer.read()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read()
            except OSError:
                assert self.process.poll() is None, self.err.read_text()
                assert time.monotonic() < end, self.err.read_text()
                time.sleep(0.02)

    @property
    def workers(self) -> list[str]:
        pid = self.process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)


@pytest.fixture
def query(postgres: str) -> Callable[[str], list[Any]]:
    """Ask the database in a process of its own."""

    def ask(statement: str) -> list[Any]:
        code = (
            "import asyncio, asyncpg, json, sys\n"
            "async def main():\n"
            "    connection = await asyncpg.connect(sys.argv[1])\n"
            "    print(json.dumps([list(row) for row in await connection.fetch(sys.argv[2])]))\n"
            "    await connection.close()\n"
            "asyncio.run(main())"
        )
        command = [sys.executable, "-c", code, postgres, statement]
        return list(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))

    return ask


@pytest.fixture
def shop(
    checkout: Path,
    tmp_path: Path,
    postgres: str,
    postgres_run: Callable[[str, str], None],
    clean_environ: dict[str, str],
) -> Iterator[Callable[..., Shop]]:
    """Start the shop, in a folder with its configuration."""
    started: list[Shop] = []
    postgres_run(postgres, TABLES)
    (tmp_path / "shop.py").write_bytes((checkout / "examples" / "shop.py").read_bytes())
    (tmp_path / "shop.toml").write_text('[db]\ndsn = "postgresql://nowhere/shop"\npool_size = 11\n')

    def start(port: int, *command: str, **environ: str) -> Shop:
        started.append(Shop(tmp_path, port, *command, environ=clean_environ | environ))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def processors() -> Iterator[Callable[[int], None]]:
    """Let what is started from now on use that many processors."""
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system does not tell processors apart")
    usable = os.sched_getaffinity(0)

    def use(number: int) -> None:
        if number > len(usable):
            pytest.skip(f"{number} processors are needed")
        os.sched_setaffinity(0, sorted(usable)[:number])

    yield use
    os.sched_setaffinity(0, usable)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("workers", [1, 2])
def test_the_shop(shop, query, processors, postgres, documented_port, workers):
    """`python shop.py`: orders are served, one worker of all sweeps, the environment counts, and TERM ends it well."""
    processors(workers)
    running = shop(documented_port, "shop.py", SHOP_DB_DSN=postgres)

    assert running.get("/orders/1") == (200, b'{"id": 1, "item": "a teapot"}')
    assert running.get("/nothing")[0] == 404
    assert len(running.workers) == (workers if workers > 1 else 0)
    until(lambda: query("select id from cart") == [[2]])
    pools = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    until(lambda: query(pools) == [[10 * workers]])

    assert running.end() == 0
    assert running.err.read_text() == ""
    assert query("select count(*) from swept") == [[1]]
    until(lambda: query(pools) == [[0]])


@pytest.mark.slow
def test_the_shop_by_the_command(shop, query, postgres, free_port):
    """`python -m buvar shop:api`: the same file without its last lines; the address is a setting."""
    settings = [part for setting in (f"aiohttp.port={free_port}", f"db.dsn={postgres}") for part in ("--set", setting)]
    running = shop(free_port, "-m", "buvar", "--config", "shop.toml", *settings, "shop:api")

    assert running.get("/orders/1") == (200, b'{"id": 1, "item": "a teapot"}')
    until(lambda: query("select id from cart") == [[2]])
    assert running.end() == 0
