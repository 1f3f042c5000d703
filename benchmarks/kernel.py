"""The kernel beside its peers: building objects, logging, loading settings, and importing.

Each contestant is a process of its own, the peers in virtual environments of their own (made in `.venv-bench` at the
first run, from wheels). They work in turn, a short round each, and what counts is processor time, so that other load
on the machine concerns nobody more than the others.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import common
from common import OURS, Claim, environ, in_turn, options, ratio, report, table

#: what each environment holds; the original's package has the name of ours, so it cannot be beside it
PACKAGES = {
    "original": ["buvar>=0.44,<0.45", "setuptools<81", "orjson"],
    "peers": ["dishka", "wireup", "pydantic-settings"],
}


def python_of(name: str) -> Path:
    """The interpreter of an environment."""
    return common.python_of(name, *PACKAGES[name])


class Worker:
    """One contestant, waiting in a process of its own."""

    def __init__(self, python: Path, case: str, count: int) -> None:
        self.case = case
        self.count = count
        self.process = subprocess.Popen(
            [python, "-m", "kernel_cases.worker", f"kernel_cases.{case}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environ(),
        )
        self._answer()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.case} failed")
        return line

    def __call__(self) -> float:
        """Work for a round; nanoseconds per operation."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{self.count}\n")
        self.process.stdin.flush()
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


@contextlib.contextmanager
def workers(cases: dict[str, tuple[Path, str]], count: int) -> Iterator[dict[str, Callable[[], float]]]:
    """The contestants of one table, each warmed up by one round."""
    made: dict[str, Worker] = {}
    try:
        for name, (python, case) in cases.items():
            made[name] = Worker(python, case, count)
            made[name]()
        yield dict(made)
    finally:
        for worker in made.values():
            worker.close()


def compare(title: str, cases: dict[str, tuple[Path, str]], count: int, rounds: int) -> dict[str, list[float]]:
    """Measure and print one table; the first contestant is what the others are compared with."""
    with workers(cases, count) as contestants:
        found = in_turn(contestants, rounds)
    first = next(iter(found))
    rows = [
        (name, f"{statistics.median(took):.0f}", f"{min(took):.0f}", f"{ratio(took, found[first]):.2f}")
        for name, took in found.items()
    ]
    columns = ("contestant", "median ns", "min ns", f"times {first}")
    table(f"{title}, {rounds} rounds of {count} in turn", columns, rows)
    return found


def measure_original_graph(rounds: int) -> list[Claim]:
    """The graph of the original's own benchmark."""
    original, peers = python_of("original"), python_of("peers")
    cases = {
        "ours": (OURS, "both:original"),
        "original": (original, "both:original"),
        "dishka": (peers, "with_dishka:original"),
        "wireup": (peers, "with_wireup:original"),
    }
    found = compare("The original's benchmark graph", cases, 500, rounds)
    return [
        Claim(
            claim="the original's benchmark graph: times faster than its compiled wheel",
            measured=ratio(found["original"], found["ours"]),
            goal=4,
            at_most=False,
        ),
        *[
            Claim(
                claim=f"the original's benchmark graph: times {peer}",
                measured=ratio(found["ours"], found[peer]),
                goal=1.1,
            )
            for peer in ("dishka", "wireup")
        ],
    ]


def measure_request_graph(rounds: int) -> list[Claim]:
    """Twelve objects for a request, two of them closed behind it."""
    original, peers = python_of("original"), python_of("peers")
    cases = {
        "by hand": (OURS, "by_hand:request"),
        "by hand, no generators": (OURS, "by_hand:without_factories"),
        "by hand, contextlib": (OURS, "by_hand:with_managers"),
        "ours": (OURS, "ours:request"),
        "wireup": (peers, "with_wireup:request"),
        "dishka": (peers, "with_dishka:request"),
        "original": (original, "original:request"),
    }
    found = compare("A request of twelve objects with teardown", cases, 300, rounds)
    return [
        Claim(
            claim="request: times faster than the original's compiled wheel",
            measured=ratio(found["original"], found["ours"]),
            goal=10,
            at_most=False,
        ),
        Claim(
            claim="request: times the same factories wired by hand",
            measured=ratio(found["ours"], found["by hand"]),
            goal=2.5,
        ),
        *[
            Claim(claim=f"request: times {peer}", measured=ratio(found["ours"], found[peer]), goal=1)
            for peer in ("wireup", "dishka")
        ],
    ]


def measure_logging(rounds: int) -> list[Claim]:
    """A log call with four fields, written to nowhere."""
    cases = {
        "ours": (OURS, "logging_calls:ours"),
        "structlog's BytesLogger": (OURS, "logging_calls:native"),
        "original": (python_of("original"), "logging_calls:original"),
    }
    found = compare("A log call, written lines included", cases, 500, rounds)
    return [
        Claim(
            claim="a log call: times structlog's native BytesLogger",
            measured=ratio(found["ours"], found["structlog's BytesLogger"]),
            goal=1.2,
        ),
        Claim(
            claim="a log call: times cheaper than the original's",
            measured=ratio(found["original"], found["ours"]),
            goal=3,
            at_most=False,
        ),
    ]


def measure_settings(rounds: int) -> list[Claim]:
    """Nine settings in two sections, three of them from the environment."""
    cases = {
        "ours": (OURS, "settings:ours"),
        "pydantic-settings": (python_of("peers"), "settings:pydantic_settings"),
    }
    found = compare("Loading settings", cases, 200, rounds)
    return [
        Claim(
            claim="ConfigSource.load: times faster than pydantic-settings",
            measured=ratio(found["pydantic-settings"], found["ours"]),
            goal=3,
            at_most=False,
        )
    ]


def measure_validation(rounds: int) -> list[Claim]:
    """Checking a graph of 500 adapters before anything is built."""
    found = compare("validate, 500 adapters", {"ours": (OURS, "validation:ours")}, 1, rounds)
    return [
        Claim(claim="validate on 500 adapters, milliseconds", measured=statistics.median(found["ours"]) / 1e6, goal=100)
    ]


def importing(python: Path, modules: Sequence[str]) -> Callable[[], float]:
    """A contestant that imports, in a process of its own; milliseconds of processor time on top of asyncio."""
    code = (
        "import asyncio, time; began = time.process_time()\n"
        f"import {', '.join(modules)}\n"
        "print((time.process_time() - began) * 1000)"
    )

    def run() -> float:
        done = subprocess.run([python, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, check=True, env=environ())
        return float(done.stdout)

    run()  # so that there is bytecode
    return run


def measure_imports(rounds: int) -> list[Claim]:
    """What it costs to import the kernel."""
    original, peers = python_of("original"), python_of("peers")
    core = ("buvar", "buvar.context", "buvar.di")
    rest = ("buvar.plugin", "buvar.config", "buvar.log")
    contestants = {
        "ours: context, di": importing(OURS, core),
        "original: context, di": importing(original, core),
        "ours: plugin, config, log": importing(OURS, rest),
        "original: plugin, config, log": importing(original, rest),
        "dishka": importing(peers, ["dishka"]),
        "wireup": importing(peers, ["wireup"]),
        "structlog": importing(OURS, ["structlog"]),
    }
    found = in_turn(contestants, rounds)
    rows = [(name, f"{statistics.median(took):.0f}", f"{min(took):.0f}") for name, took in found.items()]
    table(f"Imports on top of asyncio, {rounds} rounds in turn", ("contestant", "median ms", "min ms"), rows)
    return [
        Claim(
            claim="import buvar, buvar.context, buvar.di on top of asyncio, milliseconds",
            measured=statistics.median(found["ours: context, di"]),
            goal=60,
        ),
        Claim(
            claim="import buvar.plugin, buvar.config, buvar.log: times the original",
            measured=ratio(found["ours: plugin, config, log"], found["original: plugin, config, log"]),
            goal=1,
        ),
    ]


def main() -> None:
    """Measure and print."""
    given = options(__doc__)
    rounds = 7 if given.quick else 41
    claims = [
        *measure_original_graph(rounds),
        *measure_request_graph(rounds),
        *measure_logging(rounds),
        *measure_settings(rounds),
        *measure_validation(5 if given.quick else 15),
        *measure_imports(5 if given.quick else 15),
    ]
    report(claims, as_json=given.json)


if __name__ == "__main__":
    main()
