"""The way in from outside: find a running instance beside its database and talk to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import mimetypes
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from binp.errors import UsageError

__all__ = ["Answer", "Client", "Instance", "NotServed", "connect", "find", "path_part", "publish", "withdraw"]

#: seconds to wait for an answer
_TIMEOUT = 30.0

#: bytes of a file that are read at once
_CHUNK = 256 * 1024

_Body = str | Iterable[bytes] | None

_START = "start it with `binp run FILE`, or name its database with --db, or its address with --url"


class NotServed(UsageError):
    """Nothing that could be talked to serves a database."""


class Answer(UsageError):
    """The server answered with a refusal.

    Attributes:
        status: The status of HTTP.
        problem: The JSON object that came with it, empty if none did.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], *, url: str) -> None:
        self.status = status
        self.problem = dict(problem)
        what = str(problem.get("detail") or problem.get("title") or f"{url} answered with status {status}")
        place, fix = problem.get("where"), problem.get("fix")
        super().__init__(
            what, status, dict(problem), where=str(place) if place else None, fix=str(fix) if fix else None
        )


@dataclass(frozen=True, slots=True)
class Instance:
    """A running server, as it says of itself beside its database."""

    #: where it is reached from this machine, without a slash at the end
    url: str
    #: its process
    pid: int


def publish(database: Path, url: str) -> None:
    """Say beside *database* that this process serves it at *url*: a file for its owner's eyes only, whole at once."""
    place = _place(database)
    draft = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            json.dump({"url": url, "pid": os.getpid()}, file)
        draft.replace(place)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def withdraw(database: Path) -> None:
    """Take back what this process published; what another one published since stays."""
    place = _place(database)
    with contextlib.suppress(OSError, NotServed):
        if _read(place, database).pid == os.getpid():
            place.unlink()


def find(database: Path) -> Instance:
    """The server of *database* on this machine.

    Raises:
        NotServed: there is no such database, nobody serves it, or who did was killed.
    """
    place = _place(database)
    try:
        found = _read(place, database)
    except FileNotFoundError:
        if database.exists():
            raise NotServed(f"nobody serves {database.name}", database, where=str(database), fix=_START) from None
        raise NotServed("there is no database here", database, where=str(database), fix=_START) from None
    except OSError as error:
        raise NotServed(
            f"it cannot be told who serves {database.name}: {error.strerror}",
            database,
            where=str(place),
            fix="use it as the user who runs the server, or name the server with --url and --token",
        ) from None
    if not _is_alive(found.pid):
        raise NotServed(
            f"the server of {database.name} is gone: process {found.pid} was killed",
            database,
            where=str(place),
            fix="start it again with `binp run FILE`",
        )
    return found


def connect(
    database: Path | None = None, *, url: str | None = None, token: str | None = None, trigger: str = "api"
) -> Client:
    """A client of the server of *database*, with the token kept beside it; or of *url*, with *token* if it needs one.

    A token that is kept in a file is sent to the server of its own database alone. *trigger* is what the runs that it
    starts are said to be started by: ``api``, or ``cli`` for a command line.

    Raises:
        NotServed: see :func:`find`.
        UsageError: the token cannot be read.
    """
    if url is not None:
        return Client(url, token, trigger=trigger)
    if database is None:
        raise NotServed("neither a database nor an address was named", fix=_START)
    found = find(database)
    return Client(found.url, token or _read_token(database), trigger=trigger)


class Client:
    """Asks a server, one request at a time, and waits for the answer.

    Args:
        url: Where it is: ``http://127.0.0.1:8000``, or with ``https`` or a path in front of what it serves.
        token: Proves the right to ask.
        timeout: Seconds to wait for an answer.
        trigger: What runs that it starts are said to be started by: ``api`` or ``cli``.

    Raises:
        UsageError: *url* is no address of a server.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = _TIMEOUT, trigger: str = "api") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url!r} is no address of a server", fix="write it like http://127.0.0.1:8000")
        self.url = url.rstrip("/")
        self._parts = parts
        self.token = token
        self._timeout = timeout
        self._trigger = trigger

    def get(self, path: str, **query: Any) -> Any:
        """The JSON that is found at *path*; parameters that are None are left out.

        Raises:
            Answer: the server refused.
            NotServed: it cannot be reached, or did not answer in time.
        """
        return self._ask("GET", _with_query(path, query), None)

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Send JSON to *path*, which starts something once for each *key*. Gives JSON, and raises, like :meth:`get`."""
        return self._ask("POST", path, None if body is None else json.dumps(body), _keyed(key))

    def put(self, path: str, body: Any = None) -> Any:
        """Put JSON at *path*, and give the JSON that comes back. Raises like :meth:`get`."""
        return self._ask("PUT", path, None if body is None else json.dumps(body))

    def send(
        self, method: str, path: str, text: str | None = None, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> Any:
        """Send JSON that is text already, with further headers, and give the JSON that comes back.

        Raises like :meth:`get`.
        """
        return self._ask(method, _with_query(path, query), text, headers)

    def post_form(
        self, path: str, arguments: Mapping[str, Any], files: Sequence[tuple[str, Path]], *, key: str | None = None
    ) -> Any:
        """Send *arguments* with *files*, each under the path of its parameter, otherwise like :meth:`post`.

        A file is read while it is sent. Raises UsageError where that cannot be done.
        """
        boundary = secrets.token_hex(16)
        parts: list[bytes | Path] = [_part(boundary, "arguments"), json.dumps(arguments).encode()]
        for name, file in files:
            parts += [b"\r\n" + _part(boundary, name, file), file]
        parts.append(f"\r\n--{boundary}--\r\n".encode())
        size = sum(part.stat().st_size if isinstance(part, Path) else len(part) for part in parts)
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Content-Length": str(size)}
        return self._ask("POST", path, _chunks(parts), headers | _keyed(key))

    def download(self, path: str, target: Path | None) -> Path:
        """Save what is found at *path* as *target*, by default under the name that it comes with; where it is now.

        What is there already is not replaced where no target is named. Raises like :meth:`get`.

        Raises:
            UsageError: it cannot be written.
        """
        with self._request("GET", path, None, {"Accept": "*/*"}) as response:
            if response.status >= 300:
                self._understand(response.status, response.read(), "GET", path)
            place = target or Path(_name_of(response.headers.get_filename()))
            with _writing(place), place.open("xb" if target is None else "wb") as file:
                while chunk := response.read(_CHUNK):
                    file.write(chunk)
        return place

    def events(self, **query: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """Changes as they come, as long as the server tells: ("message", what has changed), or ("reset", {}).

        ("open", {}) comes first: from there on nothing is missed.

        Raises:
            Answer: the server refused.
            NotServed: it cannot be reached, or went away.
        """
        path = _with_query("/internal/events", query)
        with self._request("GET", path, None, {"Accept": "text/event-stream"}) as response:
            if response.status >= 300:
                self._understand(response.status, response.read(), "GET", path)
            yield "open", {}
            kind = "message"
            # a sign of life comes before the time-out
            while line := response.readline().decode():
                name, _, value = line.rstrip("\n").partition(": ")
                if name == "event":
                    kind = value
                elif name == "data":
                    yield kind, json.loads(value)
                elif not name:
                    kind = "message"

    def _ask(self, method: str, path: str, text: _Body, headers: Mapping[str, str] | None = None) -> Any:
        with self._request(method, path, text, headers or {}) as response:
            content = response.read()
        return self._understand(response.status, content, method, path)

    @contextlib.contextmanager
    def _request(
        self, method: str, path: str, text: _Body, more: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer of the server, to be read inside."""
        connection = self._open()
        headers = {"Accept": "application/json", "Content-Type": "application/json", "Connection": "close"}
        if self._trigger != "api":
            headers["X-Binp-Trigger"] = self._trigger
        headers |= more
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        target = self._parts.path.rstrip("/") + path
        try:
            connection.request(method, target, text.encode() if isinstance(text, str) else text, headers)
            yield connection.getresponse()
        except TimeoutError:
            raise NotServed(
                f"{self.url} did not answer within {self._timeout:g} seconds", fix="look at the log of the server"
            ) from None
        except ConnectionRefusedError:
            raise NotServed(f"nobody answers at {self.url}", fix=_START) from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NotServed(f"{self.url} cannot be talked to: {why}", fix=_START) from None
        finally:
            connection.close()

    def _open(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        try:
            port = self._parts.port
        except ValueError:
            raise UsageError(f"{self.url!r} has no usable port", fix="write it like http://127.0.0.1:8000") from None
        return kind(self._parts.hostname or "", port, timeout=self._timeout)

    def _understand(self, status: int, content: bytes, method: str, path: str) -> Any:
        try:
            value = json.loads(content) if content else None
        except ValueError:
            value = None
            if status < 300:
                raise NotServed(
                    f"{self.url} does not speak like a binp server: {method} {path} is no JSON",
                    fix="name the right address with --url",
                ) from None
        if status < 300:
            return value
        raise Answer(status, value if isinstance(value, dict) else {}, url=f"{self.url}{path}")


def _keyed(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def _with_query(path: str, query: Mapping[str, Any]) -> str:
    given = [(name, value) for name, value in query.items() if value is not None]
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _part(boundary: str, name: str, file: Path | None = None) -> bytes:
    """The head of a part of a form."""
    named = "" if file is None else f'; filename="{_quoted(file.name)}"'
    kind = "" if file is None else (mimetypes.guess_type(file.name)[0] or "application/octet-stream")
    lines = [f"--{boundary}", f'Content-Disposition: form-data; name="{_quoted(name)}"{named}']
    return "\r\n".join([*lines, *([f"Content-Type: {kind}"] if kind else []), "", ""]).encode()


def _quoted(text: str) -> str:
    """As browsers write names into a form."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _chunks(parts: Iterable[bytes | Path]) -> Iterator[bytes]:
    for part in parts:
        if isinstance(part, bytes):
            yield part
            continue
        try:
            with part.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise UsageError(f"{part} cannot be read: {error.strerror or error}") from None


@contextlib.contextmanager
def _writing(place: Path) -> Iterator[None]:
    """What fails inside is about *place*, unless it is about the connection."""
    try:
        yield
    except (TimeoutError, ConnectionError):
        raise
    except OSError as error:
        what = f"{place} cannot be written: {error.strerror or error}"
        raise UsageError(what, fix="name another one with --output PATH") from None


def _name_of(text: str | None) -> str:
    """A name to save a file under, which leads to no other folder."""
    name = (text or "").replace("\\", "/").rpartition("/")[2]
    return name if name.strip(". ") else "file"


def path_part(text: object) -> str:
    """*text* as one part of a path, whatever characters it has."""
    return quote(str(text), safe="")


def _place(database: Path) -> Path:
    return database.with_name(database.name + ".serving")


def _read(place: Path, database: Path) -> Instance:
    try:
        found = json.loads(place.read_bytes())
        return Instance(str(found["url"]), int(found["pid"]))
    except (ValueError, KeyError, TypeError):
        raise NotServed(
            f"it cannot be told who serves {database.name}: the file is damaged",
            database,
            where=str(place),
            fix="delete it, and start the server again",
        ) from None


def _read_token(database: Path) -> str | None:
    place = database.with_name(database.name + ".token")
    try:
        return place.read_text("ascii", "replace").strip() or None
    except FileNotFoundError:
        # a server without authentication keeps none
        return None
    except OSError as error:
        raise UsageError(
            f"the token of {database.name} cannot be read: {error.strerror}",
            where=str(place),
            fix="use it as the user who runs the server, or give the token with --token or BINP_TOKEN",
        ) from None


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        # there this signal is no question, but an end
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        # it is there, and somebody else's
        return True
    return True
