"""What the console weighs, whom it talks to, and what its pages may do."""

from __future__ import annotations

import gzip
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

#: bytes, compressed as they are sent
INITIAL_SCRIPTS = 36_000
ALL_SCRIPTS = 75_000
STYLES = 6_000
COLD_PAGE = 70_000
#: seconds until everything that is fetched ahead is there, at the very most
PATIENCE = 200


@pytest.fixture
def built(checkout: Path, site: Any) -> Path:
    """Where the built console is."""
    return checkout / "src/binp/console"


def size(path: Path) -> int:
    return len(gzip.compress(path.read_bytes(), 9, mtime=0))


def test_what_comes_first_is_small(built: Path) -> None:
    """The scripts and styles that the first page waits for, and all scripts together, stay within their budgets."""
    index = (built / "index.html").read_text()
    named = [built / name for name in re.findall(r'(?:src|href)="\./([^"]+\.(?:js|css))"', index)]
    scripts = [path for path in named if path.suffix == ".js"]

    assert len(scripts) >= 2
    assert sum(map(size, scripts)) <= INITIAL_SCRIPTS
    assert sum(map(size, built.rglob("*.js"))) <= ALL_SCRIPTS
    assert sum(map(size, built.rglob("*.css"))) <= STYLES


@pytest.mark.parametrize("path", ["", "actions/deploy", "runs"])
def test_a_first_visit_is_cheap(enter: Any, site: Any, wait_live: Any, path: str) -> None:
    """Everything that a cold page needs, what the API answers included, stays within its budget."""
    page = enter(site).new_page()
    # what is fetched ahead, for the pages that may come next, waits for an idle moment that never comes
    page.add_init_script("window.requestIdleCallback = () => 0")
    client = page.context.new_cdp_session(page)
    client.send("Network.enable")
    names: dict[str, str] = {}
    sizes: dict[str, float] = {}
    client.on("Network.requestWillBeSent", lambda event: names.update({event["requestId"]: event["request"]["url"]}))
    # once each: on a busy machine the page may open before its stream, and then it reads its lists again
    client.on(
        "Network.loadingFinished",
        lambda event: sizes.setdefault(names[event["requestId"]], event["encodedDataLength"]),
    )
    page.goto(f"{site.url}/static/index.html#/{path}")
    wait_live(page)
    page.wait_for_timeout(1000)

    assert sum(sizes.values()) <= COLD_PAGE
    assert len(sizes) <= 14


def test_a_second_visit_fetches_no_script(enter: Any, browser: Any, site: Any, built: Path, wait_live: Any) -> None:
    """What has a hash in its name is kept by the browser."""
    # a context of its own: where requests are watched on their way nothing is kept
    context = browser.new_context(storage_state=enter(site).storage_state())
    page = context.new_page()
    client = context.new_cdp_session(page)
    client.send("Network.enable")
    fetched: list[str] = []
    names: dict[str, str] = {}
    loaded: set[str] = set()
    kept: set[str] = set()
    client.on("Network.requestServedFromCache", lambda event: kept.add(event["requestId"]))

    def note(event: Any) -> None:
        if event["requestId"] not in kept and not event["response"].get("fromDiskCache"):
            fetched.append(event["response"]["url"])
        names[event["requestId"]] = event["response"]["url"].rpartition("/")[2]

    client.on("Network.responseReceived", note)
    client.on("Network.loadingFinished", lambda event: loaded.add(names.get(event["requestId"], "")))
    page.goto(f"{site.url}/static/index.html")
    wait_live(page)
    # those of the other pages are fetched when there is nothing better to do
    end = time.monotonic() + PATIENCE
    while missing := {path.name for path in (built / "assets").glob("*.js")} - loaded:
        assert time.monotonic() < end, missing
        page.wait_for_timeout(100)
    fetched.clear()
    page.goto("about:blank")
    page.goto(f"{site.url}/static/index.html#/runs")
    wait_live(page)

    assert [url for url in fetched if "/assets/" in url] == []
    context.close()


def test_the_policy_is_strict(visit: Any, site: Any, watch: Any) -> None:
    """Nothing inline, nothing evaluated, nobody else's: the policy says so, and the browser keeps to it."""
    page = visit("services")
    answer = page.goto(f"{site.url}/static/index.html?strict")
    policy = answer.headers["content-security-policy"]
    directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))

    assert directives["default-src"] == "'none'"
    assert {directives[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    watch.allowed.append("Applying inline style violates")
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<i id=t style=\"color:red\">x</i>')")
    assert page.evaluate("document.getElementById('t').style.color") == ""


def test_strangers_get_nothing(site: Any) -> None:
    """Who is not logged in gets neither the console nor its files."""
    for path in ("/", "/static/index.html", "/static/theme.js", "/static/icon.svg"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(site.url + path)
        assert refused.value.code == 401
        refused.value.close()


def test_the_licences_of_what_is_bundled_are_there(built: Path) -> None:
    """Whoever gets the console gets the licences of the packages inside of it."""
    text = (built / "THIRD_PARTY_LICENSES.md").read_text()

    assert "svelte" in text
    assert "MIT" in text
