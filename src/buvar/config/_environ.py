"""Find the values from outside the files: assignments, variables, secret files, credentials."""

from __future__ import annotations

import functools
import pathlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from buvar.config._errors import Problem

#: variable that systemd sets to the folder with a unit's credentials
CREDENTIALS: Final = "CREDENTIALS_DIRECTORY"
#: suffix of a variable that names a file with the value
FILE_ENDING: Final = "_FILE"

Path = tuple[str, ...]


class Given(NamedTuple):
    """A value and where it came from."""

    value: Any
    source: str | None = None
    #: it is text that has to be converted to another type
    text: bool = False


def variable_names(prefix: Sequence[str], path: Sequence[str]) -> tuple[str, ...]:
    """The variables that set the value at *path*, the usual one first.

    Parts are joined by one underscore, or by two, which is unambiguous if a part contains an underscore itself.
    """
    return _spellings(tuple(prefix), tuple(path))


@functools.lru_cache(maxsize=4096)  # the same few fields are looked up at each load
def _spellings(prefix: Path, path: Path) -> tuple[str, ...]:
    parts = [re.sub(r"\W", "_", part).upper() for part in path]
    above = [part.upper() for part in prefix]
    exact = "__".join(parts)
    names = ("_".join([*above, *parts]), "_".join([*above, exact]), "__".join([*above, exact]))
    return tuple(dict.fromkeys(names))


def variables_of(prefix: Sequence[str], path: Sequence[str]) -> frozenset[str]:
    """All variables for the value at *path*: those that set it, and those that name a file with it."""
    names = variable_names(prefix, path)
    return frozenset([*names, *(name + FILE_ENDING for name in names)])


#: stands for a value whose problem was recorded
WRONG: Final = Given(None)


class Outside:
    """The values from outside the files, for one load.

    In decreasing precedence: `--set`, environment, the file named by `NAME_FILE`, systemd credentials, files of
    variables.

    Args:
        prefix: First parts of every variable.
        environ: The variables.
        assignments: Path to text, from the command line.
        claims: Variable to the path for which it was read; kept across loads.
        listed: Variables from files: name to (value, place).
    """

    def __init__(
        self,
        prefix: Sequence[str],
        environ: Mapping[str, str],
        assignments: Mapping[Path, str],
        claims: dict[str, Path],
        listed: Mapping[str, tuple[str, str]] = MappingProxyType({}),
    ) -> None:
        self.prefix = tuple(prefix)
        self.environ = environ
        self.assignments = assignments
        self.claims = claims
        self.listed = listed
        self.problems: list[Problem] = []
        #: the path of every value that was looked up
        self.asked: set[Path] = set()
        # a failed lookup in `os.environ` is slow, so the relevant variables are selected once
        start = "".join([part.upper() + "_" for part in prefix])
        self._present = frozenset([name for name in environ if name.startswith(start)])
        folder = environ.get(CREDENTIALS)
        self._credentials = _listing(pathlib.Path(folder)) if folder else {}

    def find(self, path: Path, siblings: Iterable[str], variables: frozenset[str]) -> Given | None:
        """The value for the leaf at *path*, or None; problems are added to `problems`.

        Args:
            path: Section and keys.
            siblings: Keys of the same class; if a field is named `x_file`, the variable `X_FILE` does not name a file.
            variables: Its `variables_of`.
        """
        self.asked.add(path)
        if path in self.assignments:
            return Given(self.assignments[path], f"--set {'.'.join(path)}", text=True)
        if not variables.isdisjoint(self._present):
            given = self._variable(path, siblings, self._present, None)
            if given is not None:
                return given if given.text else None
        file = self._credential(path) if self._credentials else None
        if file is not None:
            return self._read(path, file, "of the credentials")
        given = self._variable(path, siblings, self.listed, self.listed) if self.listed else None
        return given if given is not None and given.text else None

    def _variable(
        self,
        path: Path,
        siblings: Iterable[str],
        present: Collection[str],
        listed: Mapping[str, tuple[str, str]] | None,
    ) -> Given | None:
        """The value of a variable, or of the file that it names; on a problem, a value that is not text."""
        names = _spellings(self.prefix, path)
        found = [name for name in names if name in present and self._claim(name, path)]
        files = self._file_variables(path, names, siblings, present)
        if not found and not files:
            return None
        if len(found) + len(files) > 1:
            both = " and ".join(found + files)
            self.problems.append(Problem(".".join(path), f"is set more than once: {both}"))
            return WRONG
        name = (found or files)[0]
        text, source = (self.environ[name], f"environment variable {name}") if listed is None else listed[name]
        if found:
            return Given(text, source, text=True)
        return self._read(path, pathlib.Path(text), f"named by {source}") or WRONG

    def has_any(self, path: Path) -> bool:
        """Whether anything outside may set a value below *path*; cheap, with false positives for ambiguous names."""
        if any(known[: len(path)] == path for known in self.assignments):
            return True
        starts = tuple(name + "_" for name in variable_names(self.prefix, path))
        lowered = (starts[0].lower(), ".".join(path).lower() + ".")
        return (
            any(name.startswith(starts) for name in self._present)
            or any(name.startswith(starts) for name in self.listed)
            or any(name.lower().startswith(lowered) for name in self._credentials)
        )

    def is_given(self, path: Path, siblings: Iterable[str]) -> bool:
        """Whether `find` would return a value or record a problem."""
        names = variable_names(self.prefix, path)
        if path in self.assignments or any(name in self._present or name in self.listed for name in names):
            return True
        if any(self._file_variables(path, names, siblings, present) for present in (self._present, self.listed)):
            return True
        return self._credential(path) is not None

    @staticmethod
    def _file_variables(
        path: Path, names: Sequence[str], siblings: Iterable[str], present: Collection[str]
    ) -> list[str]:
        found = [name + FILE_ENDING for name in names if name + FILE_ENDING in present]
        if found and f"{path[-1]}{FILE_ENDING}".lower() in {sibling.lower() for sibling in siblings}:
            return []
        return found

    def _credential(self, path: Path) -> pathlib.Path | None:
        variable = _spellings(self.prefix, path)[0]
        for name in (variable, variable.lower(), ".".join(path), ".".join(path).lower()):
            if name in self._credentials:
                return self._credentials[name]
        return None

    def _claim(self, name: str, path: Path) -> bool:
        owner = self.claims.setdefault(name, path)
        if owner == path:
            return True
        exact = [variable_names(self.prefix, each)[-2 if self.prefix else -1] for each in (owner, path)]
        message = f"{name} may also mean {'.'.join(owner)}; spell it {exact[1]}, or {exact[0]} for the other"
        self.problems.append(Problem(".".join(path), message, f"environment variable {name}"))
        return False

    def _read(self, path: Path, file: pathlib.Path, kind: str) -> Given | None:
        source = f"file {file} {kind}"
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            self.problems.append(Problem(".".join(path), f"cannot read the secret file: {reason}", source))
            return None
        return Given(text.rstrip("\r\n"), source, text=True)


def _listing(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    try:
        return {entry.name: entry for entry in folder.iterdir() if entry.is_file()}
    except OSError:
        return {}
