"""The stage around a block: the block, not the tasks, decides when it ends."""

from __future__ import annotations

import asyncio

from buvar import plugin


async def test_nothing_is_torn_down_under_the_feet_of_the_block():
    """Decision 17: without tasks, or when all have ended, the stage lives until its block is left."""
    torn = []

    async def prepare(teardown: plugin.Teardown):
        teardown.add(lambda: torn.append(1))
        return asyncio.sleep(0)

    stage = plugin.Stage()
    async with stage.running(prepare):
        await asyncio.sleep(0.02)
        assert not torn
        assert not stage.cancel.is_set()
    assert torn == [1]


async def test_cancel_from_inside_waits_for_the_block():
    """Decision 17: a task that sets Cancel ends the other tasks at once; the teardown waits for the block."""
    torn, ended = [], []

    async def forever():
        try:
            await asyncio.Future()
        finally:
            ended.append(1)

    async def prepare(teardown: plugin.Teardown, cancel: plugin.Cancel):
        teardown.add(lambda: torn.append(1))

        async def stop():
            cancel.set()

        return [forever(), stop()]

    async with plugin.Stage().running(prepare):
        await asyncio.sleep(0.02)
        assert (ended, torn) == ([1], [])
    assert torn == [1]


async def test_an_observer_that_fails(caplog):
    """PLG-08: what an observer of failures raises is logged; the failure counts, and the others are told."""
    told = []

    async def breaks():
        raise OSError("the disk is gone")

    async def prepare():
        yield breaks()

    def fails(name, error):
        raise LookupError("no such counter")

    stage = plugin.Stage(fail_fast=True)
    stage.on_failure(fails)
    stage.on_failure(lambda name, error: told.append(str(error)))
    async with stage.running(prepare):
        await stage.cancel.wait()

    assert told == [str(error) for _, error in stage.failed] == ["the disk is gone"]
    assert [str(result) for result in stage.results] == ["the disk is gone"]
    assert "LookupError: no such counter" in caplog.text
