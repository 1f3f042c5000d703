"""A clock that is set by hand, and a ticker that looks when it is told to."""

from datetime import UTC, datetime, timedelta

import pytest

from binp.schedule._ticker import Ticker
from binp.store.contract import RunQuery, State, as_datetime

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Hand:
    """Schedules of a BINP under a clock that is set by hand."""

    def __init__(self, binp):
        self.binp = binp
        self.now = NOON
        self.ticker = self.another()

    def another(self):
        """What another process would look after the same schedules with."""
        schedule = self.binp.schedule
        return Ticker(self.binp.home, schedule._entries, schedule._operation_of, lambda: self.now.timestamp())

    async def look(self, ticker=None, **later):
        """Let time pass, and look; returns the seconds after which to look again."""
        self.now += timedelta(**later)
        return await (ticker or self.ticker).look()

    def restart(self):
        """What a new process knows: what is written down."""
        for entry in self.binp.schedule._entries.values():
            entry.until = entry.waiting = None
            entry.running.clear()
        self.ticker = self.another()

    async def runs(self):
        """(state, due) of all runs, oldest first."""
        page = await self.binp.home.store.find_runs(RunQuery(limit=200))
        return [(run.state, None if run.due is None else as_datetime(run.due)) for run in reversed(page.runs)]

    async def started(self):
        """The ticks that were started, oldest first."""
        return [due for state, due in await self.runs() if state is not State.SKIPPED]

    async def reasons(self):
        """Why ticks were left out, oldest first."""
        store = self.binp.home.store
        page = await store.find_runs(RunQuery(states=frozenset({State.SKIPPED}), limit=200))
        for run in page.runs:
            # where a list shows it, and where its reader looks
            assert run.error == (await store.get_records(run.id))[0].message
        return [run.error for run in reversed(page.runs)]


@pytest.fixture
async def hand(binp):
    """The schedules of ``binp``, which is open."""
    await binp.home.ensure()
    return Hand(binp)


@pytest.fixture
def noon():
    """Where the clock of ``hand`` begins."""
    return NOON
