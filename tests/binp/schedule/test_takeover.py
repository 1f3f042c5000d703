"""Two processes on one file, of which one is killed: every tick is started exactly once."""

import subprocess
import sys
import textwrap
from datetime import timedelta

from binp import BINP
from binp.store.contract import RunQuery, State

PROCESS = """
import asyncio, sys
from datetime import timedelta
from binp import BINP
from binp.store import open_store

async def main(path):
    binp = BINP(db=open_store(path, group="g"))

    @binp.schedule(every=timedelta(seconds=1), missed="all")
    async def beat() -> None:
        print("beat", flush=True)

    await binp.home.open(serving=True)
    binp.home.lead()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""


def start(path):
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(PROCESS), path], stdout=subprocess.PIPE, text=True)


def read(process, line, count=1):
    for _ in range(count):
        assert process.stdout.readline() == f"{line}\n"


async def test_every_tick_is_started_once_though_the_leader_is_killed(tmp_path):
    """A schedule of each second loses no tick and starts none twice when the process that leads is killed."""
    path = str(tmp_path / "data.db")
    with start(path) as first:
        read(first, "ready")
        read(first, "beat", 2)
        with start(path) as second:
            read(second, "ready")
            read(first, "beat", 2)
            first.kill()
            read(second, "beat", 4)
            second.terminate()

    binp = BINP(db=path)
    await binp.home.ensure()
    runs = (await binp.home.store.find_runs(RunQuery(limit=200))).runs
    await binp.home.close()
    assert {run.state for run in runs} <= {State.SUCCEEDED, State.INTERRUPTED}
    due = sorted(run.due for run in runs)
    assert len(due) >= 8
    second = timedelta(seconds=1) // timedelta(microseconds=1)
    assert due == list(range(due[0], due[0] + len(due) * second, second))
