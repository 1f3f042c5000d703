"""Commands that come from elsewhere."""

from __future__ import annotations

import asyncio
import contextvars
import logging

import pytest

from binp.service import _obey
from binp.service._obey import Obeying
from binp.store.contract import ServiceRow, StoreError


def row(name, desired):
    return ServiceRow(
        name=name, desired=desired, desired_at=1, wish="w", before=None, status=None, obeyed=None, node=None, updated=1
    )


class Services:
    """What is wanted of some, and what was done; reading and doing fail as often as is said."""

    def __init__(self, *names):
        self.names = names
        self.rows = {}
        self.done = []
        self.unreadable = 0
        self.refused = set()
        self.obeying = Obeying(self.read, lambda: self.names, self.heed)

    async def read(self):
        await asyncio.sleep(0)
        if self.unreadable:
            self.unreadable -= 1
            raise StoreError("it cannot be read")
        return dict(self.rows)

    def heed(self, name, row, is_takeover):
        if name in self.refused:
            raise ValueError("it cannot be done")
        self.done.append((name, None if row is None else row.desired, is_takeover))

    def want(self, **running):
        for name, desired in running.items():
            self.rows[name] = row(name, desired)
        self.obeying.tell(running, contextvars.copy_context())

    async def until(self, *done):
        async with asyncio.timeout(60):
            while len(self.done) < len(done):
                await asyncio.sleep(0.005)
        assert self.done == list(done)
        self.done.clear()


@pytest.fixture
def quick(monkeypatch):
    """What is tried again is so soon."""
    monkeypatch.setattr(_obey, "_SOON", 0.001)


def said(caplog):
    return [record.message for record in caplog.records if record.levelno >= logging.ERROR]


async def test_what_fails_for_one_is_done_for_the_others(caplog):
    """SVC-03: an error is logged; commands of the same moment and later ones are obeyed."""
    services = Services("a", "b")
    services.refused.add("a")
    services.want(a=True, b=True)
    await services.until(("b", True, False))
    services.refused.clear()
    services.want(a=False)
    await services.until(("a", False, False))

    assert said(caplog) == ["what is wanted of service 'a' cannot be done"]


async def test_a_command_that_cannot_be_read_is_obeyed_later(quick, caplog):
    """SVC-03: as long as the database cannot be read it is tried again; the reason is logged once."""
    services = Services("a", "b")
    services.unreadable = 8
    services.want(a=True)
    await asyncio.sleep(0)
    services.want(a=False, b=True)
    await services.until(("a", False, False), ("a", False, False), ("b", True, False))

    assert said(caplog) == ["what is wanted of services cannot be read yet: it cannot be read"]


async def test_a_takeover_does_not_wait_for_ever(quick, caplog):
    """SVC-03: where it cannot be read what was wanted, services are led as they start by themselves."""
    services = Services("a", "b")
    services.rows["a"] = row("a", False)
    services.unreadable = _obey._PATIENCE - 1
    services.obeying.take_over(contextvars.copy_context())
    await services.until(("a", False, True), ("b", None, True))
    services.unreadable = _obey._PATIENCE
    services.obeying.take_over(contextvars.copy_context())
    await services.until(("a", None, True), ("b", None, True))

    assert said(caplog)[2:] == ["those services are started that start by themselves, whatever was wanted"]


async def test_the_end(quick):
    """Nothing is obeyed after the end, whatever it was waiting for."""
    services = Services("a")
    services.unreadable = 1_000_000
    services.want(a=True)
    await asyncio.sleep(0.01)
    async with asyncio.timeout(60):
        await services.obeying.end()
    services.unreadable = 0
    await asyncio.sleep(0.01)
    assert services.done == []
    services.want(a=False)
    await services.until(("a", False, False))
