"""What is shown stays true: over restarts, in many tabs, and where a browser offers less."""

from __future__ import annotations

import re
import signal
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_comes_back_is_noticed(serve: Any, visit: Any, watch: Any, number: int) -> None:
    """N-23: a page says that the server is gone, comes back by itself, and shows what it missed."""
    watch.allowed += ["net::ERR_", "status of 503"]
    at = serve()
    before = at.start_run("greet", name="before")
    page = visit("runs", at=at)
    expect(page.locator(f"a[href$='/{before}']")).to_be_visible()

    at.stop(number)
    expect(page.locator("[data-status=lost]")).to_be_visible()
    at.start()
    after = at.start_run("greet", name="after")

    expect(page.locator("[data-status=live]")).to_be_visible()
    expect(page.locator(f"a[href$='/{after}']")).to_be_visible()
    at.stop()


def test_a_file_that_is_saved_is_shown_as_it_is_now(serve: Any, visit: Any, watch: Any) -> None:
    """N-23: under `binp run --reload` an open page stays logged in and shows the new action; nothing is clicked."""
    watch.allowed += ["net::ERR_", "status of 503"]
    at = serve("--reload")
    page = visit("", at=at)
    expect(page.get_by_role("link", name=re.compile("^greet"))).to_have_count(1)
    text = at.file.read_text()
    at.file.write_text(text + "\n\n@binp.action\ndef brand_new() -> None: ...\n")
    expect(page.get_by_role("link", name=re.compile("^brand_new"))).to_be_visible()
    at.file.write_text("not Python")
    expect(page.locator("[data-status=lost]")).to_be_visible()
    at.file.write_text(text)

    expect(page.locator("[data-status=live]")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("^brand_new"))).to_have_count(0)
    at.stop()


def test_a_run_that_a_kill_cut_short_is_shown_so(serve: Any, visit: Any, watch: Any) -> None:
    """The open page of a run whose process was killed says so when the server is back."""
    watch.allowed += ["net::ERR_", "status of 503"]
    at = serve()
    run = at.start_run("long%2Fone", steps=3000)
    page = visit(f"runs/{run}", at=at)
    expect(page.locator(".meta")).to_contain_text("running")
    at.stop(signal.SIGKILL)
    at.start()

    expect(page.locator(".meta")).to_contain_text("interrupted")
    at.stop()


def test_eight_tabs_are_live_over_one_stream(enter: Any, site: Any, wait_live: Any) -> None:
    """Eight tabs share one connection; when the one that holds it is closed another takes over."""
    context = enter(site)
    streams: list[str] = []
    context.on("request", lambda request: streams.append(request.url) if "/internal/events" in request.url else None)
    pages = []
    for _ in range(8):
        page = context.new_page()
        page.goto(f"{site.url}/static/index.html#/runs?q=action:greet")
        wait_live(page)
        pages.append(page)

    assert len(streams) == 1
    run = site.start_run("greet", name="all")
    for page in pages:
        page.bring_to_front()
        expect(page.locator(f"a[href$='/{run}']")).to_be_visible()
    pages[0].close()
    run = site.start_run("greet", name="the seven others")
    for page in pages[1:]:
        page.bring_to_front()
        expect(page.locator(f"a[href$='/{run}']")).to_be_visible()


def test_plain_http_from_another_machine_will_do(
    launch: Any, enter: Any, serve: Any, watch: Any, wait_live: Any
) -> None:
    """Without a secure context there are no locks and no clipboard: pages are live, and copy, all the same."""
    # the browser says that it does not heed a header there, which is so
    watch.allowed.append("Cross-Origin-Opener-Policy header has been ignored")
    at = serve()
    browser = launch("--host-resolver-rules=MAP lan.test 127.0.0.1")
    context = enter(at, browser=browser)
    at.stop()
    at._environ = {**at._environ, "BINP_ALLOWED_HOSTS": '["lan.test"]'}
    at.start()
    page = context.new_page()
    page.goto(at.link.replace("127.0.0.1", "lan.test"))
    wait_live(page)
    assert page.evaluate("isSecureContext") is False
    run = at.start_run("greet", name="far")
    page.locator(f"a[href$='/{run}']").click()
    page.get_by_role("button", name="Copy the number of the run").click()

    expect(page.get_by_text("copied")).to_be_attached()
    other = context.new_page()
    other.goto(page.url)
    wait_live(other)
    browser.close()
    at.stop()


def test_who_is_logged_out_is_told_how_to_come_back(serve: Any, visit: Any) -> None:
    """A session that is over under an open page is said so; a pasted link begins another, at the same place."""
    at = serve()
    page = visit("services", at=at)
    button = page.locator("button[aria-label='Stop steady']")
    expect(button).to_be_enabled()
    page.context.clear_cookies()
    # where a change of a service came in between, the page has noticed by itself, and nothing behind it can be clicked
    button.dispatch_event("click")
    dialog = page.get_by_role("dialog", name="You are not logged in")
    expect(dialog).to_contain_text("binp link")
    at.stop()
    at.start()
    dialog.get_by_label("Link").fill(at.link)
    dialog.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("heading", name="steady")).to_be_visible()
    expect(page).to_have_url(re.compile("#/services$"))
    at.stop()


def test_a_place_survives_the_login(serve: Any, browser: Any, watch: Any, wait_live: Any) -> None:
    """A login link with a place behind it ends at that place."""
    at = serve()
    context = browser.new_context()
    watch.on(context)
    page = context.new_page()
    page.goto(at.link.replace("/?", "/static/index.html?") + "#/services")
    wait_live(page)

    expect(page.get_by_role("heading", level=1)).to_have_text("Services")
    context.close()
    at.stop()
