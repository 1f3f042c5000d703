"""What a server says of itself while it serves."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from binp import BINP
from binp.app.serving import Presence, url_of


@pytest.mark.parametrize(
    ("host", "secure", "url"),
    [
        ("127.0.0.1", False, "http://127.0.0.1:80"),
        ("0.0.0.0", False, "http://127.0.0.1:80"),
        ("", False, "http://127.0.0.1:80"),
        ("::", False, "http://[::1]:80"),
        ("[::1]", False, "http://[::1]:80"),
        ("shop.lan", True, "https://shop.lan:80"),
    ],
)
def test_where_it_is_reached_from_here(host: str, secure: bool, url: str) -> None:
    """An address that stands for all of them is reached by loopback; one of IPv6 has its brackets."""
    assert url_of(host, 80, secure=secure) == url


@pytest.fixture
async def home(binp: BINP) -> Any:
    await binp.home.open(serving=True)
    return binp.home


async def test_an_unknown_address_is_not_told(home: Any, tmp_path: Path, capsys: Any) -> None:
    """Where nobody can tell how it is reached, only the database is printed."""
    presence = Presence(home, None)
    presence.announce()
    presence.withdraw()

    assert capsys.readouterr().out == f"database  {tmp_path / 'data.db'}\n"
    assert not (tmp_path / "data.db.serving").exists()


async def test_how_long_it_took_is_told(home: Any, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    """Who says when the start began is told how long it took, once; nonsense is not."""
    said = []
    for began in (str(time.time() - 2.5), f"{int(time.time())}.N", "", "x", "nan", "inf", "0", str(time.time() + 3600)):
        monkeypatch.setenv("BINP_BEGAN", began)
        for _ in range(2):
            Presence(home, None).announce()
            said.append(capsys.readouterr().out.splitlines()[1:])

    assert re.fullmatch(r"ready     in \d+\.\d s", said[0][0])
    assert float(said[0][0].split()[2]) >= 2.5
    assert len(said[2]) == 1
    assert [one for index, one in enumerate(said) if index not in (0, 2)] == [[]] * 14


async def test_without_authentication_there_is_no_ticket(home: Any, tmp_path: Path, capsys: Any) -> None:
    """Where nobody is asked who he is, the plain address is printed, and no token is made."""
    home._settings = None
    home.overrides["auth"] = "none"
    Presence(home, "http://127.0.0.1:80").announce()

    assert capsys.readouterr().out == f"open      http://127.0.0.1:80/\ndatabase  {tmp_path / 'data.db'}\n"
    assert not (tmp_path / "data.db.token").exists()
    assert json.loads((tmp_path / "data.db.serving").read_text())["url"] == "http://127.0.0.1:80"


async def test_nothing_is_told_after_the_end(home: Any, tmp_path: Path) -> None:
    """A process that comes to lead while it ends does not say where it is."""
    presence = Presence(home, "http://127.0.0.1:80")
    presence.announce()
    presence.withdraw()
    presence._publish(home.store.role)

    assert not (tmp_path / "data.db.serving").exists()


async def test_a_folder_that_cannot_be_written_does_not_matter(home: Any, tmp_path: Path) -> None:
    """A server whose address cannot be written down serves all the same."""
    (tmp_path / "data.db.serving").mkdir()
    presence = Presence(home, "http://127.0.0.1:80")
    presence.announce()
    presence.withdraw()

    assert (tmp_path / "data.db.serving").is_dir()
