"""Services of a registry, of a BINP, and of one that is served."""

from __future__ import annotations

import contextlib

import pytest

from binp import Service


@pytest.fixture
async def service():
    """A registry of its own, stopped after the test."""
    made = Service()
    yield made
    await made.shut_down(5)


@pytest.fixture
def status():
    """Tells the status of the first service of a BINP."""
    return lambda binp: binp.service.services[0].status


@pytest.fixture
def served():
    """Have a BINP served in a block."""

    @contextlib.asynccontextmanager
    async def serve(binp):
        # a server asks for it right after the import: services are left to its lifespan
        assert binp.app
        await binp.home.open(serving=True)
        binp.home.lead()
        try:
            yield
        finally:
            await binp.home.close()

    return serve
