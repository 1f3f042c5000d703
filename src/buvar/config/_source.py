"""The merged tree of dictionaries and files, which remembers the source of each value."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeVar

from buvar.config._dotenv import is_env_file, read_env_file
from buvar.config._environ import FILE_ENDING, Outside, variable_names
from buvar.config._errors import ConfigClassError, ConfigError, ConfigFileError, Problem
from buvar.config._load import Loading
from buvar.config._shapes import has
from buvar.config._unread import misspelt
from buvar.config._values import Path, dotted
from buvar.names import did_you_mean

T = TypeVar("T")

_log = logging.getLogger("buvar.config")


class Change(NamedTuple):
    """A section that a reload changed."""

    #: name under which the section was loaded; None for the root
    section: str | None
    #: the instance before
    old: Any
    #: the instance now
    new: Any


class Changes(list[Change]):
    """The changes of a reload.

    Args:
        changes: The changes.
        undo: Restores the previous state.
        unheard: Changes that had no effect: loaded objects keep their old values.
    """

    def __init__(self, changes: Iterable[Change], undo: Callable[[], None], unheard: Iterable[Change] = ()) -> None:
        super().__init__(changes)
        #: Changes that nobody was notified of, or that the loaded object did not take over: it keeps its old values.
        self.unheard = tuple(unheard)
        self._undo: Callable[[], None] | None = undo

    def undo(self) -> None:
        """Restore the previous state of the source, and call the watchers. A second call does nothing."""
        undo, self._undo = self._undo, None
        if undo is not None:
            undo()


class ConfigSource(dict[str, Any]):
    """A dictionary of settings, merged from dictionaries and files, that fills classes; outside values take precedence.

    In decreasing precedence: `--set` assignments, environment, the file named by `NAME_FILE`, systemd credentials,
    named files of variables (`.env`), the dictionaries and files from last to first, the defaults of the class. Maps
    are merged deeply, lists and scalars are replaced. The environment is read at each `load`. The name of a variable is
    prefix, section and keys in upper case, joined by ``_`` (or by ``__`` if a key contains an underscore and the name
    would be ambiguous).

    Args:
        dicts: Settings; later ones take precedence.
        env_prefix: First part, or parts, of the variables; None for none.
        environ: The variables; None for the environment of the process.

    Raises:
        ConfigError: one of *dicts* is not a dictionary, or a prefix is given that contains no letter.
    """

    def __init__(
        self,
        *dicts: Mapping[str, Any],
        env_prefix: str | Sequence[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        #: First parts of every variable.
        self.env_prefix = _prefix(env_prefix)
        self._environ = environ
        self._origins: dict[Path, str] = {}
        self._layers: list[Callable[[], tuple[Mapping[str, Any], str]]] = []
        self._assignments: dict[tuple[str, ...], str] = {}
        self._claims: dict[str, tuple[str, ...]] = {}
        self._env_files: list[pathlib.Path] = []
        self._listed: dict[str, tuple[str, str]] = {}
        self._asked: set[tuple[str, ...]] = set()
        self._watchers: list[Callable[[Change], object]] = []
        #: the loaded instances, so that a reload can be checked against them
        self._loaded: dict[tuple[type, str | None], Any] = {}
        self.merge(*dicts)

    @classmethod
    def files(
        cls,
        *paths: str | os.PathLike[str],
        env_prefix: str | Sequence[str] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Read TOML and JSON files and files of variables (`.env`); later ones take precedence. See `add_file`.

        Raises:
            ConfigFileError: a file is missing, unreadable, malformed or of another kind.
        """
        source = cls(env_prefix=env_prefix, environ=environ)
        for path in paths:
            source.add_file(path)
        return source

    def add_file(self, path: str | os.PathLike[str]) -> None:
        """Merge a TOML or JSON file in place, or add a file of variables; `reload` reads it again.

        Files of variables, named `.env`, `.env.*` or `*.env`, take precedence over TOML and JSON files, but not over
        the environment.

        Raises:
            ConfigFileError: the file is missing, unreadable, malformed or of another kind.
        """
        file = pathlib.Path(path)
        if is_env_file(file):
            self._listed.update(read_env_file(file))
            self._env_files.append(file)
            return
        self._add_layer(lambda: (_read(file), str(file)))

    def merge(self, *dicts: Mapping[str, Any]) -> None:
        """Merge dictionaries in place; later ones take precedence. The arguments are not changed.

        Raises:
            ConfigError: one is not a dictionary.
        """
        for mapping in dicts:
            if not isinstance(mapping, Mapping):
                raise ConfigError(f"{mapping!r} is no dictionary", fix="read files by ConfigSource.files(...)")
            if isinstance(mapping, ConfigSource):
                self._copy_layers(mapping)
            else:
                self._add_layer(_constant(mapping, f"dict #{len(self._layers) + 1}"))

    def override(self, *assignments: str) -> None:
        """Add assignments ``path.to.key=text`` from a command line; they take precedence over everything.

        Raises:
            ConfigError: an assignment has no ``=`` or an empty part before it.
        """
        for assignment in assignments:
            path, separator, text = assignment.partition("=")
            keys = tuple(part.strip() for part in path.split("."))
            if not separator or not all(keys):
                raise ConfigError(f"{assignment!r} is not an assignment", fix="write it as section.key=value")
            self._assignments[tuple(key.replace("-", "_") for key in keys)] = text

    def load(self, cls: type[T], name: str | None = None) -> T:
        """Create an instance of a class from the settings.

        Keys that are not fields are ignored at the root, where other sections live, but are an error in a section.

        Args:
            cls: An attrs, dataclass or pydantic class.
            name: The section; dots lead into nested tables, a missing one counts as empty. None loads the root.

        Raises:
            ConfigClassError: *cls* is something else.
            ConfigLoadError: a value does not fit; lists every problem, each with its path and source.
        """
        if not has(cls):
            raise ConfigClassError(cls)
        path = () if name is None else (name,) if name in self else tuple(name.split("."))
        node: Any = self
        for part in path:
            node = node.get(part, {}) if isinstance(node, Mapping) else node
        environ = os.environ if self._environ is None else self._environ
        outside = Outside(self.env_prefix, environ, self._assignments, self._claims, self._listed)
        loading = Loading(outside, self._origin, _structure)
        loaded: T = loading.build(cls, node, path, ignore_unknown=name is None)
        self._asked |= outside.asked
        if loading.problems:
            from buvar.config._load_error import ConfigLoadError  # imports cattrs, so only now

            raise ConfigLoadError(cls, loading.problems)
        self._loaded[cls, name] = loaded
        return loaded

    def reload(self) -> Changes:
        """Read the files again, and keep the result if everything that was loaded before can be loaded from it.

        Objects that were loaded before are not changed. If one has a method ``__superseded__``, it is called with the
        object that replaces it, so that it can apply the new settings; the watchers are called next. It returns False
        if it does not apply them, and the change counts as unheard; so it does if the method raises, which is logged.

        Returns:
            The sections that are different now; its `undo` restores the previous state.

        Raises:
            ConfigFileError: a file cannot be read; nothing was changed.
            ConfigLoadError: a section does not fit; nothing was changed.
        """
        fresh = type(self)(env_prefix=self.env_prefix, environ=self._environ)
        fresh._copy_layers(self)  # noqa: SLF001 - the same class
        fresh._assignments = self._assignments  # noqa: SLF001 - the same class
        for cls, name in self._loaded:
            fresh.load(cls, name)
        before = type(self)(env_prefix=self.env_prefix, environ=self._environ)
        before._take(self)  # noqa: SLF001 - the same class
        changes = self._changes_to(fresh)

        def undo() -> None:
            back = self._changes_to(before)
            self._take(before)
            self._tell(back)

        self._take(fresh)
        return Changes(changes, undo, self._tell(changes))

    def _changes_to(self, other: ConfigSource) -> list[Change]:
        """The loaded sections that are different in *other*."""
        return [
            Change(name, old, other._loaded[cls, name])
            for (cls, name), old in self._loaded.items()
            if (cls, name) in other._loaded and other._loaded[cls, name] != old
        ]

    def _take(self, other: ConfigSource) -> None:
        """Take over the content of *other*."""
        self.clear()
        self.update(other)
        self._origins = other._origins
        self._listed = other._listed
        # keep what was loaded meanwhile
        self._loaded = self._loaded | other._loaded

    def _tell(self, changes: Iterable[Change]) -> list[Change]:
        """Notify objects and watchers; returns the changes that nobody was notified of, or that were not taken over."""
        unheard = []
        for change in changes:
            superseded = getattr(change.old, "__superseded__", None)
            if callable(superseded):
                failure = f"The changes of {change.section or 'the root'} could not be applied"
                is_heard = _call(superseded, change.new, failure) is not False
            else:
                is_heard = bool(self._watchers)
            if not is_heard:
                unheard.append(change)
            for watcher in list(self._watchers):
                _call(watcher, change, "A watcher of the configuration failed")
        return unheard

    def watch(self, watcher: Callable[[Change], object]) -> Callable[[], None]:
        """Call *watcher* with each `Change` that a reload finds. Exceptions that it raises are logged.

        Returns:
            A function that removes the watcher.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher) if watcher in self._watchers else None

    def check_env(self) -> list[Problem]:
        """The variables that look like settings but were not read by any `load` so far: most likely misspelt.

        Checks the variables of the environment that start with the prefix, if there is one, and those of the named
        files of variables that do.
        """
        environ = os.environ if self._environ is None else self._environ
        start = "".join(part.upper() + "_" for part in self.env_prefix)
        sources = {name: source for name, (_, source) in self._listed.items() if name.startswith(start)}
        if start:
            sources.update({name: f"environment variable {name}" for name in environ if name.startswith(start)})
        spellings = [variable_names(self.env_prefix, path) for path in self._asked]
        known = {name + ending for names in spellings for name in names for ending in ("", FILE_ENDING)}
        problems = []
        for name in sorted(sources.keys() - known):
            near = did_you_mean(name, [names[0] for names in spellings])
            message = f"{name} is read by nothing" + (f", did you mean {near}?" if near else "")
            problems.append(Problem("", message, sources[name]))
        return problems

    def check_assignments(self) -> list[Problem]:
        """The assignments that were not read by any `load` so far: most likely their section is misspelt."""
        problems = []
        for path in self._assignments:
            # an assignment below a field may be an item of a map
            if not any(path[: len(asked)] == asked for asked in self._asked):
                name = ".".join(path)
                near = did_you_mean(name, [".".join(asked) for asked in self._asked])
                message = "is read by nothing" + (f", did you mean {near}?" if near else "")
                problems.append(Problem(name, message, f"--set {name}"))
        return problems

    def check_sections(self) -> list[Problem]:
        """Which tables and keys of the files are most likely misspelt.

        Those that no `load` has read so far, whose name is close to that of one that was asked for and is not there.
        Others are left alone: they may belong to whoever does not run here. What is read like an item of a dictionary
        is loaded into no class either.
        """
        from buvar.config._sections import Config  # stands on this module

        known = [section for section in Config.__buvar_config_sections__ if isinstance(section, str)]
        problems = []
        for path, wanted in misspelt(self, self._asked, known):
            message = f"is loaded into no class, did you mean {wanted!r}?"
            problems.append(Problem(dotted(path), message, self._origin(tuple(map(str, path)))))
        return problems

    def _copy_layers(self, other: ConfigSource) -> None:
        for file in other._env_files:
            self.add_file(file)
        for layer in other._layers:
            self._add_layer(layer)

    def _origin(self, path: Path) -> str | None:
        """The source of the value at a path; inside a list, that of the list."""
        origin = self._origins.get(path)
        if origin is not None:
            return origin
        indexes = [place for place, part in enumerate(path) if isinstance(part, int)]
        return self._origins.get(path[: indexes[0]]) if indexes else None

    def _add_layer(self, layer: Callable[[], tuple[Mapping[str, Any], str]]) -> None:
        mapping, origin = layer()
        self._layers.append(layer)
        self._merge(self, mapping, (), origin)

    def _merge(self, target: dict[str, Any], mapping: Mapping[str, Any], path: Path, origin: str) -> None:
        for key, value in mapping.items():
            where = (*path, str(key))
            self._origins[where] = origin
            if isinstance(value, Mapping):
                below = target.get(key)
                if not isinstance(below, dict):
                    below = target[key] = {}
                self._merge(below, value, where, origin)
            else:
                target[key] = value


def _prefix(given: str | Sequence[str] | None) -> tuple[str, ...]:
    parts = (given,) if isinstance(given, str) else given or ()
    if any(parts) and not any(char.isalpha() for part in parts for char in part):
        raise ConfigError(f"the prefix {given!r} contains no letter", fix="leave it out, or give one like 'APP'")
    # an underscore is put between the parts; many people write one at the end of the prefix
    return tuple(part for part in (part.rstrip("_") for part in parts) if part)


def _call(told: Callable[[Any], object], news: object, failure: str) -> object:
    """What *told* returns; False if it raises, which is logged as *failure*."""
    try:
        return told(news)
    except Exception:  # noqa: BLE001 - the others are still told
        _log.error(failure, exc_info=True)
        return False


def _constant(mapping: Mapping[str, Any], origin: str) -> Callable[[], tuple[Mapping[str, Any], str]]:
    return lambda: (mapping, origin)


def _read(file: pathlib.Path) -> Mapping[str, Any]:
    readers: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise ConfigFileError(str(file), "it is neither TOML nor JSON", fix="name it *.toml, *.json or *.env")
    try:
        tree = reader(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigFileError(str(file), error.strerror or type(error).__name__) from error
    except (ValueError, RecursionError) as error:  # malformed text, or bytes that are not UTF-8
        raise ConfigFileError(str(file), str(error)) from error
    if not isinstance(tree, dict):
        raise ConfigFileError(str(file), "it holds no object", fix="put the settings into { }")
    return tree


def _structure(value: Any, tp: Any) -> Any:
    from buvar.config._legacy import relaxed_converter  # imports cattrs, so only now

    return relaxed_converter.structure(value, tp)
