"""How long it takes to find runs among a million of them, or as many as are asked for, and how large their file is.

Each run has three labels (of 10, 13 and 10,000) and two records of two fields each. The store is asked by a program,
for pages of 20 runs; the depth, the action, the label or the word differs each time. Warm is a second round of the
same kind of questions; cold is the first question of its kind after the system was told to forget the file. The size is
compared with that of the same runs in the tables of the original, binp 0.0.7.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from common import ENVIRONMENTS, Claim, environ, python_of, report, table, versions
from search_cases.history import ACTIONS, BEGAN, CUSTOMERS, LENGTH, REGIONS, SHOPS, fill, fill_original
from store import ORIGINAL

from binp.store.contract import RunQuery
from binp.store.query import parse
from binp.store.sqlite import SqliteStore
from binp.store.sqlite._ids import first_id

#: of each kind of question, in a round
_ASKED = 300

Ask = Callable[[random.Random], RunQuery]


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of question."""

    name: str
    ask: Ask


def _deep(query: RunQuery, picked: random.Random) -> RunQuery:
    return replace(query, before=first_id(BEGAN + int(LENGTH * (0.02 + 0.98 * picked.random()))))


def _text(make: Callable[[random.Random], str]) -> Ask:
    return lambda picked: parse(make(picked))


def cases(runs: int) -> list[Case]:
    """All kinds of questions about so many *runs*."""

    def rare(picked: random.Random) -> str:
        return str(1_000_000 + picked.randrange(runs))

    def action(picked: random.Random) -> str:
        return f"action:shop.task{picked.randrange(ACTIONS)}"

    def customer(picked: random.Random) -> str:
        return f"label:customer={picked.randrange(CUSTOMERS)}"

    def shop(picked: random.Random) -> str:
        return f"label:shop={picked.randrange(SHOPS)}"

    def region(picked: random.Random) -> str:
        return f"label:region={picked.randrange(REGIONS)}"

    return [
        Case("first page", lambda picked: RunQuery()),
        Case("deep page", lambda picked: _deep(RunQuery(), picked)),
        Case("action", _text(action)),
        Case("action, deep", lambda picked: _deep(parse(action(picked)), picked)),
        Case("state: failed", lambda picked: _deep(parse("state:failed"), picked)),
        Case("label that 60 % have", lambda picked: _deep(parse("label:shop=0"), picked)),
        Case("label that 8 % have", lambda picked: _deep(parse(region(picked)), picked)),
        Case("label that 0.01 % have", _text(customer)),
        Case("rare word (in one run)", _text(rare)),
        Case("word in 0.2 %", lambda picked: _deep(parse("declined"), picked)),
        Case("common word (in all)", lambda picked: _deep(parse("parcel"), picked)),
        Case("phrase of common words", lambda picked: _deep(parse('"parcel is on its way"'), picked)),
        Case("action and state", lambda picked: parse(f"{action(picked)} state:failed")),
        Case("two labels", lambda picked: parse(f"{customer(picked)} {shop(picked)}")),
        Case(
            "word, action, label, not a state",
            lambda picked: parse(f"declined {action(picked)} label:shop=0 -state:failed"),
        ),
        Case("nothing fits", lambda picked: parse("declined state:running,queued nobody")),
    ]


@dataclass(slots=True)
class Took:
    """Milliseconds that questions took, the quickest first: in all, and of the processor."""

    whole: list[float]
    work: list[float]


async def measure(path: Path, asked: list[Case], number: int) -> dict[str, Took]:
    """How long the questions took; it is told if any was not answered in one go."""
    store = SqliteStore(path)
    await store.open()
    took: dict[str, Took] = {}
    stopped = 0
    for case in asked:
        for seed in ("before", "measured"):
            picked = random.Random(seed)
            queries = [case.ask(picked) for _ in range(number)]
            times, works = [], []
            for query in queries:
                began, worked = time.perf_counter(), time.process_time()
                page = await store.find_runs(query)
                works.append((time.process_time() - worked) * 1000)
                times.append((time.perf_counter() - began) * 1000)
                stopped += page.stopped is not None
            took[case.name] = Took(sorted(times), sorted(works))
    await store.close()
    if stopped:
        print(f"{stopped} questions were answered in part, with a place to go on from")
    return took


async def count(path: Path, number: int) -> list[tuple[str, list[float]]]:
    """Milliseconds that counts of all runs, and of those that a label has, took."""
    store = SqliteStore(path)
    await store.open()
    found = []
    for name, text in (("all", ""), ("an action", "action:shop.task3"), ("a label", "label:customer=77")):
        times = []
        for _ in range(number):
            began = time.perf_counter()
            await store.count_runs(parse(text))
            times.append((time.perf_counter() - began) * 1000)
        found.append((name, sorted(times)))
    await store.close()
    return found


async def ask_cold(path: Path, asked: list[Case]) -> dict[str, float]:
    """Milliseconds that the first question of each kind takes when nothing of the file is in memory."""
    took = {}
    for case in asked:
        store = SqliteStore(path)
        await store.open()
        _drop(path)
        query = case.ask(random.Random("cold"))
        began = time.perf_counter()
        await store.find_runs(query)
        took[case.name] = (time.perf_counter() - began) * 1000
        await store.close()
    return took


def _drop(path: Path) -> None:
    """Let the system forget what it has read of the file."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def original(path: Path, runs: int) -> int | None:
    """Bytes of the same runs in a file of the original; None if that cannot be installed here."""
    program = (
        "import asyncio, pathlib, sys\n"
        "from store_cases.with_original import open\n"
        "async def main():\n"
        "    await (await open(pathlib.Path(sys.argv[1]))).call()\n"
        "asyncio.run(main())\n"
    )
    try:
        python = python_of("store-original", *ORIGINAL)
    except subprocess.CalledProcessError:
        print("left out, it cannot be installed on this Python: binp 0.0.7")
        return None
    subprocess.run([python, "-c", program, path], env=environ(), check=True)
    fill_original(path, runs)
    return path.stat().st_size


def p99(times: list[float]) -> float:
    """The 99th percentile of sorted *times*."""
    return times[len(times) * 99 // 100]


def show(path: Path, runs: int, number: int) -> list[Claim]:
    """Measure, print the tables, and return what is claimed."""
    asked = cases(runs)
    took = asyncio.run(measure(path, asked, number))
    cold = asyncio.run(ask_cold(path, asked))
    rows = [
        (name, f"{statistics.median(t.whole):.2f}", f"{p99(t.whole):.2f}", f"{p99(t.work):.2f}", f"{cold[name]:.1f}")
        for name, t in took.items()
    ]
    columns = ("", "median", "p99", "p99 of the work", "cold")
    table(f"A page of 20 of {runs:,} runs, ms ({versions()})", columns, rows)
    counted = asyncio.run(count(path, max(3, number // 30)))
    rows = [(name, f"{statistics.median(times):.1f}", f"{times[-1]:.1f}", "") for name, times in counted]
    table("Counts for a chart of 60 parts, ms", ("", "median", "longest", ""), rows)
    claims = [Claim(claim=f"{case.name}, p99, ms", measured=p99(took[case.name].whole), goal=10) for case in asked]
    deep, first = (statistics.median(took[name].whole) for name in ("deep page", "first page"))
    return [*claims, Claim(claim="deep page, as many times as long as the first", measured=deep / first, goal=1.5)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a rough answer within a minute")
    parser.add_argument("--json", action="store_true", help="print the claims as JSON in the last line")
    parser.add_argument("--runs", type=int, default=1_000_000, help="how many runs are in the file")
    given = parser.parse_args()
    runs, number = (50_000, 60) if given.quick else (given.runs, _ASKED)
    ENVIRONMENTS.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="search-", dir=ENVIRONMENTS))
    try:
        path = folder / "data.db"
        began = time.monotonic()
        fill(path, runs)
        print(f"made in {time.monotonic() - began:.0f} s")
        ours = path.stat().st_size
        claims = show(path, runs, number)
        theirs = original(folder / "original.db", runs)
        if theirs is not None:
            rows = [("ours, with full text", f"{ours / runs:.0f}"), ("binp 0.0.7", f"{theirs / runs:.0f}")]
            table("Size of the file, bytes for each run", ("", ""), rows)
            claims.append(Claim(claim="size of the file, share of the original's", measured=ours / theirs, goal=0.7))
    finally:
        shutil.rmtree(folder)
    report(claims, as_json=given.json)


if __name__ == "__main__":
    main()
