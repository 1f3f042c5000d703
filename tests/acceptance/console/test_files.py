"""Files are chosen in a form, and what is returned is downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.slow


def test_a_file_goes_in_and_comes_out(visit: Any, site: Any) -> None:
    """Files: one that is chosen arrives, one that is too large is not sent, and what is returned is downloaded."""
    page = visit("actions/shout")
    large = {"name": "large.txt", "mimeType": "text/plain", "buffer": b"x" * 1001}
    page.get_by_label("File").set_input_files([large])
    expect(page.get_by_text("1 kB")).to_be_visible()
    page.get_by_role("button", name="Run").click()
    expect(page.get_by_text("at most 1 kB are taken")).to_be_visible()

    page.get_by_label("File").set_input_files([{**large, "name": "a.txt", "buffer": b"hello"}])
    page.get_by_role("button", name="Run").click()
    link = page.get_by_role("link", name="Download loud a.txt")
    expect(link).to_be_visible()
    with page.expect_download() as download:
        link.click()

    assert download.value.suggested_filename == "loud a.txt"
    assert Path(download.value.path()).read_bytes() == b"HELLO"
    run = site.call(f"/internal/runs/{page.url.rpartition('=')[2]}")
    assert run["arguments"]["file"]["$file"] == "a.txt"
    assert run["arguments"]["other"] is None


def test_files_come_out_together(visit: Any) -> None:
    """Files: those inside of what is returned have a link each."""
    page = visit("actions/shout")
    for label, name in (("File", "a.txt"), ("Other", "b.txt")):
        chosen = {"name": name, "mimeType": "text/plain", "buffer": name.encode()}
        page.get_by_label(label).set_input_files([chosen])
    page.get_by_role("button", name="Run").click()
    link = page.get_by_role("region", name="Result").get_by_role("link", name="Download loud b.txt")
    expect(link).to_be_visible()
    with page.expect_download() as download:
        link.click()

    assert download.value.suggested_filename == "loud b.txt"
    assert Path(download.value.path()).read_bytes() == b"B.TXT"
