"""A registry and a context of its own for every test."""

import pytest

from buvar import context, di
from buvar.components import Components


@pytest.fixture(autouse=True)
def adapters():
    """The registry of the test; the module's functions use it too."""
    registry = di.Adapters()
    adapters_token = di.buvar_adapters.set(registry)
    context_token = context.buvar_context.set(Components())
    yield registry
    context.buvar_context.reset(context_token)
    di.buvar_adapters.reset(adapters_token)
