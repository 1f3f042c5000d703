"""Load the user's file, and find the BINP in it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from binp.errors import UsageError
from buvar.errors import Explained
from buvar.names import did_you_mean

if TYPE_CHECKING:
    from binp.app import BINP

#: our own packages, whose frames do not help users
_OURS = tuple(str(Path(__file__).parents[2] / name) for name in ("binp", "buvar"))


class BrokenFile(UsageError):
    """The user's file raised an exception when it was imported.

    Attributes:
        error: The exception.
    """

    def __init__(self, spec: str, error: BaseException) -> None:
        trace = user_traceback(error)
        super().__init__(f"{spec} cannot be imported\n\n{trace}")
        self.error = error


def load_target(target: str) -> BINP:
    """Load the BINP *target*: ``FILE``, ``FILE:NAME``, ``package.module`` or ``package.module:NAME``.

    The folder of the file, or the current one for a module, is put first on ``sys.path``, and a file is imported under
    its own name, so that its contents can be imported and pickled.

    Raises:
        UsageError: there is no such file or module, it cannot be imported, or it does not have exactly one BINP.
    """
    place, name = _split(target)
    module = _load_file(Path(place), target) if _is_path(place) else _load_module(place)
    return _named(module, place, name) if name else _only(module, place)


def check_target(target: str) -> None:
    """Check that a file exists, without importing anything. A module cannot be checked in advance.

    Raises:
        UsageError: there is no such file.
    """
    place, _ = _split(target)
    if _is_path(place):
        _check_file(Path(place))


def folder_of(target: str) -> Path:
    """The folder to put first on ``sys.path``: that of the file, or the current one for a module."""
    place, _ = _split(target)
    return Path(place).resolve().parent if _is_path(place) else Path.cwd()


def user_traceback(error: BaseException) -> str:
    """The traceback of *error* without the frames of the platform, the kernel and the import system."""
    shown: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is None or id(each) in shown:
            continue
        shown.add(id(each))
        each.__traceback__ = _without_ours(each.__traceback__)
        todo += [each.__cause__, each.__context__]
    return "".join(traceback.format_exception(error)).rstrip()


def _without_ours(trace: TracebackType | None) -> TracebackType | None:
    if trace is None:
        return None
    rest = _without_ours(trace.tb_next)
    file = trace.tb_frame.f_code.co_filename
    if file.startswith((*_OURS, "uvloop/")) or "importlib" in file:
        return rest
    return TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)


def _split(target: str) -> tuple[str, str | None]:
    place, colon, name = target.rpartition(":")
    if not colon or Path(target).exists() or "/" in name or "\\" in name:
        return target, None
    if not place or not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{target!r} names no file", fix="write it like ops.py, or ops.py:name")
    return place, name


def _is_path(place: str) -> bool:
    return place.endswith(".py") or "/" in place or "\\" in place or Path(place).exists()


def _load_file(path: Path, target: str) -> ModuleType:
    _check_file(path)
    name = path.stem
    path = path.resolve()
    known = sys.modules.get(name)
    if name in sys.stdlib_module_names or (known is not None and getattr(known, "__file__", None) != str(path)):
        raise UsageError(
            f"a file cannot be called {path.name}: it would hide the module {name!r}",
            where=str(path),
            fix=f"rename it, perhaps to my_{path.name}",
        )
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{target} is no Python file", where=str(path), fix="name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _user_code(path.name):
        spec.loader.exec_module(module)
    return module


def _check_file(path: Path) -> None:
    if path.is_dir():
        files = sorted(each.name for each in path.glob("*.py"))
        raise UsageError(
            f"{str(path)!r} is a folder",
            where=str(path.absolute()),
            fix=f"name a file in it: {', '.join(files[:10])}" if files else "name a Python file",
        )
    if not path.exists():
        # without the extension, which would make short names look similar
        known = {each.stem for each in path.parent.glob("*.py")}
        near = path.stem if path.stem in known else did_you_mean(path.stem, known)
        raise UsageError(
            f"there is no file {str(path)!r}",
            where=str(path.absolute()),
            fix=f"did you mean {str(path.with_name(f'{near}.py'))!r}?" if near else None,
        )
    if path.suffix != ".py":
        raise UsageError(
            f"{str(path)!r} is no Python file", where=str(path.absolute()), fix="name a file that ends in .py"
        )


def _load_module(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(f"{name!r} names neither a file nor a module", fix="write it like ops.py, or package.module")
    with _user_code(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            # only if the module itself or its package is missing; a missing import inside is an error in the file
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            near = did_you_mean(f"{name}.py", [each.name for each in Path.cwd().glob("*.py")])
            raise UsageError(
                f"there is no module {error.name!r}",
                where=folder,
                fix=f"did you mean {near!r}?" if near else "name a file that ends in .py, or a module",
            ) from None


class _user_code:  # noqa: N801 - used as a function
    """Turns an exception of the user's file during its import into one message."""

    def __init__(self, spec: str) -> None:
        self._spec = spec

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(error, Exception):
            return
        if isinstance(error, Explained):
            if error.where is None:
                error.where = _line_of_user(trace)
            return
        raise BrokenFile(self._spec, error) from None


def _line_of_user(trace: TracebackType | None) -> str | None:
    """File and line of the innermost frame of user code."""
    cut = _without_ours(trace)
    place = None
    while cut is not None:
        place = f"{cut.tb_frame.f_code.co_filename}, line {cut.tb_lineno}"
        cut = cut.tb_next
    return place


def _only(module: ModuleType, place: str) -> BINP:
    found: dict[int, tuple[str, BINP]] = {}
    for name, binp in _binps(module):
        found.setdefault(id(binp), (name, binp))
    # an included BINP is served by the one that includes it
    included = {id(member) for _, binp in found.values() for member in binp.family if member is not binp}
    left = [(name, binp) for key, (name, binp) in found.items() if key not in included]
    if len(left) == 1:
        return left[0][1]
    if not left:
        raise UsageError(
            f"there is no BINP in {place}",
            where=getattr(module, "__file__", None),
            fix="write `from binp import BINP` and `binp = BINP()` at the top of the file",
        )
    names = [name for name, _ in left]
    raise UsageError(
        f"there are {len(left)} BINPs in {place}: {', '.join(names)}",
        where=getattr(module, "__file__", None),
        fix=f"say which: {place}:{names[0]}",
    )


def _binps(module: ModuleType) -> Iterator[tuple[str, BINP]]:
    from binp.app import BINP

    for name, value in vars(module).items():
        if isinstance(value, BINP):
            yield name, value


def _named(module: ModuleType, place: str, name: str) -> BINP:
    from binp.app import BINP

    found: Any = module
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = [each for each, _ in _binps(module)] if found is module else []
            near = did_you_mean(part, known) or (known[0] if len(known) == 1 else did_you_mean(part, dir(found)))
            raise UsageError(
                f"there is no {name!r} in {place}",
                where=getattr(module, "__file__", None),
                fix=f"did you mean {place}:{near}?" if near and found is module else None,
            ) from None
    if not isinstance(found, BINP):
        raise UsageError(
            f"{name!r} in {place} is no BINP, but a {type(found).__qualname__}",
            where=getattr(module, "__file__", None),
            fix=f"name the BINP itself: {next((f'{place}:{each}' for each, _ in _binps(module)), f'{place}:binp')}",
        )
    # an included BINP is an alias of the one that includes it
    host = found.app.platform
    return host if isinstance(host, BINP) else found
