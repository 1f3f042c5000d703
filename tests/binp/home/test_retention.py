"""How long runs are kept: what the operator says, and what the functions say of themselves."""

from __future__ import annotations

import logging
import math
from datetime import timedelta

import pytest

from binp import BINP
from binp.errors import BinpError
from binp.home._retention import retention_of
from binp.settings import KeepSettings, RetentionSettings
from binp.store.contract import Keep, Retention


def test_there_are_limits_by_default(binp):
    """Ninety days, a million runs, two gigabytes: enough for anybody who never thinks about it."""
    assert retention_of(RetentionSettings(), binp.home.operations) == Retention(
        general=Keep(days=90, failed_days=None, runs=1_000_000), size=2 * 1024**3
    )


def test_zero_is_no_limit(binp):
    """A zero keeps without limit, also in a rule of its own."""
    settings = RetentionSettings(days=0, runs=0, size="0", labels={"audit": KeepSettings(days=0)})
    found = retention_of(settings, binp.home.operations)

    assert found.general == Keep(days=math.inf)
    assert found.size is None
    assert found.labels == {"audit": Keep(days=math.inf)}


def test_a_function_says_how_long_its_runs_are_kept(binp):
    """By number or by time; a rule of the operator wins."""

    @binp.action(keep=100)
    def poll(): ...

    @binp.action(name="backup", keep=timedelta(days=365))
    def other(): ...

    @binp.action(keep=5)
    def ruled(): ...

    name = "test_a_function_says_how_long_its_runs_are_kept.<locals>."
    settings = RetentionSettings(operations={f"{name}ruled": KeepSettings(days=3), "long gone": KeepSettings(runs=1)})
    assert retention_of(settings, binp.home.operations).operations == {
        f"{name}poll": Keep(runs=100),
        "backup": Keep(days=365),
        f"{name}ruled": Keep(days=3),
        "long gone": Keep(runs=1),
    }


@pytest.mark.parametrize("keep", [0, -3, True, 1.5, "7 days", timedelta(0)])
def test_what_says_nothing_is_refused(binp, keep):
    """Where the function is decorated, with an example."""
    with pytest.raises(BinpError) as caught:
        binp.action(keep=keep)
    assert caught.value.what == f"keep={keep!r} does not say how long runs are kept"
    assert 'keep="7d" or timedelta(days=7)' in caught.value.fix


def test_a_rule_for_a_misspelt_operation_is_warned_of(binp, caplog):
    """A name that is close to one that there is was most likely meant to be that; any other may be of the past."""

    @binp.action(name="backup")
    def backup(): ...

    settings = RetentionSettings(operations={"bakcup": KeepSettings(days=1), "poll": KeepSettings(days=1)})
    with caplog.at_level(logging.WARNING):
        retention_of(settings, binp.home.operations)

    assert [record.getMessage() for record in caplog.records] == [
        "[binp.retention.operations.bakcup]: there is no such operation; did you mean 'backup'?"
    ]


async def test_only_what_is_served_erases(db, tmp_path):
    """A script that opens the database erases nothing; the server does, with the settings of its file."""
    config = tmp_path / "ops.toml"
    config.write_text("[binp.retention]\nruns = 1\n")
    made = BINP(db=db, config=config)

    @made.journal(operation="work")
    def work() -> None: ...

    for _ in range(3):
        await work()
    await made.home.ensure()
    assert made.home.store._engine._care is None

    await made.home.open(serving=True)
    made.home.lead()
    care = made.home.store._engine._care
    assert care is not None
    assert care._retention == made.home.retention == retention_of(RetentionSettings(runs=1), made.home.operations)
    await made.home.close()
