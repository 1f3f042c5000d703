"""Send requests to a running server over HTTP, one at a time."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from binp.errors import UsageError

from ._errors import START, Answer, NotServed
from ._instance import find, read_token
from ._upload import CHUNK, upload_of

__all__ = ["Client", "connect", "path_part"]

#: seconds to wait for an answer
_TIMEOUT = 30.0

_Body = str | Iterable[bytes] | None


def connect(
    database: Path | None = None, *, url: str | None = None, token: str | None = None, trigger: str = "api"
) -> Client:
    """A client for the server of *database*, with the token stored beside it; or for *url*, with the given *token*.

    A token from a file is only sent to the server of its own database. *trigger* is recorded for the runs that the
    client starts: ``api``, or ``cli`` for a command line.

    Raises:
        NotServed: see :func:`find`.
        UsageError: the token cannot be read.
    """
    if url is not None:
        return Client(url, token, trigger=trigger)
    if database is None:
        raise NotServed("neither a database nor an address was named", fix=START)
    found = find(database)
    return Client(found.url, token or read_token(database), trigger=trigger)


class Client:
    """Sends requests to a server, one at a time, and waits for the answers.

    Args:
        url: The address: ``http://127.0.0.1:8000``, or with ``https``, or with a path prefix.
        token: The token of the server, if it requires one.
        timeout: Seconds to wait for an answer.
        trigger: What is recorded as the trigger of runs: ``api`` or ``cli``.

    Raises:
        UsageError: *url* is not the address of a server.
    """

    def __init__(self, url: str, token: str | None = None, *, timeout: float = _TIMEOUT, trigger: str = "api") -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{url!r} is not the address of a server", fix="write it like http://127.0.0.1:8000")
        self.url = url.rstrip("/")
        self._parts = parts
        self.token = token
        self._timeout = timeout
        self._trigger = trigger

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at *path*; query parameters that are None are left out.

        Raises:
            Answer: the server refused the request.
            NotServed: the server cannot be reached, or did not answer in time.
        """
        return self._ask("GET", _with_query(path, query), None)

    def post(self, path: str, body: Any = None, *, key: str | None = None) -> Any:
        """Send JSON to *path*, with an idempotency *key*. Returns JSON, and raises the same errors as :meth:`get`."""
        return self._ask("POST", path, None if body is None else json.dumps(body), _keyed(key))

    def put(self, path: str, body: Any = None) -> Any:
        """Put JSON at *path*, and return the JSON of the answer. Raises the same errors as :meth:`get`."""
        return self._ask("PUT", path, None if body is None else json.dumps(body))

    def send(
        self, method: str, path: str, text: str | None = None, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> Any:
        """Send text that is JSON already, with additional headers, and return the JSON of the answer.

        Raises the same errors as :meth:`get`.
        """
        return self._ask(method, _with_query(path, query), text, headers)

    def post_form(
        self, path: str, arguments: Mapping[str, Any], files: Sequence[tuple[str, Path]], *, key: str | None = None
    ) -> Any:
        """Send *arguments* with *files*, each under the path of its parameter; otherwise like :meth:`post`.

        The files are read while they are sent. Raises UsageError if one cannot be read.
        """
        upload = upload_of(arguments, files)
        return self._ask("POST", path, upload.chunks, upload.headers | _keyed(key))

    def download(self, path: str, target: Path | None) -> Path:
        """Save the content at *path* to *target*, by default under the name that the server gives; returns where it is.

        Without *target*, an existing file is not overwritten. Raises the same errors as :meth:`get`.

        Raises:
            UsageError: the file cannot be written.
        """
        with self._request("GET", path, None, {"Accept": "*/*"}) as response:
            if response.status >= 300:
                self._understand(response.status, response.read(), "GET", path)
            place = target or Path(_name_of(response.headers.get_filename()))
            with _writing(place), place.open("xb" if target is None else "wb") as file:
                while chunk := response.read(CHUNK):
                    file.write(chunk)
        return place

    def events(self, **query: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        """Changes as they come, until the stream ends: ("message", the change), or ("reset", {}) if changes were lost.

        ("open", {}) comes first: from then on no change is missed.

        Raises:
            Answer: the server refused the request.
            NotServed: the server cannot be reached, or closed the connection.
        """
        path = _with_query("/internal/events", query)
        with self._request("GET", path, None, {"Accept": "text/event-stream"}) as response:
            if response.status >= 300:
                self._understand(response.status, response.read(), "GET", path)
            yield "open", {}
            kind = "message"
            # a heartbeat arrives before the timeout
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
        """The response of the server, to be read inside the block."""
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
            raise NotServed(f"nothing answers at {self.url}", fix=START) from None
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NotServed(f"{self.url} cannot be reached: {why}", fix=START) from None
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
                    f"{self.url} does not answer like a binp server: {method} {path} is not JSON",
                    fix="name the right address with --url",
                ) from None
        if status < 300:
            return value
        raise Answer(status, value if isinstance(value, dict) else {}, url=f"{self.url}{path}")


def path_part(text: object) -> str:
    """*text* quoted as one segment of a path."""
    return quote(str(text), safe="")


def _keyed(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def _with_query(path: str, query: Mapping[str, Any]) -> str:
    given = [(name, value) for name, value in query.items() if value is not None]
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


@contextlib.contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Turn errors inside the block into errors about *place*, except those of the connection."""
    try:
        yield
    except (TimeoutError, ConnectionError):
        raise
    except OSError as error:
        what = f"{place} cannot be written: {error.strerror or error}"
        raise UsageError(what, fix="name another one with --output PATH") from None


def _name_of(text: str | None) -> str:
    """A file name to save to, which cannot lead to another folder."""
    name = (text or "").replace("\\", "/").rpartition("/")[2]
    return name if name.strip(". ") else "file"
