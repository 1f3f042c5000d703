"""The traceback of a failed run: with source lines and variables, short, and without secrets."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import re
import sys
from collections import deque, namedtuple
from decimal import Decimal
from pathlib import PurePosixPath

import pytest

from binp import BINP, Inject, Secret
from binp.kv import KeyConflict
from binp.runs import ActiveRun, RunTimedOut, Tracing
from binp.runs._shown import show, show_locals
from binp.runs._traceback import TRACEBACK_LIMIT, traceback_of
from binp.settings import Settings, TraceSettings

SECRET = Tracing().names


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Order:
    id: int
    card_token: str = "4242"
    items: list[str] = dataclasses.field(default_factory=list)


Point = namedtuple("Point", "x y")


class Client:
    def __init__(self):
        self.headers = {"Authorization": "Bearer sesame"}

    def __repr__(self):
        raise AssertionError("nobody's code is run")


class Text(str):
    __slots__ = ()

    def __repr__(self):
        raise AssertionError("nobody's code is run")

    __getitem__ = __len__ = __str__ = __repr__


class Odd:
    __class__ = property(lambda self: 1 / 0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "None"),
        (3, "3"),
        (2**600, "<int of 601 bits>"),
        (True, "True"),
        ("it's", '"it\'s"'),
        ("x" * 200, f"'{'x' * 120}'… (200)"),
        (b"ab", "b'ab'"),
        (bytearray(b"ab"), "bytearray(b'ab')"),
        ([1, [2, [3, [4]]]], "[1, [2, [3, […]]]]"),
        (list(range(12)), "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … 2 more]"),
        ({"a": 1, "api_key": "sesame", "pwd": None}, "{'a': 1, 'api_key': ***, 'pwd': None}"),
        ({i: i for i in range(11)}, "{0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 7, 8: 8, 9: 9, … 1 more}"),
        ((1,), "(1)"),
        ({1}, "{1}"),
        (frozenset({1}), "frozenset({1})"),
        (deque([1]), "deque([1])"),
        (Colour.RED, "Colour.RED"),
        (Order(1), "Order(id=1, card_token=***, items=[])"),
        (Point(1, 2), "Point(x=1, y=2)"),
        (Decimal("1.5"), "Decimal('1.5')"),
        (dt.date(2026, 1, 2), "datetime.date(2026, 1, 2)"),
        (PurePosixPath("/x"), "PurePosixPath('/x')"),
        (ValueError("no", 1), "ValueError('no', 1)"),
        (Secret("sesame"), "***"),
        (..., "Ellipsis"),
    ],
)
def test_how_a_value_is_shown(value, expected):
    """Short, with the names of fields, and what is called like a secret is masked at any depth."""
    assert show(value, SECRET) == expected


def test_no_method_of_a_value_is_called():
    """A representation may be slow, fail or tell a secret: what is no plain value is shown as its type."""
    assert re.fullmatch(r"<.*\.Client object>", show(Client(), SECRET))
    assert re.fullmatch(r"<.*\.Odd object>", show(Odd(), SECRET))
    assert show(Text("mine"), SECRET) == "'mine'"


def test_what_cannot_be_looked_at_is_shown_somehow():
    """An object that lost its fields is shown with the reason."""
    order = Order(1)
    del order.id
    assert show(order, SECRET) == "<Order: AttributeError while looking at it>"


def test_a_shown_value_is_short():
    """However much there is, a value takes few characters."""
    assert len(show([["x" * 500] * 50] * 50, SECRET)) <= 401


def test_which_variables_are_shown():
    """Functions, classes and modules are left out, and what comes beyond is counted."""
    variables = {"sys": sys, "show": show, "Order": Order, "__name__": "x", "token": 5, "use_token": True, "n": 1}
    assert show_locals(variables.items(), SECRET) == {"token": "***", "use_token": "True", "n": "1"}
    many = show_locals([(f"v{n}", n) for n in range(30)], SECRET)
    assert (len(many), many["…"]) == (26, "5 more variables")


def run_with(**settings):
    return ActiveRun(
        store=None, id=1, operation="op", trigger="call", journal=False, tracing=Tracing(TraceSettings(**settings))
    )


def raised(function, *args):
    try:
        function(*args)
    except BaseException as error:
        return error
    raise AssertionError("it did not raise")


def pay(order, password):
    total = Decimal("9.99")
    raise ValueError(f"order {order.id} of {total}")


def test_source_lines_and_variables():
    """N-08: the traceback has the line of the source and the variables of each frame."""
    text = traceback_of(raised(pay, Order(7), "sesame"), run_with())
    assert 'raise ValueError(f"order {order.id} of {total}")' in text
    assert "    order = Order(id=7, card_token=***, items=[])\n" in text
    assert "    password = ***\n" in text
    assert "    total = Decimal('9.99')\n" in text
    assert text.endswith("ValueError: order 7 of 9.99\n")


def test_variables_can_be_switched_off():
    """With ``locals = false`` the traceback has its lines alone."""
    text = traceback_of(raised(pay, Order(7), "sesame"), run_with(locals=False))
    assert "raise ValueError" in text
    assert "total =" not in text


def test_names_can_be_given():
    """``redact`` says which names are masked."""
    text = traceback_of(raised(pay, Order(7), "sesame"), run_with(redact=("^total$",)))
    assert "    total = ***\n" in text
    assert "    password = 'sesame'\n" in text


def test_variables_of_others_are_not_shown():
    """Frames of the standard library and of installed packages have their lines, without variables."""
    text = traceback_of(raised(json.loads, "{"), run_with())
    assert "json" in text
    assert "s = '{'" not in text


def test_the_errors_behind_an_error():
    """The error that caused it, and those in a group, have their variables as well."""

    def inner(depth):
        raise KeyError(depth)

    def outer(word):
        try:
            inner(5)
        except KeyError as error:
            raise ExceptionGroup("both", [raised(pay, Order(7), "p"), RuntimeError(word)]) from error

    text = traceback_of(raised(outer, "w"), run_with())
    assert "depth = 5\n" in text
    assert "word = 'w'\n" in text
    assert "total = Decimal('9.99')\n" in text


def test_a_deep_recursion():
    """A thousand frames are cut to something that can be read, fast."""

    def deep(n):
        return deep(n + 1)

    text = traceback_of(raised(deep, 0), run_with())
    assert "RecursionError" in text
    assert text.count(" n = ") <= 10
    assert len(text) <= TRACEBACK_LIMIT + 100


def test_a_long_chain_of_errors():
    """Errors that came from errors, thousands of them, break nothing."""
    error = ValueError(0)
    for n in range(1, 5000):
        following = ValueError(n)
        following.__context__ = error
        error = following
    assert "ValueError: 4999" in traceback_of(error, run_with())


async def test_an_error_that_explains_itself(binp):
    """What the platform refuses before the function is called is told in its words, without a frame of ours."""

    class Pool: ...

    @binp.action
    async def work(pool: Inject[Pool]) -> None: ...

    work.__annotations__["pool"] = Inject[Pool]
    run = await (await binp.action.start(work)).wait()
    assert run.error == "ResolveError: nobody provides the parameter pool: Pool"
    assert "Traceback" not in run.traceback
    assert "fix:   register an adapter that returns Pool" in run.traceback


async def test_an_error_inside_of_the_function_keeps_its_line(binp):
    """What explains itself, and was raised by what the function called, is told with the line that called it."""

    @binp.action
    async def work() -> None:
        await binp.kv.set(x=object())

    run = await (await binp.action.start(work)).wait()
    assert run.traceback.startswith("Traceback")
    assert "await binp.kv.set(x=object())" in run.traceback


def test_an_error_that_cannot_be_shown():
    """N-09: an exception whose text raises is kept all the same."""

    class Rude(Exception):
        def __str__(self):
            raise RuntimeError("no")

    assert "Rude" in traceback_of(raised(lambda: (_ for _ in ()).throw(Rude())), run_with())


async def test_a_failed_run_has_its_variables(db, tmp_path):
    """From the settings to the history: a run that fails keeps its variables, unless it is told not to."""
    for is_on in (True, False):
        (tmp_path / "ops.toml").write_text(f"[binp.trace]\nlocals = {str(is_on).lower()}\n")
        binp = BINP(db=db, config=tmp_path / "ops.toml")

        @binp.action(name="op")
        def op(order: int):
            raise ValueError("no")

        run = await (await binp.action.start("op", order=7)).wait()
        await binp.home.close()
        assert (run.error_type, run.error) == ("ValueError", "ValueError: no")
        assert ("    order = 7\n" in run.traceback) is is_on
        assert "src/binp" not in run.traceback


def test_the_defaults_mask_what_the_log_masks():
    """Names that are masked in logs are masked in tracebacks as well."""
    from buvar.log import LogConfig

    assert set(LogConfig().redact) <= set(Settings().trace.redact)


def test_an_error_of_the_platform_is_named_as_it_is_imported():
    """Where an error of the platform is defined is nobody's business: it is named by the module that offers it."""

    def conflict():
        raise KeyConflict("default", "mode", 1, 2)

    def caught(function):
        try:
            function()
        except Exception as error:
            return traceback_of(error)

    def in_a_group():
        try:
            conflict()
        except KeyConflict as error:
            raise ExceptionGroup("both", [error, ValueError("binp.kv._kv.KeyConflict")]) from None

    assert KeyConflict.__module__ != "binp.kv"
    assert "\nbinp.kv.KeyConflict: " in caught(conflict)
    assert "| binp.kv.KeyConflict: " in caught(in_a_group)
    assert "ValueError: binp.kv._kv.KeyConflict" in caught(in_a_group)
    assert traceback_of(RunTimedOut(1)) == "binp.runs.RunTimedOut: it took longer than 1 s\n"
