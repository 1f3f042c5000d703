"""Commands that come back when they are committed: each is obeyed once, and the last one in the end."""

from __future__ import annotations

import asyncio

import pytest

from binp.service._wishes import Wishes
from binp.store.contract import ServiceRow, StoreError

START, STOP, RESTART, NEITHER, NOTHING = [True], [False], [False, True], [True, False], []


class Row:
    """The row of a service, as commands change it; what it says to somebody who reads it."""

    def __init__(self):
        self.wishes = Wishes()
        self.wish = self.before = self.running = None

    def commit(self, wish, *, running, is_obeyed=False):
        self.before = None if is_obeyed else self.before if running is self.running else self.wish
        self.wish, self.running = wish, running

    def give(self, *, running):
        """Give a command here, and commit it."""
        self.commit(self.wishes.give("s", running), running=running, is_obeyed=True)

    async def read(self):
        await self.wishes.settled()
        return self.look()

    def look(self):
        """What it says to somebody who has read it."""
        return self.wishes.news(
            ServiceRow(
                name="s",
                desired=self.running,
                desired_at=1,
                wish=self.wish,
                before=self.before,
                status=None,
                obeyed=None,
                node=None,
                updated=1,
            )
        )


@pytest.fixture
async def row():
    """The row, which was looked at when the services were begun."""
    made = Row()
    made.give(running=True)
    assert await made.read() == NOTHING
    return made


async def test_what_was_given_here_is_no_news(row):
    """A command that was obeyed when it was given is not obeyed again, however often the row is read."""
    for running in (False, True, True, False):
        row.give(running=running)
        assert (await row.read(), await row.read()) == (NOTHING, NOTHING)


async def test_what_was_given_elsewhere_is_news_once(row):
    """A command of another process is obeyed when it is seen, and not again when the row changes otherwise."""
    row.commit("a", running=False)
    assert (await row.read(), await row.read()) == (STOP, NOTHING)
    row.commit("b", running=True)
    assert (await row.read(), await row.read()) == (START, NOTHING)


async def test_what_is_given_while_it_is_read_is_later(row):
    """What was read before a command of here was committed is not obeyed any more: that command is the last."""
    row.commit("elsewhere", running=False)
    await row.wishes.settled()
    own = row.wishes.give("s", running=True)
    assert row.look() == NOTHING
    row.commit(own, running=True, is_obeyed=True)
    assert await row.read() == NOTHING
    row.commit("elsewhere again", running=False)
    assert await row.read() == STOP


async def test_what_comes_behind_a_command_of_here_is_obeyed(row):
    """Committed after a command of here, and read with it, one of elsewhere is the last."""
    row.give(running=False)
    row.commit("elsewhere", running=True)
    assert await row.read() == START
    row.give(running=True)
    row.commit("elsewhere again", running=False)
    # that of here was obeyed: it was running, and is stopped
    assert await row.read() == STOP


async def test_a_restart_of_elsewhere_is_one(row):
    """Stopped and started before it is looked at, it is stopped and started, once."""
    row.commit("stop", running=False)
    row.commit("start", running=True)
    assert (await row.read(), await row.read()) == (RESTART, NOTHING)
    row.commit("start again", running=True)
    assert await row.read() == START
    for number in range(3):
        row.commit(f"stop {number}", running=False)
        row.commit(f"start {number}", running=True)
    assert await row.read() == RESTART
    row.commit("start and", running=True)
    row.commit("stop", running=False)
    assert (await row.read(), await row.read()) == (NEITHER, NOTHING)
    row.commit("stop again", running=False)
    assert await row.read() == STOP


async def test_a_restart_of_here_is_none_for_elsewhere(row):
    """Stopped and started here, and started elsewhere: what was obeyed at once is not obeyed again."""
    row.give(running=False)
    row.commit("elsewhere", running=True)
    row.give(running=True)
    row.commit("elsewhere again", running=True)
    assert await row.read() == START

    row.give(running=False)
    row.commit("stop elsewhere", running=False)
    row.give(running=True)
    assert await row.read() == NOTHING
    row.commit("start elsewhere", running=True)
    assert await row.read() == START


async def test_what_was_before_it_was_looked_at_is_over():
    """A service that was stopped in another life of the program is not restarted when it is started the first time."""
    row = Row()
    row.commit("long ago", running=False)
    row.commit("now", running=True)
    assert await row.read() == START


async def test_a_restart_before_it_was_looked_at_is_one():
    """What was started here, and is restarted from elsewhere before anybody looked, is restarted; a start is none."""
    for is_restarted in (False, True):
        row = Row()
        row.commit("long ago", running=False)
        row.give(running=True)
        if is_restarted:
            row.commit("stop", running=False)
        row.commit("start", running=True)
        assert (await row.read(), await row.read()) == (RESTART if is_restarted else START, NOTHING)


async def test_what_could_not_be_kept_tells_nothing_of_what_was_before(row):
    """A command that was obeyed and is not in the row does not make an old stop a new one."""
    row.give(running=False)
    row.give(running=True)
    row.before = "long ago"
    row.wishes.give("s", running=True)
    lost = asyncio.get_running_loop().create_future()
    lost.set_exception(StoreError("the disk is full"))
    row.wishes.sent(lost)
    with pytest.raises(StoreError):
        await row.wishes.settled()
    row.commit("start elsewhere", running=True)
    assert await row.read() == START


async def test_it_is_waited_for_what_was_sent(row):
    """What is read is not older than what was given here, also when more is given meanwhile; an error is told once."""
    first, second = asyncio.get_running_loop().create_future(), asyncio.get_running_loop().create_future()
    row.wishes.sent(first)
    row.wishes.sent(None)
    waiting = asyncio.ensure_future(row.wishes.settled())
    await asyncio.sleep(0)
    row.wishes.sent(second)
    first.set_result(True)
    await asyncio.sleep(0)
    assert not waiting.done()
    second.set_exception(StoreError("the disk is full"))
    with pytest.raises(StoreError):
        await waiting
    await row.wishes.settled()


class Shared:
    """As an acknowledgement: who does not wait for it any more leaves it to the others."""

    def __init__(self, future):
        self.future = future

    def __await__(self):
        return asyncio.shield(self.future).__await__()


async def test_nobody_reads_before_what_was_given_is_kept(row):
    """Whoever else waits for it, or does so no more: a row that is read is not older than what was given here."""
    on_its_way = asyncio.get_running_loop().create_future()
    row.wishes.sent(Shared(on_its_way))
    impatient = asyncio.create_task(row.wishes.settled())
    await asyncio.sleep(0)
    patient = asyncio.create_task(row.wishes.settled())
    await asyncio.sleep(0)
    assert not patient.done()
    impatient.cancel()
    await asyncio.wait({impatient})
    late = asyncio.create_task(row.wishes.settled())
    await asyncio.sleep(0)
    assert not late.done()
    on_its_way.set_result(True)
    await patient
    await late
