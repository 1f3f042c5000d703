"""What the interpreter reports, and what is printed."""

import io
import logging
import signal
import subprocess
import sys
import threading
import time

import pytest

from buvar import log
from buvar.log._hooks import _uncaught_in_thread, _unraisable


def test_uncaught_exceptions(setup, output):
    """LOG-04: an uncaught exception is logged by `sys.excepthook`, critical; an interrupt is not (B-20)."""
    setup()
    error = LookupError("no luck")
    sys.excepthook(LookupError, error, None)
    sys.excepthook(LookupError, None, None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    first, second = output.events()
    assert (first["event"], first["level"], first["logger"]) == ("uncaught exception", "critical", "sys.excepthook")
    assert first["exception"] == "LookupError: no luck"
    assert second["exception"] == "LookupError"


def test_threads_and_finalizers(setup, output):
    """LOG-04: so are exceptions of threads, and those that can be raised nowhere."""
    setup()
    arguments = threading.ExceptHookArgs((LookupError, LookupError("no luck"), None, threading.current_thread()))
    _uncaught_in_thread(arguments)
    _uncaught_in_thread(threading.ExceptHookArgs((LookupError, None, None, None)))
    _uncaught_in_thread(threading.ExceptHookArgs((SystemExit, SystemExit(), None, None)))

    class Details:
        err_msg, object, exc_value = None, "a thing", ValueError("late")

    _unraisable(Details)
    first, second, third = output.events()
    assert (first["event"], first["logger"]) == ("uncaught exception in thread MainThread", "threading.excepthook")
    assert second["event"] == "uncaught exception in thread ?"
    assert (third["event"], third["exception"]) == ("exception ignored in: 'a thing'", "ValueError: late")


SLEEPER = """
import time
from buvar import log
log.setup_logging(tty=False)
print("ready", flush=True)
time.sleep(60)
"""


def test_interrupt_ends_quietly(clean_environ):
    """LOG-04: Ctrl-C prints nothing and ends with the status of an interrupt (B-20)."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean_environ
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=200)
    assert errors == ""
    assert process.returncode in (-signal.SIGINT, 130)


def test_print_is_logged_line_by_line(setup, output):
    """LOG-01: with `redirect_print`, a line is a record, whatever calls it is printed by (B-20)."""
    made = setup(redirect_print=True)
    print("a", end="")
    print("b")
    print()
    print("unfinished", end="")
    assert not sys.stdout.isatty()
    assert sys.stdout.writable()
    made.restore()
    assert [(each["event"], each["logger"]) for each in output.events()] == [("ab", "stdout"), ("unfinished", "stdout")]


def test_stream_api(caplog):
    """LOG-05: `StdioToLog` is a whole text stream (B-20)."""
    with caplog.at_level(logging.DEBUG):
        stream = log.StdioToLog("printed", logging.WARNING)
        assert stream.encoding == "utf-8"
        with pytest.raises(io.UnsupportedOperation):
            stream.fileno()
        stream.writelines(["x\n", "y"])
        stream.flush()
        stream.close()
        stream.close()
    assert [(each.name, each.levelno, each.getMessage()) for each in caplog.records] == [
        ("printed", logging.WARNING, "x"),
        ("printed", logging.WARNING, "y"),
    ]
    with open("/dev/null", encoding="ascii") as file:
        behind = log.StdioToLog(stream=file)
        assert behind.encoding == "ascii"
        assert behind.fileno() == file.fileno()
