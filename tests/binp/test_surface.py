"""What can be imported: SUR rows of the platform."""

from __future__ import annotations

import importlib
import importlib.metadata

import pytest

import binp


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("binp", ["BINP", "Action", "KV", "Journals", "Service", "create_app"]),
        ("binp.action", ["Action", "ActionInfo"]),
        ("binp.journals", ["Journals", "Record", "Headline", "Journal", "current_journal"]),
        ("binp.kv", ["KV"]),
        ("binp.service", ["Service", "Status", "Info", "Handler"]),
        ("binp.events", ["Emitter"]),
        ("binp.api", ["InvokeResult", "ServiceControl", "Query", "create_app"]),
    ],
)
def test_documented_places(module, names):
    """SUR-04: the documented names are at their documented places."""
    found = importlib.import_module(module)

    assert [name for name in names if not hasattr(found, name)] == []


def test_lazy_names_are_the_real_ones():
    """SUR-04: what the package offers lazily is what its modules define."""
    from binp.action import Action
    from binp.kv import KV

    assert binp.Action is Action
    assert binp.KV is KV
    assert set(binp.__all__) <= set(dir(binp))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = binp.Nothing


def test_version():
    """SUR-03 in spirit: the version is the one of the distribution."""
    assert binp.__version__ == importlib.metadata.version("binp")


def test_installable_beside_what_the_snippets_import():
    """SUR-06: what the snippets import is installable next to the platform."""
    for name in ("attr", "toml", "aiohttp.web", "pydantic.main", "pytest"):
        importlib.import_module(name)


def test_plugin_of_pytest():
    """SUR-05: the kernel's fixtures are offered to pytest."""
    found = {entry.name: entry.value for entry in importlib.metadata.entry_points(group="pytest11")}

    assert found["buvar"] == "buvar.testing"
