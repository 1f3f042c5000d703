"""The console's files, and the page in their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from binp.app._console import Console


def client(folder: Path, root: str = "") -> httpx.AsyncClient:
    """A client of a console that was built in *folder*."""
    console = Console(folder)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"].removeprefix(root)
        await console({**scope, "console_path": path, "root_path": root}, receive, send)

    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder with a console."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>console</title>")
    (tmp_path / "assets" / "a.js").write_text("1")
    (tmp_path.parent / "secret").write_text("secret")
    return tmp_path


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_root_leads_to_the_console(tmp_path: Path, method: str) -> None:
    """API-11: / leads to the console, by a relative address."""
    async with client(tmp_path) as http:
        answer = await http.request(method, "/")

    assert (answer.status_code, answer.headers["location"]) == (302, "static/index.html#/")


@pytest.mark.parametrize("path", ["/static", "/static/", "/static/index.html"])
async def test_page_in_its_place(tmp_path: Path, path: str) -> None:
    """API-11: where no console was built there is a page with links (N-24)."""
    async with client(tmp_path) as http:
        page = await http.get(path)
        file = await http.get("/static/app.js")

    assert page.status_code == 200
    assert 'href="../internal/docs"' in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (file.status_code, file.json()["detail"]) == (404, "the console has no file '/static/app.js'")


@pytest.mark.parametrize("root", ["", "/prefix"])
async def test_files(built: Path, root: str) -> None:
    """API-12: the files of the console are served."""
    async with client(built, root) as http:
        index = await http.get(f"{root}/static/index.html")
        script = await http.get(f"{root}/static/assets/a.js")
        missing = await http.get(f"{root}/static/assets/b.js")

    assert (index.text, script.text, missing.status_code) == ("<title>console</title>", "1", 404)
    assert index.headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self'; style-src 'self'"
    )
    assert index.headers["cache-control"] == "no-store"
    assert script.headers["cache-control"] == "private, max-age=31536000, immutable"


async def test_nothing_outside_of_its_folder(built: Path) -> None:
    """API-12: no path leads out of the console's folder."""
    async with client(built) as http:
        for path in ("/static/../secret", "/static/%2e%2e/secret", "/static/..%2fsecret", "/static//etc/passwd"):
            assert (await http.get(path)).status_code in (404, 405)


async def test_is_read_with_get(tmp_path: Path) -> None:
    """API-11: the console is read, never written."""
    async with client(tmp_path) as http:
        assert (await http.post("/")).status_code == 405


async def test_files_travel_compressed(built: Path) -> None:
    """API-12: what is worth it is compressed for who can read that, and who has it already gets nothing again."""
    (built / "assets" / "long.js").write_text("let a = 1;\n" * 500)
    async with client(built) as http:
        plain = await http.get("/static/assets/long.js", headers={"accept-encoding": "identity"})
        packed = await http.get("/static/assets/long.js", headers={"accept-encoding": "br, gzip"})
        again = await http.get("/static/assets/long.js", headers={"if-none-match": packed.headers["etag"]})

    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 200 < int(plain.headers["content-length"])
    assert plain.text == packed.text == "let a = 1;\n" * 500
    assert (again.status_code, again.content) == (304, b"")
    assert {one.headers["vary"] for one in (plain, packed)} == {"accept-encoding"}
