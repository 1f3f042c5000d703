"""The page of the schedules: when each comes, pausing it, starting it now, all of it live."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.slow

sizes = pytest.mark.parametrize("size", ["desktop", "phone"])


def card(page: Page, name: str) -> Locator:
    heading = page.get_by_role("heading", name=name, exact=True)
    return page.get_by_role("listitem").filter(has=heading)


@sizes
def test_it_says_when_each_comes(visit: Any, size: str) -> None:
    """A schedule is told in words, with its next moments here and there, and what changes of the clock do."""
    page = visit("schedules", size=size)
    spring = card(page, "greet/spring")
    moments = spring.get_by_role("list", name="Next starts of greet/spring").get_by_role("listitem")

    expect(spring).to_contain_text("At 02:30")
    expect(spring).to_contain_text("Say hello when it is time.")
    expect(spring).to_contain_text("name=spring")
    expect(spring).to_contain_text("makes up for none missed")
    expect(moments.first).to_contain_text(re.compile(r"Mar, 0[01]:[03]0.* 0[23]:[03]0 in Europe/Berlin"))
    # the last Sunday of March is among the next ten, wherever in the year this is
    expect(moments.filter(has_text="does not exist").first).to_contain_text(
        "it starts when the clock has jumped to 03:00"
    )
    expect(card(page, "greet rarely")).to_contain_text("waits for the run before")


@sizes
def test_it_is_paused_and_let_go_on(visit: Any, site: Any, size: str) -> None:
    """A button pauses a schedule, which says by whom; what is done elsewhere is seen at once."""
    page = visit("schedules", size=size)
    spring = card(page, "greet/spring")
    spring.get_by_role("button", name="Pause greet/spring").click()
    expect(spring).to_contain_text(re.compile(r"Paused by \S+, [^.]+\.\s+What comes meanwhile is left out"))
    by_name = {one["name"]: one for one in site.call("/internal/schedules/")}
    assert by_name["greet/spring"]["paused"] is True

    site.call("/internal/schedule/greet%2Fspring", {"paused": False}, method="PUT")
    expect(spring.get_by_role("button", name="Pause greet/spring")).to_be_visible()
    expect(spring).not_to_contain_text("Paused")


@sizes
def test_it_is_started_now(visit: Any, size: str) -> None:
    """A schedule is started out of turn, which leads to its run; a link leads to all of them."""
    page = visit("schedules", size=size)
    card(page, "greet/spring").get_by_role("button", name="Start greet/spring now").click()

    expect(page).to_have_url(re.compile(r"#/runs/\d+$"))
    expect(page.locator(".meta")).to_contain_text("succeeded")
    expect(page.get_by_role("region", name="Result")).to_contain_text("hello spring")
    run = page.url.rpartition("/")[2]
    page.go_back()
    card(page, "greet/spring").get_by_role("link", name="Runs of greet/spring").click()
    expect(page.locator(f"a[href$='/{run}']")).to_be_visible()


def test_its_runs_appear_while_one_looks(serve: Any, visit: Any) -> None:
    """What a schedule starts is drawn as it comes, and its next moments go on."""
    at = serve(TICKS="1")
    page = visit("schedules", at=at)
    tick = card(page, "tick")
    bars = tick.get_by_role("img")
    expect(bars).to_have_accessible_name(re.compile(r"The latest \d+ runs, 0 of them failed"))
    before = bars.get_attribute("aria-label") or ""
    expect(bars).not_to_have_accessible_name(before)
    moments = tick.get_by_role("list", name="Next starts of tick").locator("time")
    first = moments.first.get_attribute("datetime")

    expect(moments.first).not_to_have_attribute("datetime", first or "")
    at.stop()
