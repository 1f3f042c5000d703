"""Write ui/openapi.json, the description of the platform's routes that the console is type-checked against."""

from __future__ import annotations

import json
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "ui" / "openapi.json"


def render() -> str:
    """The document as it is committed."""
    from binp import BINP
    from binp.api import create_app

    return json.dumps(create_app(BINP()).openapi(), indent=1, sort_keys=True) + "\n"


def main() -> int:
    """Write it; with ``--check`` only say whether it is up to date."""
    text = render()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() == text:
            return 0
        print("ui/openapi.json is out of date: python scripts/openapi.py writes it", file=sys.stderr)
        return 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
