"""The pages of the keys: found, looked at, written, removed, and what became of them, all of it live."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, Route, expect

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("size", ["desktop", "phone"])]


def put(site: Any, namespace: str, key: str, value: Any, **query: Any) -> None:
    site.call(f"/internal/kv/value?{urlencode({'namespace': namespace, 'key': key, **query})}", value, method="PUT")


def rows(page: Page) -> Locator:
    return page.get_by_role("list", name="Keys").get_by_role("listitem")


def value(page: Page) -> Locator:
    return page.get_by_role("region", name="Value", exact=True).locator("pre")


def test_keys_are_found(visit: Any, site: Any, size: str) -> None:
    """Keys are listed by namespace and by how they begin, page by page, which stands in the address."""
    for number in range(60):
        put(site, "many", f"sensor/{number:02}", {"n": number})
    put(site, "many", "alarm", 1, ttl=86_400)
    page = visit("keys", size=size)
    page.get_by_label("Namespace").select_option("many")
    expect(rows(page)).to_have_count(50)
    expect(rows(page).first).to_contain_text("expires in")
    page.get_by_label("Begins with").fill("sensor/")
    expect(rows(page).first).to_contain_text("sensor/00")
    expect(rows(page).first).to_contain_text('{"n":0}')
    page.get_by_role("link", name="Next").click()
    expect(rows(page)).to_have_count(10)
    page.reload()
    expect(rows(page).first).to_contain_text("sensor/50")
    page.get_by_role("link", name="First").click()
    page.get_by_label("Begins with").fill("nothing")

    expect(page.get_by_text("No keys found")).to_be_visible()
    expect(page).to_have_url(re.compile("namespace=many&prefix=nothing$"))


def test_a_list_of_keys_is_live(visit: Any, site: Any, size: str) -> None:
    """A key that is written, changed or removed elsewhere is seen so without anything being clicked."""
    put(site, f"live-{size}", "one", 1)
    page = visit(f"keys?namespace=live-{size}", size=size)
    expect(rows(page)).to_have_count(1)
    put(site, f"live-{size}", "two", "new")
    expect(rows(page).nth(1)).to_contain_text('"new"')
    put(site, f"live-{size}", "two", "newer", ttl=1)

    expect(rows(page)).to_have_count(1)


def test_a_key_tells_who_wrote_it_in_which_run(visit: Any, site: Any, size: str) -> None:
    """A key shows its value to the last digit, and its versions, each with who wrote it, and a link to the run."""
    put(site, "music", "a/pitch", 10**20)
    run = site.start_run("tune", pitch=442.0, seconds=86_400)
    page = visit("keys?namespace=music", size=size)
    page.get_by_role("link", name="a/pitch").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("a/pitch")
    expect(value(page)).to_have_text("442.0")
    expect(page.get_by_text(re.compile("^ *expires in ")).first).to_be_visible()
    history = page.get_by_role("list", name="History").get_by_role("listitem")
    expect(history.first).to_contain_text("442.0")
    expect(history.nth(1)).to_contain_text("100000000000000000000")
    expect(history.nth(1)).to_contain_text("by token")
    history.first.get_by_role("link", name=f"run #{run}").click()

    expect(page.get_by_role("heading", level=1)).to_contain_text("tune")


def test_a_long_value_does_not_stick_out(visit: Any, site: Any, size: str) -> None:
    """The versions of a long value are as wide as the page, and no wider: each is cut, and opened by a press."""
    put(site, "long", size, list(range(200)))
    page = visit(f"keys/long/{size}", size=size)
    history = page.get_by_role("list", name="History").get_by_role("listitem")
    expect(history).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    history.locator("summary").click()
    expect(history.get_by_role("group", name="Value in version 1")).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_key_is_written_and_removed(visit: Any, site: Any, size: str) -> None:
    """A key that is not there is written, edited, and removed after a question; what is not JSON is refused."""
    page = visit(f"keys?namespace=made-{size}&prefix=fresh", size=size)
    page.get_by_role("link", name="Write fresh").click()
    expect(page.get_by_text("This key does not exist.")).to_be_visible()
    page.get_by_role("button", name="Write").click()
    page.get_by_label("JSON").fill("{'on': 1}")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("the body is not JSON")
    page.get_by_label("JSON").fill('{"on": 1.0}')
    page.get_by_label("Expires").select_option("in a day")
    page.get_by_role("button", name="Save").click()
    expect(value(page)).to_have_text('{"on": 1.0}')
    expect(page.get_by_text(re.compile("^ *expires in 2[34] ?h")).first).to_be_visible()

    page.get_by_role("button", name="Edit").click()
    expect(page.get_by_label("Expires")).to_have_value("keep")
    page.get_by_label("JSON").fill('{"on": 2}')
    page.get_by_role("button", name="Save").click()
    expect(value(page)).to_have_text('{"on": 2}')
    kept = site.call(f"/internal/kv/value?namespace=made-{size}&key=fresh")
    assert (kept["version"], kept["expires_at"] is not None) == (2, True)
    assert kept["actor"].startswith("session:")

    page.get_by_role("button", name="Remove").click()
    dialog = page.get_by_role("dialog", name="Remove fresh?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(value(page)).to_have_text('{"on": 2}')
    page.get_by_role("button", name="Remove").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("This key does not exist.")).to_be_visible()
    expect(page.get_by_role("list", name="History").get_by_role("listitem").first).to_contain_text("removed")


def test_nobody_is_overwritten_unseen(visit: Any, site: Any, size: str) -> None:
    """What somebody else writes into a key that is being edited is shown; nothing is lost on either side."""
    name = f"shared-{size}"
    put(site, "default", name, "first")
    page = visit(f"keys/default/{name}", size=size)
    expect(value(page)).to_have_text('"first"')
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("JSON").fill('"mine"')
    overtaken: list[str] = []

    def overtake(route: Route) -> None:
        if route.request.method == "PUT" and not overtaken:
            overtaken.append(name)
            put(site, "default", name, "theirs")
        route.continue_()

    page.route("**/kv/value*", overtake)
    page.get_by_role("button", name="Save").click()
    note = page.get_by_role("alert")
    expect(note).to_contain_text("Somebody else has changed it meanwhile")
    expect(note).to_contain_text("version 2")
    expect(value(page)).to_have_text('"theirs"')
    assert site.call(f"/internal/kv/value?key={name}")["value"] == "theirs"

    note.get_by_role("button", name="Take theirs").click()
    expect(page.get_by_label("JSON")).to_have_value('"theirs"')
    site.call(f"/internal/kv/value?key={name}", method="DELETE")
    expect(note).to_contain_text("It has been removed meanwhile")
    page.get_by_label("JSON").fill('"mine"')
    note.get_by_role("button", name="Keep mine").click()
    page.get_by_role("button", name="Save").click()
    expect(value(page)).to_have_text('"mine"')
