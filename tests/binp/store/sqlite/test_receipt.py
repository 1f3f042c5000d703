"""Acknowledgements that come while somebody begins to wait."""

import asyncio
import gc

import pytest

from binp.store.contract import AddRecord, StoreError
from binp.store.sqlite._receipt import Failure, Receipt, resolve


class Quick:
    """Settles what somebody begins to wait for, at that very moment."""

    def __init__(self, receipt, outcome):
        self.receipt, self.outcome = receipt, outcome
        self.awaited = []

    def hasten(self):
        self.awaited += self.receipt.settle(self.outcome)


async def test_a_failure_that_comes_as_somebody_begins_to_wait(caplog):
    """It is raised to the one who waits, and not said to have been missed as well."""
    receipt = Receipt(AddRecord(run=1, seq=1, at=1, message="said"))
    receipt.hurry = quick = Quick(receipt, Failure(StoreError("no")))
    missed = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: missed.append(context["message"]))

    with pytest.raises(StoreError, match="no"):
        await receipt
    resolve(quick.awaited)
    quick.awaited.clear()
    del receipt, quick
    gc.collect()
    await asyncio.sleep(0)

    assert missed == []
    assert caplog.records == []
