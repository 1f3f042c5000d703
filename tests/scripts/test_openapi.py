"""The description of the API that the console is checked against is that of the API."""

import subprocess
import sys
from pathlib import Path


def test_the_description_is_up_to_date(checkout: Path, clean_environ: dict[str, str]) -> None:
    """API-12: ui/openapi.json is what the platform says of itself; `python scripts/openapi.py` brings it up to date."""
    command = [sys.executable, checkout / "scripts/openapi.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, env=clean_environ)

    assert (done.returncode, done.stderr) == (0, "")
