"""Run a script of ui/package.json, `check` or `test`, with the node that the console is built with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UI = ROOT / "ui"


def main() -> int:
    """Install what only checks, if it is not there, and run the script."""
    sys.path.insert(0, str(ROOT))
    import hatch_build  # type: ignore[import-not-found, unused-ignore]  # no package, but a file beside pyproject.toml

    node, npm = hatch_build.find_node()
    environ = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    if not (UI / "node_modules/.bin/svelte-check").exists():
        # the build leaves it out
        subprocess.run([*npm, "ci", "--ignore-scripts", "--loglevel=error"], cwd=UI, env=environ, check=True)
    done = subprocess.run([*npm, "run", "--silent", *sys.argv[1:]], cwd=UI, env=environ, check=False)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
