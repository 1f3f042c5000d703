"""The operations of one BINP by kind and name."""

import logging

import pytest

from binp.operations import Operation, Operations, UnknownOperation


def work() -> None: ...


def test_what_was_started_is_found_by_its_name():
    """A name is that of an action, else of a schedule, and where it is neither the error speaks of an action."""
    operations = Operations()
    made = {}
    for kind, name in (
        ("schedule", "both"),
        ("action", "both"),
        ("schedule", "night"),
        ("action", "click"),
        ("journal", "seen"),
    ):
        made[kind, name] = Operation(kind=kind, name=name, function=work)
        operations.add(made[kind, name], logger=logging.getLogger("test"))

    assert operations.started("both") is made["action", "both"]
    assert operations.started("click") is made["action", "click"]
    assert operations.started("night") is made["schedule", "night"]
    for name in ("seen", "clik"):
        with pytest.raises(UnknownOperation) as caught:
            operations.started(name)
        assert (caught.value.kind, caught.value.name) == ("action", name)
    assert caught.value.fix == "did you mean 'click'?"
