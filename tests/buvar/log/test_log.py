"""Lines of our own and of foreign loggers: what is in them, what is masked, and that logging never raises."""

import asyncio
import io
import json
import logging
import os
import re
import sys
import threading
import warnings

import pytest
import structlog

from buvar import log
from buvar.secret import Secret

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
SNIPPET = """
import sys

from buvar import log

log_config = log.LogConfig(tty=sys.stdout.isatty(), level="DEBUG")
log_config.setup()
"""


def test_the_snippet_runs_as_printed(capsys):
    """LOG-01: the logging snippet of the reference runs verbatim (snippet B5)."""
    exec(compile(SNIPPET, "snippet", "exec", dont_inherit=True), {"__name__": "snippet"})
    try:
        structlog.get_logger("x").debug("hello")
        assert log.flush()
        assert json.loads(capsys.readouterr().err)["event"] == "hello"
    finally:
        log.LogConfig().setup().restore()


@pytest.mark.filterwarnings("error")
def test_json_lines(setup, output):
    """LOG-02: one JSON object per line, with the documented keys and what was bound; no warning (B-19)."""
    setup()
    structlog.get_logger("shop", bound=1).info("sold %s for %d", "tea", 3, extra=[1])
    logging.getLogger("uvicorn").warning("up on %s", "port", extra={"port": 80})
    native, foreign = output.events()
    assert STAMP.fullmatch(native.pop("timestamp"))
    assert STAMP.fullmatch(foreign.pop("timestamp"))
    assert native == {
        "event": "sold tea for 3", "level": "info", "logger": "shop", "pid": os.getpid(), "bound": 1, "extra": [1],
    }  # fmt: skip
    assert foreign == {"event": "up on port", "level": "warning", "logger": "uvicorn", "pid": os.getpid(), "port": 80}


def test_lines_go_to_standard_error(capsys):
    """LOG-02: lines go to the standard error of the time of the set-up."""
    with log.setup_logging(tty=False):
        structlog.get_logger().info("here")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["logger"] == __name__


def test_exceptions(setup, output):
    """LOG-02: a traceback is in the key `exception`, a stack in `stack`."""
    setup()
    try:
        raise LookupError("no luck")
    except LookupError as error:
        structlog.get_logger().exception("native")
        structlog.get_logger().error("given", exc_info=error)
        logging.getLogger("x").exception("foreign")
    logging.getLogger("x").info("stack", stack_info=True)
    *failed, stacked = output.events()
    assert [each["exception"].splitlines()[-1] for each in failed] == ["LookupError: no luck"] * 3
    assert all("exc_info" not in each for each in failed)
    assert stacked["stack"].startswith("Stack (most recent call last)")


def test_levels(setup, output):
    """LOG-01: what is below the level is not logged; single loggers may have another."""
    setup(level="warning", levels={"chatty": "ERROR", "quiet.part": logging.DEBUG})
    for name in ("x", "chatty.inner", "quiet.part", "quiet"):
        structlog.get_logger(name).debug("debug")
        structlog.get_logger(name).warning("warning")
    for name in ("chatty.inner", "quiet.part"):
        logging.getLogger(name).debug("foreign debug")
        logging.getLogger(name).warning("foreign warning")
    assert [(each["logger"], each["event"]) for each in output.events()] == [
        ("x", "warning"),
        ("quiet.part", "debug"),
        ("quiet.part", "warning"),
        ("quiet", "warning"),
        ("quiet.part", "foreign debug"),
        ("quiet.part", "foreign warning"),
    ]


@pytest.mark.parametrize(
    ("level", "fix"),
    [("DEBG", "did you mean 'DEBUG'?"), ("loud", "levels: CRITICAL, ERROR, WARNING, INFO, DEBUG"), (True, None)],
)
def test_wrong_levels(level, fix):
    """LOG-06: a level that does not exist is a ValueError that says so."""
    with pytest.raises(log.LogLevelError) as caught:
        log.LogConfig(level=level)
    assert isinstance(caught.value, ValueError)
    assert caught.value.level is level
    assert str(caught.value).startswith(f"there is no log level {level!r}\n  fix:   {fix or 'levels'}")
    with pytest.raises(log.LogLevelError):
        log.LogConfig(levels={"x": level})


def test_level_numbers():
    """LOG-01: a level is a name in any case, or a number, also as text."""
    for level in ("info", " INFO ", 20, "20"):
        log.LogConfig(level=level)
    assert log.DEFAULT_LOGGING_LEVEL == "DEBUG" == log.LogConfig().level
    assert log.LOGGING_LEVEL_NAMES == ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")


async def test_context_variables_stay_in_their_task(setup, output):
    """LOG-02: what a task binds is on its own lines only, native and foreign (B-19)."""
    setup()

    async def request(number):
        structlog.contextvars.bind_contextvars(request_id=number)
        await asyncio.sleep(0.001)
        structlog.get_logger().info("native", number=number)
        logging.getLogger("x").info("foreign", extra={"number": number})

    await asyncio.gather(*(request(number) for number in range(3)))
    logging.getLogger("x").info("later")
    *lines, later = output.events()
    assert len(lines) == 6
    assert all(line["request_id"] == line["number"] for line in lines)
    assert "request_id" not in later


def test_secrets_are_masked(setup, output):
    """LOG-02: values of keys that look like secrets are masked, however deep, and `Secret` values anyway."""
    setup()
    structlog.get_logger().info(
        "x", password="hush", user={"api_key": "hush", "list": [{"token": "hush"}, ("a",)], 5: 6}, it=Secret("hush"),
        token=None, cookie=["hush"],
    )  # fmt: skip
    logging.getLogger("x").info("y", extra={"Authorization": "hush"})
    native, foreign = output.events()
    assert "hush" not in output.getvalue()
    assert native["user"] == {"api_key": "***", "list": [{"token": "***"}, ["a"]], "5": 6}
    assert (native["password"], native["it"], native["token"], native["cookie"]) == ("***", "***", None, "***")
    assert foreign["Authorization"] == "***"


def test_masking_is_a_choice(setup, output):
    """LOG-02: the words are set by `redact`; none masks nothing."""
    setup(redact=("colou?r",))
    structlog.get_logger().info("x", password="visible", color="hidden")
    setup(redact=())
    structlog.get_logger().info("x", color="visible")
    first, second = output.events()
    assert (first["password"], first["color"], second["color"]) == ("visible", "***", "visible")


class Rude:
    """Cannot be shown."""

    def __repr__(self):
        raise LookupError


def test_logging_never_raises(setup, output, monkeypatch):
    """LOG-02: whatever is logged, the caller goes on, and there is a line about it."""
    cycle = {}
    cycle["it"] = cycle
    deep = []
    for _ in range(2000):
        deep = [deep]
    setup()
    # the handler that captures for pytest raises what is wrong with a record
    monkeypatch.setattr(logging.getLogger(), "handlers", logging.getLogger().handlers[-1:])
    native, foreign = structlog.get_logger("n"), logging.getLogger("f")
    for value in (2**70, Rude(), cycle, deep, "\ud800", {(1, 2): {3}}, float("nan"), {"x": Rude()}):
        native.info("native", it=value)
        foreign.info("foreign", extra={"it": value})
    native.info("%d", "x")
    native.info("%(a)s", {"a": 1})
    foreign.info("%d", "x")
    events = output.events()
    assert len(events) == 19
    assert events[-3]["log_error"] == "('x',) does not fit the format: %d format: a real number is required, not str"
    assert events[-3]["log_error"] == events[-1]["log_error"]
    assert events[-2]["event"] == "1"
    assert events[0]["it"] == 2**70
    assert events[2]["it"] == "<Rude whose repr raises LookupError>"


def test_a_failing_renderer(setup, output):
    """LOG-02: a renderer of one's own may fail; the line then says so. One that works is used."""

    def broken(logger, name, event):
        raise LookupError("no luck")

    setup(json_renderer=broken)
    structlog.get_logger("n").info("native")
    logging.getLogger("f").info("foreign")
    assert [each["log_error"] for each in output.events()] == ["LookupError('no luck')"] * 2
    output.truncate(0)
    output.seek(0)
    setup(json_renderer=lambda logger, name, event: f'["{event["event"]}"]')
    structlog.get_logger("n").info("native")
    logging.getLogger("f").info("foreign")
    assert output.events() == [["native"], ["foreign"]]


def test_terminal(setup, output, monkeypatch):
    """LOG-02: on a terminal lines are for people; control characters are visible and forge no line."""
    monkeypatch.setenv("NO_COLOR", "1")
    output.tty = True
    setup(tty=None, add_pid=False)
    structlog.get_logger("shop").info("sold\nfake\x1b[1m", item="tea\r")
    try:
        raise LookupError
    except LookupError:
        logging.getLogger("x").exception("failed")
    assert log.flush()
    first, second, *traceback = output.getvalue().splitlines()
    assert first.split("Z ", 1)[1].replace(" ", "") == r"[info]sold\nfake\x1b[1m[shop]item=tea\r"
    assert "failed" in second
    assert traceback[-1] == "LookupError"
    monkeypatch.setenv("FORCE_COLOR", "1")
    setup(tty=True)
    structlog.get_logger("shop").info("colourful")
    log.flush()
    assert "\x1b[" in output.getvalue()


def test_all_methods(setup, output):
    """LOG-02: every method of a logger works, those to be awaited too; without a level in between nothing is lost."""
    setup(level="INFO")
    logger = structlog.get_logger("n")
    for name in ("debug", "info", "warning", "warn", "error", "critical", "fatal", "msg"):
        getattr(logger, name)("%s", name)
    logger.log(logging.ERROR, "log %s", 1)
    asyncio.run(logger.ainfo("async"))
    levels = ["info", "warning", "warning", "error", "critical", "critical", "info", "error", "info"]
    assert [each["level"] for each in output.events()] == levels


def test_restoring():
    """LOG-01: a set-up can be undone, and a new one replaces the former."""
    before = (
        logging.getLogger().handlers[:], logging.getLogger().level, structlog.is_configured(), sys.excepthook,
        threading.excepthook, sys.unraisablehook, sys.stdout, warnings.showwarning,
    )  # fmt: skip
    first = log.setup_logging(level="ERROR", redirect_print=True, levels={"some.logger": "DEBUG"})
    assert structlog.is_configured()
    assert sys.excepthook is log.uncaught_exception
    second = log.setup_logging(level="INFO")
    assert logging.getLogger("some.logger").level == logging.NOTSET
    assert logging.getLogger().level == logging.INFO
    second.restore()
    first.restore()
    second.restore()
    after = (
        logging.getLogger().handlers[:], logging.getLogger().level, structlog.is_configured(), sys.excepthook,
        threading.excepthook, sys.unraisablehook, sys.stdout, warnings.showwarning,
    )  # fmt: skip
    assert after == before
    structlog.configure(cache_logger_on_first_use=False)
    with log.setup_logging():
        pass
    assert structlog.is_configured()
    structlog.reset_defaults()


def test_handlers_of_others(setup, output):
    """LOG-01: handlers of the root that write to a stream give way, others stay."""
    stream = io.StringIO()
    plain, own = logging.StreamHandler(stream), logging.NullHandler()
    root = logging.getLogger()
    root.handlers += [plain, own]
    try:
        made = setup()
        logging.getLogger("x").info("once")
        assert own in root.handlers
        assert stream.getvalue() == ""
        made.restore()
        assert plain in root.handlers
    finally:
        root.removeHandler(plain)
        root.removeHandler(own)


def test_user_config(setup, output):
    """LOG-01: `user_config` is merged in depth into what dictConfig gets."""
    setup(user_config={"loggers": {"special": {"level": "ERROR"}, "": {"level": "WARNING"}}})
    logging.getLogger("special").warning("no")
    logging.getLogger("other").warning("yes")
    logging.getLogger("other").info("no")
    assert output.event()["event"] == "yes"
    logging.getLogger("special").setLevel(logging.NOTSET)


def test_a_set_up_that_fails_changes_nothing():
    """LOG-01: when something goes wrong while logging is set up, what was done is undone."""
    before = logging.getLogger().handlers[:], structlog.is_configured()
    with pytest.raises(ValueError, match="dictionary doesn't specify a version|Unable to configure|Unsupported"):
        log.setup_logging(user_config={"version": 7})
    assert (logging.getLogger().handlers[:], structlog.is_configured()) == before


def test_captured_warnings(setup, output):
    """LOG-04: warnings are logged by `py.warnings`."""
    setup(capture_warnings=True)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.showwarning("careful", UserWarning, "file.py", 3)
    assert (output.event()["logger"], output.event()["level"]) == ("py.warnings", "warning")
    assert "careful" in output.event()["event"]


def test_helpers():
    """LOG-05: processors for attributes of a record and the process id; keys become text, tuples stay."""
    record = logging.makeLogRecord({"one": 1})
    assert log.ExtractLogExtra("one", "two")(None, "", {"_record": record}) == {"_record": record, "one": 1}
    assert log.add_os_pid(None, "", {}) == {"pid": os.getpid()}
    assert log.stringify_dict_keys({1: [{2: ({3: 4},)}], "x": 5}) == {"1": [{"2": ({"3": 4},)}], "x": 5}


def test_structlog_is_imported_by_the_first_set_up(run_python):
    """SUR-03: importing `buvar.log` imports neither structlog nor rich."""
    run_python("import sys\nfrom buvar import log\nassert not {'structlog', 'rich'} & set(sys.modules)")


@pytest.mark.parametrize("name", ["method", "values", "args", "name", "logger_name"])
def test_any_field_name(setup, output, name):
    """A field may be called as a parameter inside the logger is called."""
    setup()
    structlog.get_logger("x").info("hello", **{name: "GET"})

    assert output.event()[name] == "GET"


def test_a_logger_outlives_its_setup(setup, output, capsys):
    """A logger that was used under one set-up follows the next one, its level, its fields, and structlog's own."""
    logger = structlog.get_logger("kept", shop=1)
    bound = logger.bind(order=2)
    later = io.StringIO()
    with log.setup_logging(stream=output, tty=False, level="WARNING"):
        logger.info("too low")
        logger.warning("first")
        bound = logger.bind(order=2)
    with log.setup_logging(stream=later, tty=False, level="DEBUG"):
        logger.debug("second")
        bound.info("third %d", 3)
        bound.log(logging.INFO, "fourth")
        assert log.flush()
    assert [line["event"] for line in output.events()] == ["first"]
    lines = [json.loads(line) for line in later.getvalue().splitlines()]
    assert [(line["event"], line["logger"], line.get("shop"), line.get("order")) for line in lines] == [
        ("second", "kept", 1, None), ("third 3", "kept", 1, 2), ("fourth", "kept", 1, 2),
    ]  # fmt: skip
    bound.info("by structlog")
    logger.debug("by structlog too")
    shown = capsys.readouterr().out
    assert "by structlog" in shown
    assert "by structlog too" in shown


@pytest.mark.parametrize(
    ("number", "level"), [(10, "debug"), (25, "info"), (45, "error"), (99, "critical"), (3, "debug")]
)
def test_levels_by_number(setup, output, number, level):
    """Any number is a level: that of the nearest name below."""
    setup(level=number)
    logger = structlog.get_logger()
    logger.log(number, "at %d", number)
    logger.log(number - 1, "below")
    assert logger.is_enabled_for(number)
    assert not logger.is_enabled_for(number - 1)
    assert logger.get_effective_level() == number
    assert (output.event()["level"], output.event()["event"]) == (level, f"at {number}")


def test_a_logger_without_a_successor(output):
    """A logger whose set-up has ended while structlog still points to it writes at once."""
    with log.setup_logging(stream=output, tty=False, level="INFO"):
        logger = structlog.get_logger("kept")
        logger.info("first")
        former = structlog.get_config()
    structlog.configure(**former)
    try:
        logger.info("second")
        logger.debug("never")
        logger.log(logging.DEBUG, "never")
        assert [line["event"] for line in output.events()] == ["first", "second"]
    finally:
        structlog.reset_defaults()


def test_time_stamps(setup, output, monkeypatch):
    """LOG-02: time stamps are UTC with microseconds, in each second and from one to the next."""
    setup()
    logger = structlog.get_logger()
    for now in (0, 999_999_999, 1_000_000_000, 1_700_000_000_000_001_999, 999_999_999):
        monkeypatch.setattr("time.time_ns", lambda now=now: now)
        logger.info("x")
    monkeypatch.undo()
    assert [line["timestamp"] for line in output.events()] == [
        "1970-01-01T00:00:00.000000Z", "1970-01-01T00:00:00.999999Z", "1970-01-01T00:00:01.000000Z",
        "2023-11-14T22:13:20.000001Z", "1970-01-01T00:00:00.999999Z",
    ]  # fmt: skip


def test_what_no_json_object_is_made_of(setup, output):
    """A processor that a user put in may return any mapping, or drop the event."""
    import collections

    def last(logger, name, event):
        if event["event"] == "drop":
            raise structlog.DropEvent
        return log._render.JsonRenderer()(logger, name, collections.ChainMap(event))

    setup(json_renderer=last)
    structlog.get_logger().info("drop")
    structlog.get_logger().info("keep")
    assert output.event()["event"] == "keep"


def test_subclasses_of_text(setup, output):
    """LOG-03: a value of a class of one's own that is text is written as text."""

    class Name(str):
        __slots__ = ()

    setup()
    structlog.get_logger().info("x", name=Name("it"))
    assert output.event()["name"] == "it"


def test_a_logger_that_is_used_again(output):
    """A call that was not too low under the set-up that has ended goes to the next one as well."""
    later = io.StringIO()
    with log.setup_logging(stream=output, tty=False):
        logger = structlog.get_logger("kept")
        logger.info("first")
    with log.setup_logging(stream=later, tty=False):
        logger.info("second %d", 2, x=1)
        assert log.flush()
    line = json.loads(later.getvalue())
    assert (line["event"], line["x"], line["logger"]) == ("second 2", 1, "kept")


def test_filters_of_foreign_records(setup, output):
    """LOG-02: a filter on the handler may drop a record of the standard library."""
    setup()
    (handler,) = [each for each in logging.getLogger().handlers if type(each).__name__ == "ForeignHandler"]
    handler.addFilter(lambda record: record.getMessage() != "drop")
    for message in ("drop", "keep"):
        logging.getLogger("x").warning(message)
    assert output.event()["event"] == "keep"


def test_where_lines_cannot_go(capsys):
    """LOG-01: standard output has a name; a text that is none, and a negative queue, would lose every line."""
    with log.LogConfig(stream="stdout", tty=False).setup():
        logging.getLogger("shop").warning("seen")
    assert '"event":"seen"' in capsys.readouterr().out
    for wrong in ({"stream": "console"}, {"stream": 5}, {"queue_size": -1}):
        with pytest.raises(log.LogTargetError):
            log.LogConfig(**wrong)


def test_whose_level_is_wrong():
    """LOG-06: the level of a single logger is told with its name."""
    with pytest.raises(log.LogLevelError, match="no log level 'LOD' for the logger 'asyncio'") as caught:
        log.LogConfig(levels={"asyncio": "LOD"})
    assert (caught.value.level, caught.value.logger) == ("LOD", "asyncio")


@pytest.fixture
def settings(tmp_path):
    """A source with a section ``log``; called with text it rewrites the file and reads it again."""
    from buvar import config

    file = tmp_path / "log.toml"
    file.write_text("[log]\nlevel = 'INFO'")
    source = config.ConfigSource.files(file, environ={})

    def change(text):
        file.write_text(text)
        return source.reload()

    change.load = lambda: source.load(log.LogConfig, "log")
    return change


def test_a_level_that_is_read_again_holds(settings, capsys):
    """LOG-01: what is in force follows a reload of the configuration that it was loaded from, and going back."""
    with settings.load().setup() as inforce:
        logger = structlog.get_logger("shop")
        logger.debug("not yet")
        changes = settings("[log]\nlevel = 'DEBUG'\n[log.levels]\nlibrary = 'ERROR'")
        assert changes.unheard == ()
        logger.debug("now")
        logging.getLogger("library").warning("too low")
        assert inforce.config.level == "DEBUG"
        changes.undo()
        logger.debug("no more")
        logging.getLogger("library").warning("again")
        assert log.flush()
    lines = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["now", "again"]
    assert not structlog.is_configured()


def test_other_settings_do_not_follow(settings, setup, output):
    """LOG-01: a reload leaves alone what was not loaded from the configuration, and settings that are not in force."""
    loaded = settings.load()
    assert [change.section for change in settings("[log]\nlevel = 'ERROR'").unheard] == ["log"]
    setup(level="WARNING")
    assert [change.section for change in settings("[log]\nlevel = 'DEBUG'").unheard] == ["log"]
    structlog.get_logger().info("too low")
    structlog.get_logger().warning("high enough")

    assert output.event()["event"] == "high enough"
    assert loaded.level == "INFO"


def test_settings_that_cannot_hold_leave_the_former(settings, capsys):
    """LOG-01: when what was read cannot be put into force, what was there before is again, and that is logged."""
    with settings.load().setup() as inforce:
        settings("[log]\nlevel = 'DEBUG'\n[log.user_config]\nversion = 7")
        structlog.get_logger().info("still here")
        assert inforce.config.level == "INFO"
        assert log.flush()
    told = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert told == ["The changes of log could not be applied", "still here"]
