"""A served site, a real browser, and pages that fail their test when they complain or talk to a stranger."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Route,
    expect,
    sync_playwright,
)

SITE = Path(__file__).with_name("many_fields.py")
SIZES = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844}}
NAMES = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js"))
RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]
#: milliseconds that anything here may take
PATIENCE = 200_000
#: what a browser would otherwise do behind everybody's back
FLAGS = [
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# what goes through a server, a stream and back takes its time on a busy machine; nothing is proved by its being fast
expect.set_options(timeout=PATIENCE)


class Site:
    """The site, served by a process of its own on a port that stays the same."""

    def __init__(self, folder: Path, port: int, environ: dict[str, str], *arguments: str, python: str | Path) -> None:
        self.folder = folder
        self.file = folder / SITE.name
        shutil.copy(SITE, self.file)
        self._environ = environ
        self._arguments = arguments
        self._python = python
        self.port = port
        self.url = f"http://127.0.0.1:{self.port}"
        self.link = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [self._python, "-c", "from binp.cli import main; main()", "run", str(self.file), *self._arguments]
        self._log = (self.folder / "log.txt").open("a")
        self._process = subprocess.Popen(
            [*command, "--port", str(self.port), "--db", str(self.folder / "data.db")],
            cwd=self.folder,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self._process.stdout
        found = (re.search(r"http://\S+", line) for line in self._process.stdout)
        self.link = next((match[0] for match in found if match), "")
        assert self.link, (self.folder / "log.txt").read_text()

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.communicate(timeout=200)
            self._process = None
            self._log.close()

    def call(self, path: str, body: Any = None, *, method: str | None = None) -> Any:
        """Ask the API, with the token; answers what it says, also when it refuses."""
        token = (self.folder / "data.db.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=200) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)

    def start_run(self, name: str, /, **arguments: Any) -> int:
        return self.call(f"/internal/actions/{name}/runs", arguments)["run"]


Serve = Callable[..., Site]
Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium; without one the tests are skipped, but for where they are required."""
    found = next(filter(None, map(shutil.which, filter(None, NAMES))), None)
    if found is None:
        reason = "there is no Chromium: scripts/chromium says how to get one"
        if os.environ.get("REQUIRE_BROWSER"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return found


# Playwright keeps an event loop running in this thread, under which no test of another file could have one of its own:
# so it ends with each file
@pytest.fixture(scope="module")
def playwright(chromium: str) -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def launch(playwright: Playwright, chromium: str) -> Callable[..., Browser]:
    """Start a browser."""

    def start(*flags: str) -> Browser:
        # a sandbox cannot be had by root, and nothing but our own pages is looked at
        return playwright.chromium.launch(executable_path=chromium, chromium_sandbox=False, args=[*FLAGS, *flags])

    return start


@pytest.fixture(scope="module")
def browser(launch: Callable[..., Browser]) -> Iterator[Browser]:
    started = launch()
    yield started
    started.close()


@pytest.fixture(scope="session")
def serve(
    checkout: Path,
    clean_environ: dict[str, str],
    hold_port: Callable[[], int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Serve]:
    """Serve one more site, by `binp run` with these arguments and variables; all are stopped at the end."""
    if not (checkout / "src/binp/console/index.html").exists():
        pytest.skip("the console is not built: python hatch_build.py builds it")
    sites: list[Site] = []

    def make(*arguments: str, python: str | Path = sys.executable, **variables: str) -> Site:
        environ = {**clean_environ, **variables}
        site = Site(tmp_path_factory.mktemp("site"), hold_port(), environ, *arguments, python=python)
        sites.append(site)
        site.start()
        return site

    yield make
    for site in sites:
        site.stop()


@pytest.fixture(scope="session")
def site(serve: Serve, chromium: str) -> Site:
    """A site with some history, for all tests that leave it running."""
    made = serve()
    for number in range(30):
        made.call("/internal/action/greet", {"name": f"number {number}"})
    made.call("/internal/action/stumble", {})
    made.call("/internal/action/long%2Fone", {"steps": 3, "pause": 0})
    return made


class Watch:
    """Collects what a page must not do."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        #: what else may be said on the console, where a test provokes it
        self.allowed: list[str] = ["the server responded with a status of 4"]

    def on(self, context: BrowserContext) -> None:
        context.on("console", self._message)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.route("**", self._route)

    def _message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(text in message.text for text in self.allowed):
            self.complaints.append(message.text)

    def _route(self, route: Route) -> None:
        if re.match(r"http://(127\.0\.0\.1|lan\.test):", route.request.url):
            route.continue_()
        else:
            self.complaints.append(f"asked a stranger: {route.request.url}")
            route.abort()


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    yield made
    assert made.complaints == []


@pytest.fixture
def enter(browser: Browser, watch: Watch) -> Iterator[Callable[..., BrowserContext]]:
    """A browser of its own that is logged in to a site: ``enter(site, size="phone", scheme="dark")``."""
    opened: list[BrowserContext] = []

    def make(site: Site, size: str = "desktop", scheme: Any = "light", browser: Browser = browser) -> BrowserContext:
        context = browser.new_context(
            viewport=SIZES[size],
            has_touch=size == "phone",
            color_scheme=scheme,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="UTC",
        )
        context.set_default_timeout(PATIENCE)
        opened.append(context)
        watch.on(context)
        cookie = site.folder / "cookie.json"
        if cookie.exists():
            context.add_cookies(json.loads(cookie.read_text()))
        else:
            # the link is good for one login, and that for all tests
            page = context.new_page()
            page.goto(site.link)
            cookie.write_text(json.dumps(context.cookies()))
            page.close()
        return context

    yield make
    for context in opened:
        context.close()


@pytest.fixture
def visit(enter: Callable[..., BrowserContext], site: Site) -> Visit:
    """Open a page of the site: ``visit("runs", size="phone")``; it is live when it is answered."""

    def open_page(path: str = "", **how: Any) -> Page:
        at = how.pop("at", site)
        page = enter(at, **how).new_page()
        page.goto(f"{at.url}/static/index.html#/{path}")
        live(page)
        return page

    return open_page


def live(page: Page) -> None:
    page.locator("[data-status=live]").wait_for()
    page.locator("main h1").wait_for()


@pytest.fixture
def wait_live() -> Callable[[Page], None]:
    """Wait until a page is live."""
    return live


@pytest.fixture
def axe() -> Callable[[Page, str], list[str]]:
    """Look what axe has to say: ``axe(page, "runs")`` answers its complaints, each with this word in front."""
    return violations


def violations(page: Page, where: str) -> list[str]:
    """What axe has to say; the script is run from outside, so that the page's own policy does not matter."""
    # bars that stay in place cover whatever is below them at the moment of the scan, and nothing for good
    bars = ".shell > header, .shell > nav, .shell > footer"
    page.evaluate("bars => document.querySelectorAll(bars).forEach(one => { one.style.position = 'static' })", bars)
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text())
    result = page.evaluate("rules => axe.run(document, { runOnly: rules })", RULES)
    return [
        f"{where}: {one['id']}: {node['html'][:150]}: {node['failureSummary']}"
        for one in result["violations"]
        for node in one["nodes"]
    ]
