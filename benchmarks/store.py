"""The store beside its peers: journaled calls and key-value state, alone, in a crowd, and on a loop without a pause.

A journaled call begins, says two lines of two fields each, gets a label and ends; its begin and its end are on the disk
when they are acknowledged. The peers write the same rows into the same tables with a commit for each step, and nothing
about them is slowed down: prepared statements, one connection, the same caches. Each contestant is a process of its
own, the peers in virtual environments of their own (made in `.venv-bench` at the first run). They work in turn, a short
round each, so that a disk whose speed drifts treats all alike; what counts are the ratios of a round.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from common import ENVIRONMENTS, OURS, Claim, environ, in_turn, options, python_of, ratio, report, table, versions

PEERS = ("aiosqlite", "sqlalchemy[asyncio]", "greenlet")
#: one of its dependencies has wheels for old versions of Python alone, and is built
ORIGINAL = ("binp==0.0.7", "websockets", "aiosqlite<0.21", "setuptools<81", "--no-binary=sqlalchemy")

#: names of those that goals are about
OUR, RAW, LARGE = "ours", "sqlite3, a commit per step", "sqlite3, 100 calls a commit"
DECORATED, AIOSQLITE, SQLALCHEMY, OLD = "ours, decorated function", "aiosqlite", "SQLAlchemy", "binp 0.0.7"


@dataclass(frozen=True, slots=True)
class Round:
    """What a round took: per second, and seconds."""

    rate: float
    p50: float
    p99: float
    cpu: float
    late: float


class Failed(Exception):
    """A contestant cannot do it."""


@dataclass(slots=True)
class Worker:
    """One contestant, waiting in a process of its own."""

    name: str
    process: subprocess.Popen[str]
    rounds: list[Round] = field(default_factory=list)

    def answer(self) -> str:
        """What it says next."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} failed")
        return line

    def run(self, case: str, tasks: int, seconds: float, *, is_busy: bool = False) -> float:
        """Work for a round; calls per second."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([case, tasks, seconds, is_busy]) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.answer())
        if "failed" in answer:
            raise Failed(answer["failed"])
        self.rounds.append(Round(**answer))
        return self.rounds[-1].rate

    def median(self, of: Callable[[Round], float]) -> float:
        """The median of the rounds."""
        return statistics.median(map(of, self.rounds))


def environments() -> dict[str, tuple[Path, str]]:
    """The contestants: their interpreters and cases. One that cannot be installed here is left out by name."""
    cases = {
        OUR: (OURS, "ours"),
        RAW: (OURS, "with_sqlite3"),
        LARGE: (OURS, "with_sqlite3:large"),
        DECORATED: (OURS, "ours:platform"),
    }
    for name, folder, packages, case in (
        (AIOSQLITE, "store-peers", PEERS, "with_aiosqlite"),
        (SQLALCHEMY, "store-peers", PEERS, "with_sqlalchemy"),
        (OLD, "store-original", ORIGINAL, "with_original"),
    ):
        try:
            cases[name] = (python_of(folder, *packages), case)
        except subprocess.CalledProcessError:
            print(f"left out, it cannot be installed on this Python: {name}")
    return cases


@contextlib.contextmanager
def workers(cases: dict[str, tuple[Path, str]], names: tuple[str, ...]) -> Iterator[dict[str, Worker]]:
    """The contestants of one table, each with a new database on the disk of the checkout."""
    ENVIRONMENTS.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="store-", dir=ENVIRONMENTS))
    made: dict[str, Worker] = {}
    try:
        for number, name in enumerate(names):
            if name not in cases:
                continue
            python, case = cases[name]
            process = subprocess.Popen(
                [python, "-m", "store_cases.worker", f"store_cases.{case}", folder / f"{number}.db"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environ(),
            )
            made[name] = Worker(name, process)
            made[name].answer()
        yield made
    finally:
        for worker in made.values():
            worker.process.communicate()
        shutil.rmtree(folder)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scenario:
    """One table."""

    title: str
    case: str
    tasks: int
    names: tuple[str, ...]
    is_busy: bool = False


def compare(
    scenario: Scenario, cases: dict[str, tuple[Path, str]], rounds: int, seconds: float
) -> tuple[dict[str, list[float]], dict[str, Worker]]:
    """Measure and print one table; what the others are compared with is the first but ours."""
    with workers(cases, scenario.names) as found:

        def one(worker: Worker) -> Callable[[], float]:
            return lambda: worker.run(scenario.case, scenario.tasks, seconds, is_busy=scenario.is_busy)

        contestants = {}
        for name, worker in found.items():
            try:
                one(worker)()
            except Failed as error:
                print(f"\nleft out, it fails: {name} ({error})")
                continue
            worker.rounds.clear()
            contestants[name] = one(worker)
        failed: dict[str, str] = {}

        def guarded(name: str, run: Callable[[], float]) -> Callable[[], float]:
            def call() -> float:
                if name in failed:
                    return 0.0
                try:
                    return run()
                except Failed as error:
                    failed[name] = str(error)
                    return 0.0

            return call

        rates = in_turn({name: guarded(name, run) for name, run in contestants.items()}, rounds)
        for name, reason in failed.items():
            print(f"\nleft out, it failed: {name} ({reason})")
            del rates[name]
    base = next(name for name in (RAW, *rates) if name in rates)
    rows = [
        (
            name,
            f"{worker.median(lambda r: r.rate):,.0f}",
            f"{min(rates[name]):,.0f} to {max(rates[name]):,.0f}",
            f"{ratio(rates[name], rates[base]):.2f}",
            *[f"{worker.median(of) * 1e6:,.0f}" for of in (lambda r: r.p50, lambda r: r.p99, lambda r: r.cpu)],
            "" if worker.rounds[0].late == float("inf") else f"{worker.median(lambda r: r.late) * 1e3:.1f}",
        )
        for name, worker in found.items()
        if name in rates
    ]
    columns = ("contestant", "per s", "min to max", "times raw", "p50 us", "p99 us", "cpu us", "loop late p99 ms")
    table(f"{scenario.title}, {rounds} rounds of {seconds:g} s in turn", columns, rows)
    return rates, found


def at_least(claim: str, measured: float, goal: float) -> Claim:
    """A goal that more is better for."""
    return Claim(claim=claim, measured=measured, goal=goal, at_most=False)


def measure_calls(cases: dict[str, tuple[Path, str]], rounds: int, seconds: float) -> list[Claim]:
    """Journaled calls of 64 tasks, and of one."""
    names = (OUR, RAW, LARGE, DECORATED, AIOSQLITE, SQLALCHEMY, OLD)
    crowd = Scenario(title="Journaled calls, 64 tasks", case="call", tasks=64, names=names)
    rates, found = compare(crowd, cases, rounds, seconds)
    alone = Scenario(title="Journaled calls, 1 task", case="call", tasks=1, names=names)
    single, _ = compare(alone, cases, rounds, seconds)
    return [
        at_least("64 tasks: times sqlite3 with a commit per step", ratio(rates[OUR], rates[RAW]), 20),
        at_least("64 tasks: times sqlite3 with a hundred calls a commit", ratio(rates[OUR], rates[LARGE]), 0.5),
        Claim(
            claim="64 tasks: milliseconds by which the loop is late, p99",
            measured=found[OUR].median(lambda r: r.late) * 1e3,
            goal=5,
        ),
        at_least("1 task: times sqlite3 with a commit per step", ratio(single[OUR], single[RAW]), 1.2),
    ]


def measure_state(cases: dict[str, tuple[Path, str]], rounds: int, seconds: float) -> list[Claim]:
    """Key-value state."""
    peers = (AIOSQLITE, SQLALCHEMY, OLD)
    reading = Scenario(title="Reading a key, 1 task", case="get", tasks=1, names=(OUR, RAW, DECORATED, *peers))
    read, _ = compare(reading, cases, rounds, seconds)
    crowd = Scenario(title="Setting keys, 64 tasks", case="put", tasks=64, names=(OUR, RAW, DECORATED, *peers))
    written, _ = compare(crowd, cases, rounds, seconds)
    alone = Scenario(title="Setting keys, 1 task", case="put", tasks=1, names=(OUR, RAW, DECORATED, *peers))
    compare(alone, cases, rounds, seconds)
    return [
        at_least("reading a key: times sqlite3", ratio(read[OUR], read[RAW]), 0.85),
        at_least("setting keys, 64 tasks: times sqlite3", ratio(written[OUR], written[RAW]), 10),
    ]


def measure_saturated(cases: dict[str, tuple[Path, str]], rounds: int, seconds: float) -> list[Claim]:
    """Journaled calls while callbacks of 0.2 ms keep the loop from ever being idle."""
    scenario = Scenario(
        title="Journaled calls, 64 tasks, on a loop that is never idle",
        case="call",
        tasks=64,
        names=(OUR, DECORATED, AIOSQLITE),
        is_busy=True,
    )
    rates, found = compare(scenario, cases, rounds, max(seconds, 1.0))
    claims = [
        at_least("a loop that is never idle: calls per second", statistics.median(rates[OUR]), 2000),
        Claim(
            claim="a loop that is never idle: p99 of a call in milliseconds",
            measured=found[OUR].median(lambda r: r.p99) * 1e3,
            goal=50,
        ),
    ]
    if AIOSQLITE in rates:
        claims.append(at_least("a loop that is never idle: times aiosqlite", ratio(rates[OUR], rates[AIOSQLITE]), 20))
    return claims


def main() -> None:
    """Measure and print."""
    given = options(__doc__)
    rounds, seconds = (3, 0.3) if given.quick else (9, 0.5)
    cases = environments()
    print(versions("binp"))
    claims = [
        *measure_calls(cases, rounds, seconds),
        *measure_state(cases, rounds, seconds),
        *measure_saturated(cases, rounds, seconds),
    ]
    report(claims, as_json=given.json)


if __name__ == "__main__":
    main()
