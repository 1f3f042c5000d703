"""Whether the platform is well, as the console tells it."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import expect

import binp

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("size", ["desktop", "phone"])]


def test_every_page_says_that_nothing_can_be_saved(
    serve: Any, visit: Any, axe: Any, watch: Any, wait_live: Any, size: str
) -> None:
    """While the database takes no writes a banner tells why, since when and what helps; it goes away by itself."""
    watch.allowed.append("status of 503")
    at = serve()
    page = visit("services", at=at, size=size)
    banner = page.locator(".banner")
    expect(banner).to_have_count(0)
    with closing(sqlite3.connect(at.folder / "data.db", isolation_level=None, timeout=200)) as other:
        other.execute("BEGIN IMMEDIATE")
        refused = at.call("/internal/kv/value?key=x", 1, method="PUT")
        assert refused["status"] == 503
        expect(banner.get_by_role("alert")).to_contain_text("Nothing can be saved: the database is locked")
        expect(banner).to_contain_text(re.compile("Since .+; this goes away by itself"))
        for path in ("keys", "runs"):
            page.goto(f"{page.url.split('#')[0]}#/{path}")
            expect(banner).to_be_visible()
        page.reload()
        wait_live(page)
        expect(banner).to_be_visible()
        assert axe(page, "degraded") == []
        other.execute("ROLLBACK")

    expect(banner).to_have_count(0)
    at.stop()


def test_every_page_says_that_the_database_is_damaged(serve: Any, visit: Any, axe: Any, watch: Any, size: str) -> None:
    """What could not be read is told on every page, with what helps; that it goes away by itself is not said."""
    watch.allowed.append("status of 503")
    at = serve()
    with closing(sqlite3.connect(at.folder / "data.db", isolation_level=None, timeout=200)) as other:
        other.execute("INSERT INTO kv (namespace, key, version, value, updated) VALUES ('default', 'k', 1, '{', 0)")
        other.execute("UPDATE kv SET value = CAST(x'ff' AS TEXT) WHERE key = 'k'")
    assert at.call("/internal/kv/value?namespace=default&key=k")["status"] == 503
    page = visit("services", at=at, size=size)
    banner = page.locator(".banner")

    expect(banner.get_by_role("alert")).to_contain_text("the database is damaged")
    expect(banner).to_contain_text("binp restore")
    expect(banner).to_contain_text("Since")
    expect(banner).not_to_contain_text("goes away by itself")
    expect(banner).not_to_contain_text("Nothing can be saved")
    page.get_by_role("button", name="About").click()
    expect(page.get_by_role("dialog", name="About")).to_contain_text("is damaged; ")
    assert axe(page, "damaged") == []
    at.stop()


def test_a_sheet_tells_what_there_is(visit: Any, axe: Any, size: str) -> None:
    """The version, what the database holds and takes up, and how long that is kept are behind a button."""
    page = visit("schedules", size=size)
    page.get_by_role("button", name="About").click()
    sheet = page.get_by_role("dialog", name="About")
    expect(sheet).to_contain_text(f"binp {binp.__version__}")
    expect(sheet).to_contain_text(re.compile(r"is well; \S+ [kM]B in use"))
    expect(sheet).to_contain_text(re.compile(r"\d+, the oldest of "))
    expect(sheet).to_contain_text("90 days, the newest 1,000,000 runs, up to 2.15 GB in all")
    assert axe(page, "about") == []
    page.keyboard.press("Escape")

    expect(sheet).to_have_count(0)
    expect(page.get_by_role("button", name="About")).to_be_focused()
