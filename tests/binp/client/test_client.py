"""A running server is asked in JSON: its answers, its refusals, and what answers in its place."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from binp import client
from binp.client import Answer, Client, NotServed
from binp.errors import UsageError


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked, or with what the path says."""

    def answer(self) -> None:
        status, _, rest = self.path.lstrip("/").partition("/")
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length).decode()
        if rest == "text":
            content = b"<html>"
        elif rest == "empty":
            content = b""
        elif status == "200":
            asked = {"method": self.command, "path": self.path, "body": body, **dict(self.headers)}
            content = json.dumps(asked).encode()
        else:
            content = json.dumps({"detail": "this is not the token", "fix": "use another one", "code": 1}).encode()
        self.send_response(int(status))
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the names of the standard library

    def log_message(self, *args: Any) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_token_goes_to_its_own_server_alone(database: Path, url: str) -> None:
    """The token beside a database is sent to the server of that database, and never to an address that was named."""
    database.with_name("data.db.token").write_text("secret\n")
    client.publish(database, url)
    own = client.connect(database).get("/200")
    given = client.connect(database, token="given").get("/200")
    named = client.connect(database, url=url).get("/200")

    assert (own["Authorization"], given["Authorization"]) == ("Bearer secret", "Bearer given")
    assert "Authorization" not in named


def test_a_server_without_authentication(database: Path, url: str) -> None:
    """Where there is no token file, none is sent."""
    client.publish(database, url)

    assert "Authorization" not in client.connect(database).get("/200")


def test_a_token_that_cannot_be_read(database: Path, url: str) -> None:
    """A token that this user may not read is an error of its own, with the way around."""
    database.with_name("data.db.token").mkdir()
    client.publish(database, url)

    with pytest.raises(UsageError) as caught:
        client.connect(database)
    assert str(caught.value) == (
        f"the token of data.db cannot be read: Is a directory\n  where: {database}.token\n"
        "  fix:   use it as the user who runs the server, or give the token with --token or BINP_TOKEN"
    )


def test_neither_database_nor_address() -> None:
    """Somebody has to say where."""
    with pytest.raises(NotServed, match="neither a database nor an address was named"):
        client.connect()


def test_json_goes_and_comes(url: str) -> None:
    """Queries are encoded, parameters that are None left out, and bodies are JSON; a path in front is kept."""
    asked = Client(url + "/200/", "t").get("/x", a=1, b=None, c=["1", "2&"])
    sent = Client(url, "t").post("/200/" + client.path_part("a/b c"), {"ü": [1]})
    nothing = Client(url).post("/204/empty")

    assert (asked["method"], asked["path"]) == ("GET", "/200/x?a=1&c=1&c=2%26")
    assert (sent["method"], sent["path"], json.loads(sent["body"])) == ("POST", "/200/a%2Fb%20c", {"ü": [1]})
    assert sent["Content-Type"] == "application/json"
    assert nothing is None


def test_a_file_that_cannot_be_sent(url: str, tmp_path: Path) -> None:
    """A file that cannot be read while it is sent is told as that: the server is not away."""
    # of a folder a size is told, and nothing can be read
    with pytest.raises(UsageError, match="attic cannot be read: Is a directory"):
        (tmp_path / "attic").mkdir()
        Client(url).post_form("/200/x", {}, [("file", tmp_path / "attic")])


def test_a_refusal_keeps_its_problem(url: str) -> None:
    """A refusal becomes an error with the words of the server, its status and the whole problem."""
    with pytest.raises(Answer) as caught:
        Client(url).get("/401")
    with pytest.raises(Answer) as bare:
        Client(url).get("/502/text")

    assert str(caught.value) == "this is not the token\n  fix:   use another one"
    assert (caught.value.status, caught.value.problem["code"]) == (401, 1)
    assert str(bare.value) == f"{url}/502/text answered with status 502"


def test_a_server_of_another_kind(url: str) -> None:
    """What answers with something else than JSON is no server of ours."""
    with pytest.raises(NotServed) as caught:
        Client(url).get("/200/text")
    assert str(caught.value) == (
        f"{url} does not answer like a binp server: GET /200/text is not JSON\n"
        "  fix:   name the right address with --url"
    )


@pytest.fixture
def answers_with() -> Iterator[Callable[[bytes], str]]:
    """A server that reads nothing, and answers with given bytes once, or never."""
    made: list[socket.socket] = []
    serving: list[threading.Thread] = []

    def listen(answer: bytes | None) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        made.append(listener)

        def serve() -> None:
            connection, _ = listener.accept()
            made.append(connection)
            if answer is not None:
                connection.recv(65536)
                connection.sendall(answer)
                # who was answered may have gone
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

        serving.append(threading.Thread(target=serve, daemon=True))
        serving[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield listen  # type: ignore[misc]  # None stands for no answer
    for thread in serving:
        thread.join(60)
    for each in made:
        each.close()


def test_nobody_answers(answers_with: Callable[[bytes | None], str], free_port: int) -> None:
    """Nobody who listens, one who never answers, one who hangs up and one who speaks nonsense: each is told apart."""
    mute, rude, odd = answers_with(None), answers_with(b""), answers_with(b"what?\r\n\r\n")
    messages = []
    for each in (Client(f"http://127.0.0.1:{free_port}"), Client(mute, timeout=0.2), Client(rude), Client(odd)):
        with pytest.raises(NotServed) as caught:
            each.get("/")
        messages.append(caught.value.what)

    assert messages == [
        f"nothing answers at http://127.0.0.1:{free_port}",
        f"{mute} did not answer within 0.2 seconds",
        f"{rude} cannot be reached: Remote end closed connection without response",
        f"{odd} cannot be reached: what?\r\n",
    ]


def test_text_and_headers_go_as_they_are(url: str) -> None:
    """JSON that is text already is sent as it is, with the given headers; a removal has no body."""
    sent = Client(url).send("PUT", "/200/x", "21.50", headers={"If-Match": '"3"'}, key="ä&", ttl=None)
    removed = Client(url).send("DELETE", "/200/x", key="k")

    assert (sent["method"], sent["path"], sent["body"], sent["If-Match"]) == (
        "PUT",
        "/200/x?key=%C3%A4%26",
        "21.50",
        '"3"',
    )
    assert (removed["method"], removed["body"]) == ("DELETE", "")


def test_events_come_as_they_are_told(answers_with: Callable[[bytes], str]) -> None:
    """Each event of the stream comes, and what tells that something was missed, after it was said that it is open."""
    stream = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        b'retry: 1000\n\nid: a-1\n\nid: a-2\ndata: {"topic":"kv","id":"n/\xc3\xa4","rev":1}\n\n: \n\n'
        b'event: reset\nid: a-3\ndata: {}\n\nid: a-4\ndata: {"topic":"kv","id":"n/b","rev":2}\n\n'
    )

    assert list(Client(answers_with(stream)).events(topics="kv")) == [
        ("open", {}),
        ("message", {"topic": "kv", "id": "n/ä", "rev": 1}),
        ("reset", {}),
        ("message", {"topic": "kv", "id": "n/b", "rev": 2}),
    ]
    refusal = b'HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\n{"detail": "500 streams are open already"}'
    with pytest.raises(Answer, match="500 streams are open already"):
        next(Client(answers_with(refusal)).events())


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://x", "http://", "http://x:port"])
def test_what_is_no_address(url: str) -> None:
    """What is not the address of a server is refused before anything is sent."""
    with pytest.raises(UsageError, match="write it like http://127.0.0.1:8000"):
        Client(url).get("/")
