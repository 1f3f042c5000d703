"""What a command does with a server that goes away, or wants nothing started now."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from binp.cli import _follow, main
from binp.cli._follow import Lost, Tenacious
from binp.cli._options import Server
from binp.client import Answer, Client

LEAVING = (503, {"detail": "'x' was not started: this process is shutting down", "passes": True})
DAMAGED = (503, {"detail": "the database is damaged", "passes": False})
STARTED = (202, {"run": 17})


class Answers:
    """A server that gives one answer after the other, the last one again and again."""

    def __init__(self, *answers: tuple[int, dict[str, Any]]) -> None:
        self.left = list(answers)
        self.keys: list[str | None] = []
        self.times: list[float] = []
        answering = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                answering.keys.append(self.headers.get("idempotency-key"))
                answering.times.append(time.monotonic())
                self.rfile.read(int(self.headers.get("content-length") or 0))
                status, content = answering.left.pop(0) if len(answering.left) > 1 else answering.left[0]
                if not status:
                    self.close_connection = True
                    return
                body = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def answering() -> Iterator[Callable[..., Answers]]:
    """Makes servers."""
    made: list[Answers] = []

    def make(*answers: tuple[int, dict[str, Any]]) -> Answers:
        made.append(Answers(*answers))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts come sooner."""
    monkeypatch.setattr(_follow, "_TICK", 0.01)


def start(answers: Answers, patience: float) -> Any:
    """Start something."""
    asked = Tenacious(Server(db=None, url=answers.url, token=None), Client(answers.url), patience)

    def post(client: Client) -> Any:
        return client.post("/start", key="k")

    return asked.ask(post, about="to start it", is_start=True)


def test_a_start_that_is_refused_for_now_is_sent_again(
    answering: Callable[..., Answers], capsys: pytest.CaptureFixture[str]
) -> None:
    """A server that goes away has not started it; the one behind it does, once, and later each time."""
    answers = answering(LEAVING, LEAVING, LEAVING, LEAVING, LEAVING, STARTED)

    assert start(answers, 600) == {"run": 17}

    assert answers.keys == ["k"] * 6
    assert answers.times[5] - answers.times[4] > 0.1
    assert capsys.readouterr().err == f"{LEAVING[1]['detail']}: trying again for 600 s, to start it\n"


def test_a_start_that_is_refused_for_good_is_not(answering: Callable[..., Answers]) -> None:
    """What does not pass, and whatever is no 503, is said at once."""
    for answer in (DAMAGED, (503, {}), (422, {"detail": "no"})):
        answers = answering(answer, STARTED)
        with pytest.raises(Answer):
            start(answers, 600)
        assert len(answers.keys) == 1


def test_patience_ends(answering: Callable[..., Answers]) -> None:
    """Refused to the end it was not started; where one did not answer before, that is not known."""
    with pytest.raises(Answer, match="shutting down"):
        start(answering(LEAVING), 0.05)
    with pytest.raises(Answer, match="shutting down"):
        start(answering(LEAVING), 0)
    with pytest.raises(Lost, match="shutting down"):
        start(answering((0, {}), LEAVING), 0.05)


def test_a_refusal_does_not_say_that_nothing_was_started_before(answering: Callable[..., Answers]) -> None:
    """Whoever took the start and did not answer may have made it, whatever the one behind it says."""
    for answer in (DAMAGED, (404, {"detail": "the database is damaged"})):
        with pytest.raises(Lost, match="damaged"):
            start(answering((0, {}), LEAVING, answer), 600)


def test_a_schedule_is_fired_once(answering: Callable[..., Answers]) -> None:
    """The command makes a key by itself, and sends it each time."""
    answers = answering((0, {}), LEAVING, STARTED)

    done = CliRunner().invoke(main, ["schedule", "fire", "nightly", "--url", answers.url])

    assert (done.exit_code, done.stdout) == (0, "17\n")
    assert len(answers.keys) == 3
    assert len(set(answers.keys)) == 1
    assert answers.keys[0]


def test_a_schedule_of_which_nothing_is_known(
    answering: Callable[..., Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status says that it may have been started."""
    monkeypatch.setattr("binp.cli._schedule.PATIENCE", 0.05)
    answers = answering((0, {}))

    done = CliRunner().invoke(main, ["schedule", "fire", "nightly", "--url", answers.url])

    assert done.exit_code == 3
    assert "Error: it is not known whether the run was started" in done.stderr
