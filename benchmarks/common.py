"""What the benchmarks share: rounds in turn, medians, a table for people, and the claims as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
#: virtual environments of the peers, and whatever else the benchmarks keep
ENVIRONMENTS = HERE.parent / ".venv-bench"
OURS = Path(sys.executable)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A goal and what was measured."""

    #: what is claimed
    claim: str
    measured: float
    goal: float
    #: whether less is better
    at_most: bool = True

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.measured <= self.goal if self.at_most else self.measured >= self.goal


def options(description: str | None, **further: str) -> argparse.Namespace:
    """The options that every benchmark has, and *further* switches with what they do."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a rough answer within a minute")
    parser.add_argument("--json", action="store_true", help="print the claims as JSON in the last line")
    for name, about in further.items():
        parser.add_argument(f"--{name}", action="store_true", help=about)
    return parser.parse_args()


def python_of(name: str, *install: str) -> Path:
    """The interpreter of an environment, made when there is none for this version of Python; from wheels alone.

    Args:
        name: What it is called.
        install: What it holds, as handed to ``pip install``.
    """
    version = ".".join(map(str, sys.version_info[:2]))
    folder = ENVIRONMENTS / f"{name}-{version}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        print(f"making {folder}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--only-binary=:all:"]
        subprocess.run([*pip, *install], check=True)
        (folder / "complete").touch()
    return python


def environ() -> dict[str, str]:
    """The variables of every contestant: all find compiled bytecode, and none writes any into the checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "PYTHONPATH": str(HERE), "PYTHONPYCACHEPREFIX": str(ENVIRONMENTS / "pycache")}


def in_turn(contestants: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every contestant once a round, so that a machine whose speed drifts treats all alike."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, run in contestants.items():
            found[name].append(run())
    return found


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Median of the ratios round by round."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def versions(*names: str) -> str:
    """What was measured, by version."""
    found = [f"{name} {metadata.version(name)}" for name in names]
    return ", ".join([f"{platform.python_implementation()} {platform.python_version()}", *found])


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    print(f"\n{title}\n")
    for number, row in enumerate(cells):
        first, *rest = row
        print(
            "  ".join(
                [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
            )
        )
        if number == 0:
            print("  ".join("-" * width for width in widths))


def report(claims: Sequence[Claim], *, as_json: bool) -> None:
    """Print what was claimed, what was measured, and whether it was met."""
    rows = [
        (
            claim.claim,
            f"{claim.measured:.2f}",
            f"{'<=' if claim.at_most else '>='} {claim.goal:g}",
            "met" if claim.met else "NOT MET",
        )
        for claim in claims
    ]
    table("Claims", ("claim", "measured", "goal", ""), rows)
    if as_json:
        print(json.dumps([{"claim": c.claim, "measured": c.measured, "goal": c.goal, "met": c.met} for c in claims]))
