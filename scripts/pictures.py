"""Take docs/pictures: the console showing examples/quickstart.py, on a desktop and a phone, light and dark."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "pictures"

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
SCHEMES = ("light", "dark")
#: what is run before the pictures are taken, so that there is something to see
FOLDERS = ("src/buvar", "src/binp", "docs", "tests", "src", "examples") * 3
#: when it is that the disk is said to be too full
FULL = (4, 11)


def story() -> Iterator[tuple[str, dict[str, Any]]]:
    """Actions with their arguments; the last one fails."""
    for index, folder in enumerate(FOLDERS):
        yield "checksum", {"folder": folder, "algorithm": ("sha256", "blake2b")[index % 2]}
        yield "disk_usage", {"limit": 0.1 if index in FULL else 99.9}
    yield "checksum", {"folder": "src"}
    yield "disk_usage", {"limit": 0.1}


def main() -> int:
    """Serve the quickstart, fill its history, and take each picture."""
    from playwright.sync_api import sync_playwright

    TARGET.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="quickstart-") as folder,
        served(Path(folder)) as (url, token),
        sync_playwright() as playwright,
    ):
        base = url.split("/?")[0]
        runs = [invoke(base, token, name, arguments) for name, arguments in story()]
        pages = {
            "actions": "",
            "action": f"actions/checksum?run={runs[-2]}",
            "runs": "runs",
            "run": f"runs/{runs[-1]}",
            "services": "services",
            "schedules": "schedules",
            "keys": "keys",
            "key": "keys/default/samples",
            "search": "runs?q=full+-state:succeeded",
        }
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"),
            chromium_sandbox=False,
            args=["--disable-gpu"],
        )
        login = browser.new_context()
        login.new_page().goto(url)
        cookies: Any = login.storage_state()
        for size, (width, height) in SIZES.items():
            for scheme in SCHEMES:
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,  # type: ignore[arg-type] # one of the two
                    reduced_motion="reduce",
                    locale="en-GB",
                    timezone_id="UTC",
                    storage_state=cookies,
                )
                page = context.new_page()
                for name, path in pages.items():
                    page.goto("about:blank")
                    page.goto(f"{base}/static/index.html#/{path}")
                    page.wait_for_selector("[data-status=live]")
                    page.wait_for_load_state("load")
                    # what is read after the first paint, and the fonts
                    page.wait_for_timeout(700)
                    page.screenshot(path=TARGET / f"{name}-{size}-{scheme}.png")
                context.close()
        browser.close()
    shrink(sorted(TARGET.glob("*.png")))
    print(f"{len(pages) * len(SIZES) * len(SCHEMES)} pictures in {TARGET.relative_to(ROOT)}")
    return 0


def shrink(pictures: list[Path]) -> None:
    """Make them a third of their size, where the program for it is there; nobody sees the difference."""
    if program := shutil.which("pngquant"):
        options = ["--force", "--ext", ".png", "--speed", "1", "--quality", "80-98"]
        subprocess.run([program, *options, *map(str, pictures)], check=True)
    else:
        print("pngquant would make them a third of their size: apt-get install pngquant", file=sys.stderr)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, str]]:
    """The quickstart, served in *folder*: the link that logs in, and the token."""
    # copied, so that no picture shows where somebody keeps his checkout
    shutil.copy(ROOT / "examples/quickstart.py", folder)
    for name in ("src", "docs", "tests", "examples"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "console", "pictures"))
    database = folder / "data.db"
    binp = Path(sys.executable).with_name("binp")
    command = [str(binp), "run", "quickstart.py", "--port", "0", "--db", str(database)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            link = next(found[1] for line in server.stdout or () if (found := re.search(r"(http://\S+)", line)))
            yield link, database.with_name("data.db.token").read_text().strip()
        finally:
            server.send_signal(signal.SIGTERM)


def invoke(base: str, token: str, name: str, arguments: dict[str, Any]) -> int:
    """Run an action to its end; the number of its run."""
    request = urllib.request.Request(  # noqa: S310 - an address of this machine
        f"{base}/internal/action/{name}",
        json.dumps(arguments).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {token}"},
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - the same # nosec B310 - the same
            return int(json.load(answer)["run"])
    except urllib.error.HTTPError as error:
        return int(json.load(error)["run"])


if __name__ == "__main__":
    sys.exit(main())
