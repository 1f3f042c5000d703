"""What a run logs becomes records: its own lines, once, and not too many."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap

import pytest
import structlog

from binp import BINP
from binp.runs import LogCapture

shop = logging.getLogger("shop")


@pytest.fixture(autouse=True)
def levels():
    shop.setLevel(logging.DEBUG)
    yield
    shop.setLevel(logging.NOTSET)
    structlog.reset_defaults()


async def lines_of(binp, run):
    """(source, level, message, fields) of each record."""
    found = await binp.home.store.get_records(run, limit=10_000)
    return [(r.source, r.level, r.message, json.loads(r.fields) if r.fields else {}) for r in found]


async def run_of(binp, function):
    """What the records of a run of *function* are."""
    binp.action(name="op")(function)
    run = await (await binp.action.start("op")).wait()
    assert run.error is None, run.traceback
    return await lines_of(binp, run.id)


async def test_lines_of_logging_become_records(binp, caplog):
    """A line has its level, its logger and what was given by ``extra``; it still reaches its handlers."""

    def op():
        shop.info("sold %s", "tea", extra={"price": 3})
        shop.debug("not kept")
        shop.warning("few left")
        shop.critical("fire")

    assert await run_of(binp, op) == [
        ("log", "info", "sold tea", {"logger": "shop", "price": 3}),
        ("log", "warning", "few left", {"logger": "shop"}),
        ("log", "critical", "fire", {"logger": "shop"}),
    ]
    assert [record.message for record in caplog.records if record.name == "shop"] == [
        "sold tea", "not kept", "few left", "fire",
    ]  # fmt: skip


async def test_an_error_that_is_logged_has_its_traceback(binp):
    """``logger.exception`` keeps the traceback, with variables, among the fields."""

    async def op():
        price = 3
        try:
            _ = price / 0
        except ZeroDivisionError:
            shop.exception("cannot sell")
            shop.error("here", stack_info=True)

    [(_, level, message, fields), (_, _, _, other)] = await run_of(binp, op)
    assert (level, message) == ("error", "cannot sell")
    assert "ZeroDivisionError" in fields["traceback"]
    assert "price = 3\n" in fields["traceback"]
    assert "Stack (most recent call last)" in other["stack"]


async def test_a_line_that_cannot_be_made_is_kept_somehow(binp, monkeypatch):
    """N-09: arguments that do not fit their format, and fields that cannot be looked at, break nothing."""
    monkeypatch.setattr(logging, "raiseExceptions", False)

    class Rude:
        def __repr__(self):
            raise RuntimeError("no")

    async def op():
        shop.info("%d of", "x")
        shop.info("odd", extra={"value": Rude(), "msgs": object()})

    [(_, _, first, _), (_, _, second, fields)] = await run_of(binp, op)
    assert first == "%d of ('x',)"
    assert second == "odd"
    assert "whose repr raised RuntimeError" in str(fields["value"])


async def test_what_the_platform_logs_is_not_the_functions_own(binp):
    """A record is logged by the platform, and so are warnings about it: neither becomes another record."""

    async def op():
        binp.journal.record("once")
        binp.journal.progress("no number")

    assert [(source, message) for source, _, message, _ in await run_of(binp, op)] == [("record", "once")]


async def test_what_is_logged_outside_of_a_run_is_not_kept(binp):
    """Lines belong to the run in whose context they are: not to one that runs beside, and to none outside."""
    shop.info("before")

    @binp.journal
    async def inner():
        shop.info("inside")

    async def op():
        shop.info("around")
        await inner()

    assert [message for _, _, message, _ in await run_of(binp, op)] == ["around"]
    [run] = await binp.journal.history()
    assert [message for _, _, message, _ in await lines_of(binp, run.id)] == ["inside"]
    shop.info("after")


async def test_a_handler_that_writes_to_standard_output(binp, capsys):
    """A line that a handler writes to standard output is one record, not two."""
    await binp.home.ensure()
    handler = logging.StreamHandler(sys.stdout)
    shop.addHandler(handler)
    try:

        def op():
            shop.info("once")
            shop.debug("below the level")
            print("printed")

        lines = await run_of(binp, op)
    finally:
        shop.removeHandler(handler)
    assert [(source, message) for source, _, message, _ in lines] == [("log", "once"), ("print", "printed")]
    assert capsys.readouterr().out == "once\nbelow the level\nprinted\n"


async def test_a_logger_that_does_not_propagate_is_heard(binp):
    """What a logger keeps from the root is kept from the handlers there, not from the history."""
    shop.propagate = False
    try:
        lines = await run_of(binp, lambda: shop.info("heard"))
    finally:
        shop.propagate = True
    assert [message for _, _, message, _ in lines] == ["heard"]


@pytest.mark.parametrize(
    ("logs", "kept"),
    [("debug", ["d", "i", "e"]), ("INFO", ["i", "e"]), ("error", ["e"]), ("off", [])],
)
async def test_the_level_can_be_set(db, tmp_path, logs, kept):
    """``logs`` says which lines become records."""
    (tmp_path / "ops.toml").write_text(f'[binp.trace]\nlogs = "{logs}"\n')
    binp = BINP(db=db, config=tmp_path / "ops.toml")
    structlog.configure(processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()])

    def op():
        for logger in (shop, structlog.get_logger()):
            logger.debug("d")
            logger.info("i")
            logger.error("e")

    lines = await run_of(binp, op)
    await binp.home.close()
    assert [message for _, _, message, _ in lines] == kept * 2


async def test_too_many_lines_are_counted(db, tmp_path):
    """Of output and logging so many lines are kept, then a record says how many were left out; own records all stay."""
    (tmp_path / "ops.toml").write_text("[binp.trace]\nlines = 5\n")
    binp = BINP(db=db, config=tmp_path / "ops.toml")

    def op():
        for number in range(50):
            print("line", number)
            shop.info("log %s", number)
        binp.journal.record("own")

    lines = await run_of(binp, op)
    await binp.home.close()
    assert [message for _, _, message, _ in lines] == [
        "line 0", "log 0", "line 1", "log 1", "line 2",
        "further lines of output and logging are left out: there were 5",
        "own",
        "95 more lines of output and logging were left out",
    ]  # fmt: skip


async def test_no_lines_at_all(db, tmp_path):
    """With ``lines = 0`` nothing is kept, and nothing is said of it."""
    (tmp_path / "ops.toml").write_text("[binp.trace]\nlines = 0\n")
    binp = BINP(db=db, config=tmp_path / "ops.toml")
    assert await run_of(binp, lambda: print("x")) == []
    await binp.home.close()


# -- structlog -------------------------------------------------------------------------------------------------------


def test_structlog_is_heard_through_our_own_logging(tmp_path):
    """Under the set-up of ``binp run`` an event has its level, fields and error, and is written as ever."""
    script = """
        import asyncio, io, json, sys
        import structlog
        from binp import BINP
        from buvar.log import LogConfig

        log = structlog.get_logger("shop")
        out = io.BytesIO()

        async def main():
            with LogConfig(level="INFO", tty=TTY, stream=io.TextIOWrapper(out)).setup():
                log.info("bound before the first run")
                binp = BINP(db="data.db")

                @binp.action(name="op")
                async def op():
                    log.info("sold", price=3, password="hidden")
                    log.debug("no")
                    try:
                        1 / 0
                    except ZeroDivisionError:
                        log.exception("failed")
                    print("printed")

                run = await (await binp.action.start("op")).wait()
                found = await binp.home.store.get_records(run.id)
                sys.stdout.write(json.dumps([[r.source, r.level, r.message, r.fields] for r in found]))
                await binp.home.close()
            sys.stderr.write(out.getvalue().decode())

        asyncio.run(main())
    """
    for tty in (False, True):
        source = textwrap.dedent(script).replace("TTY", str(tty))
        done = subprocess.run(
            [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stderr
        first, second, third = json.loads(done.stdout.partition("\n")[2])
        assert first[:3] == ["log", "info", "sold"]
        assert json.loads(first[3]) == {"logger": "shop", "price": 3, "password": "***"}
        assert second[:3] == ["log", "error", "failed"]
        assert "ZeroDivisionError" in second[3]
        assert third[:3] == ["print", "info", "printed"]
        assert done.stderr.count("sold") == 1


async def test_structlog_as_it_is_by_default(binp, capsys):
    """Without any set-up structlog prints: its line is one record, with its fields, and stands there as before."""

    def op():
        structlog.get_logger().warning("few left", tea=2)
        print("printed")

    lines = await run_of(binp, op)
    assert lines == [("log", "warning", "few left", {"tea": 2}), ("print", "info", "printed", {})]
    assert "few left" in capsys.readouterr().out


async def test_structlog_in_front_of_the_standard_library(binp, caplog):
    """An event that goes on to logging is one record, rendered there or not."""

    def op():
        structlog.get_logger("shop").info("sold", price=3)

    for last in (structlog.stdlib.ProcessorFormatter.wrap_for_formatter, structlog.stdlib.render_to_log_kwargs):
        structlog.configure(
            processors=[structlog.stdlib.add_log_level, last],
            logger_factory=structlog.stdlib.LoggerFactory(),
            wrapper_class=structlog.stdlib.BoundLogger,
        )
        [(source, level, message, fields)] = await run_of(binp, op)
        assert (source, level, message, fields["logger"], fields["price"]) == ("log", "info", "sold", "shop", 3)


async def test_structlog_is_left_as_it_was(db):
    """When the last BINP is closed, the loggers of both kinds are as they were."""
    renderer = structlog.processors.JSONRenderer()
    processors = [renderer]
    structlog.configure(processors=processors)
    handlers = logging.Logger.callHandlers
    binp = BINP(db=db)
    await run_of(binp, lambda: structlog.get_logger().info("x"))
    assert processors != [renderer]
    await binp.home.close()
    assert processors == [renderer]
    assert logging.Logger.callHandlers is handlers


def test_several_share_the_hooks():
    """The hooks stay until the last one has gone, and removing twice does nothing."""
    before = logging.Logger.callHandlers
    one, other = LogCapture(), LogCapture()
    one.install()
    one.install()
    other.install()
    one.remove()
    one.remove()
    assert logging.Logger.callHandlers is not before
    other.remove()
    assert logging.Logger.callHandlers is before


def test_logging_itself_works_as_before(tmp_path):
    """``basicConfig`` inside of a run still works, and without any set-up a warning reaches standard error."""
    script = """
        import asyncio, logging
        from binp import BINP

        async def main():
            binp = BINP(db="data.db")

            @binp.journal
            async def op():
                logging.getLogger("a").warning("without set-up")
                logging.basicConfig(format="set up: %(message)s")
                logging.getLogger("a").warning("with")

            await op()
            await binp.home.close()

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path, capture_output=True, text=True, timeout=200, check=True,
    )  # fmt: skip
    assert done.stderr == "without set-up\nset up: with\n"
