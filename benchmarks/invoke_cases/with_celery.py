"""The no-op as a task of Celery: its messages in a folder, its results in a file of SQLite, and a worker beside."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from celery import Celery

folder = Path(sys.argv[-1])
queue, control = folder / "queue", folder / "control"
app = Celery("with_celery", broker="filesystem://", backend=f"db+sqlite:///{folder}/results.db")
app.conf.broker_transport_options = {
    "data_folder_in": str(queue),
    "data_folder_out": str(queue),
    "control_folder": str(control),
    "polling_interval": 0.005,
}
app.conf.worker_enable_remote_control = False


@app.task(name="noop")
def noop(number: int, name: str = "x") -> int:
    """Nothing, kept in the history."""
    return number


async def serve() -> None:
    """Make calls, each in a thread: Celery waits in no other way."""
    from invoke_cases.asked import answer

    threads = ThreadPoolExecutor(64)
    loop = asyncio.get_running_loop()
    await answer(lambda: loop.run_in_executor(threads, lambda: noop.delay(1).get(interval=0.005, timeout=60)))


def main() -> None:
    """Serve until the end, with a worker that ends with this."""
    for place in (queue, control):
        place.mkdir(exist_ok=True)
    command = [sys.executable, __file__, "worker", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as worker:
        try:
            asyncio.run(serve())
        finally:
            worker.terminate()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        app.worker_main(["worker", "--pool=solo", "--without-gossip", "--without-mingle", "--without-heartbeat"])
    else:
        main()
