"""Dotted names and suggestions."""

import functools
import json
import json.decoder
import types

import pytest

from buvar import names


def test_resolve_modules_and_attributes():
    """PLG-14 PLG-01: a dotted path is a module, a colon leads to an attribute; what is no string passes through."""
    assert names.resolve_dotted_name("json.decoder") is json.decoder
    assert names.resolve_dotted_name("json:loads") is json.loads
    assert names.resolve_dotted_name("json.decoder:JSONDecoder.decode") is json.decoder.JSONDecoder.decode
    assert names.resolve_dotted_name(json) is json
    assert names.resolve_dotted_name(None) is None


def test_relative_names(monkeypatch):
    """PLG-01: leading dots count from the package of the caller, or of one further up."""

    def resolve(package, name, caller):
        module = types.ModuleType("somewhere")
        vars(module).update(__package__=package, names=names)
        exec(
            "def inner(name, caller): return names.resolve_dotted_name(name, caller=caller)\n"
            "def outer(name, caller): return inner(name, caller)\n",
            vars(module),
        )
        return module.outer(name, caller)

    assert resolve("json", ".decoder", 0) is json.decoder
    assert resolve("json", ".decoder:JSONDecoder", 1) is json.decoder.JSONDecoder
    assert resolve("json", ".", 0) is json
    assert resolve("json.decoder", "..", 0) is json
    assert resolve("json.decoder", "..:loads", 0) is json.loads
    with pytest.raises(ImportError, match=r"^'\.decoder' is relative, but its caller is in no package$"):
        resolve("", ".decoder", 0)
    with pytest.raises(ImportError, match=r"^'\.decoder' is relative"):
        resolve(None, ".decoder", 1)
    with pytest.raises(ImportError, match=r"^'\.\.' points beyond the top of package 'json'$"):
        resolve("json", "..", 0)
    with pytest.raises(ImportError):
        resolve("json", "..decoder", 0)


def test_names_without_leading_dots():
    """PLG-01: a relative name gets the package of its caller in front, for places from where that is out of sight."""
    assert names.absolute_name(".decoder:JSONDecoder", "json") == "json.decoder:JSONDecoder"
    assert names.absolute_name("..:loads", "json.decoder") == "json:loads"
    assert names.absolute_name("json.decoder", None) == "json.decoder"
    assert names.absolute_name(json, None) is json
    with pytest.raises(ImportError, match=r"^'\.' is relative, but its caller is in no package$"):
        names.absolute_name(".:loads", None)
    with pytest.raises(ImportError, match=r"^'\.\.decoder' points beyond the top of package 'json'$"):
        names.absolute_name("..decoder", "json")


def test_names_that_lead_nowhere():
    """PLG-01: an unknown module, an unknown attribute and a malformed name each have their error."""
    with pytest.raises(ModuleNotFoundError, match="^No module named 'json.nothing'$"):
        names.resolve_dotted_name("json.nothing")
    with pytest.raises(ImportError, match="^'json:load_s': json has no attribute 'load_s', did you mean 'loads'\\?$"):
        names.resolve_dotted_name("json:load_s")
    with pytest.raises(ImportError, match="^'json:loads.xyzzy': json.loads has no attribute 'xyzzy'$"):
        names.resolve_dotted_name("json:loads.xyzzy")
    for malformed in ("json:loads:more", "", ":loads", "json:"):
        with pytest.raises(ValueError) as info:
            names.resolve_dotted_name(malformed)
        assert str(info.value) == (
            f"{malformed!r} is not a dotted name: expected 'package.module' or 'package.module:attribute'"
        )


def test_fqdn():
    """PLG-14: the dotted name of a class, a function, a module, a method, or of an object's class."""
    assert names.fqdn(json) == "json"
    assert names.fqdn(json.decoder.JSONDecoder) == "json.decoder.JSONDecoder"
    assert names.fqdn(json.decoder.JSONDecoder()) == "json.decoder.JSONDecoder"
    assert names.fqdn(json.decoder.JSONDecoder().decode) == "json.decoder.JSONDecoder.decode"
    assert names.fqdn(int) == names.fqdn(3) == "int"
    assert names.fqdn(functools.partial(int)) == "functools.partial"


def test_did_you_mean():
    """The closest known name, one that differs in case first, nothing that is far away or the same."""
    known = ["currency_rate", "Heat", "heat_room"]

    assert names.did_you_mean("currency_rat", known) == "currency_rate"
    assert names.did_you_mean("heat", known) == "Heat"
    assert names.did_you_mean("xyzzy", known) is None
    assert names.did_you_mean("Heat", ["Heat"]) is None
