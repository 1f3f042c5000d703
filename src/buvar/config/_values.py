"""Convert nested values by their annotations, and record what does not fit without revealing secrets."""

from __future__ import annotations

import enum
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from buvar.config import _convert
from buvar.config._convert import Unfit
from buvar.config._environ import Given
from buvar.config._errors import Problem
from buvar.config._shapes import Shape, bare, has, is_secret
from buvar.errors import Explained
from buvar.secret import MASK, Secret

Path = tuple[str | int, ...]
#: shorter secrets cannot be cut out of a message without garbling it: the message is dropped instead
SHORT: Final = 4


class Failed(enum.Enum):
    """The type of `FAILED`."""

    FAILED = "failed"


#: stands for a value that could not be created; its problem was recorded
FAILED: Final = Failed.FAILED


class Assigned(dict[str, Any]):
    """A map in which some items were assigned as text.

    Args:
        items: The original map.
        texts: The assigned items.
    """

    def __init__(self, items: Mapping[str, Any], texts: Mapping[str, str]) -> None:
        super().__init__({**items, **texts})
        self.texts = frozenset(texts)


def dotted(path: Path) -> str:
    """Format a path: `db.hosts[2].port`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class Values:
    """Converts values and collects problems.

    Args:
        problems: The list to which problems are appended.
        foreign: Converts to a type that the loader does not know; may raise anything.
    """

    def __init__(self, problems: list[Problem], foreign: Callable[[Any, Any], Any]) -> None:
        self.problems = problems
        self.foreign = foreign
        #: whether the present class validates by itself, so that unknown types are left to it
        self.lenient = False
        #: path -> source, of every given value
        self.sources: dict[Path, str | None] = {}
        self._secrets: set[str] = set()

    def build(self, cls: type, node: Any, path: Path) -> Any:
        """Create an instance of a class with fields; `FAILED` if a problem was recorded."""
        raise NotImplementedError

    def leaf(self, shape: Shape, given: Given, where: Path) -> Any:
        """The value for one field; `FAILED` if a problem was recorded."""
        self.sources[where] = given.source
        if shape.secret:
            self._hide(given.value)
        before = len(self.problems)
        try:
            value = self._own(shape, given.value) if shape.raw else self.value(given, shape.type, where)
            if shape.variable and shape.applies and shape.variable.validator and len(self.problems) == before:
                shape.variable.validator(None, shape, value)
        except Exception as error:  # noqa: BLE001 - a converter may raise anything; it is recorded with its path
            self.reject(where, error, given, secret=shape.secret)
        return FAILED if len(self.problems) > before else value

    def value(self, given: Given, tp: Any, where: Path) -> Any:
        """Convert one value.

        Raises:
            Exception: `Unfit`, or whatever a converter raises.
        """
        value = given.value
        if type(tp) is type and tp in _convert.SCALARS:
            return _convert.SCALARS[tp](value)
        tp = bare(tp)
        origin = typing.get_origin(tp) or tp
        if tp in (Any, object) or isinstance(tp, typing.TypeVar):
            return value
        if origin in _convert.SCALARS:
            return _convert.SCALARS[origin](value)
        compound = self._COMPOUND.get(origin)
        if compound is None:
            return self._object(given, tp, where)
        return compound(self, given, origin, typing.get_args(tp), where)

    @staticmethod
    def _own(shape: Shape, value: Any) -> Any:
        """Try the field's own converter to get its error early; an attrs class will call it again."""
        if shape.converter is None:
            return value
        converted = shape.converter(value)
        return converted if shape.applies else value

    def _object(self, given: Given, tp: Any, where: Path) -> Any:
        value = given.value
        if typing.is_typeddict(tp):
            return self.foreign(_convert.split_map(value)[0] if given.text else value, tp)
        if isinstance(tp, type) and isinstance(value, tp):
            return value
        if isinstance(tp, type) and issubclass(tp, enum.Enum):
            return _convert.to_enum(value, tp, text=given.text)
        if has(tp):
            return self.build(tp, _convert.split_map(value)[0] if given.text else value, where)
        return value if self.lenient else self.foreign(value, tp)

    def _secret(self, given: Given, _origin: Any, arguments: tuple[Any, ...], where: Path) -> Any:
        if isinstance(given.value, Secret):
            return given.value
        return Secret(self.value(given, (*arguments, str)[0], where))

    def _literal(self, given: Given, _origin: Any, arguments: tuple[Any, ...], _where: Path) -> Any:
        return _convert.to_literal(given.value, arguments, text=given.text)

    def _union(self, given: Given, _origin: Any, options: tuple[Any, ...], where: Path) -> Any:
        value = given.value
        if type(None) in options:
            if value is None or (given.text and value.strip().lower() in ("", "null", "none")):
                return None
            options = tuple(option for option in options if option is not type(None))
        if len(options) == 1:
            return self.value(given, options[0], where)
        complaints: list[str] = []
        for option in _most_exact_first(given, options):
            before = len(self.problems)
            try:
                result = self.value(given, option, where)
            except Exception as error:  # noqa: BLE001 - the next member may fit; all errors are kept
                complaints.append(error.complaint if isinstance(error, Unfit) else self._text(error))
                continue
            if len(self.problems) == before:
                return result
            complaints.append(self._misfit(option, where, self.problems[before:]))
            del self.problems[before:]
        raise Unfit(value, " and ".join(dict.fromkeys(complaints)))

    @staticmethod
    def _misfit(option: Any, where: Path, problems: list[Problem]) -> str:
        """Why a value does not fit a member of a union."""
        if not has(option):
            return f"holds what does not fit ({'; '.join(problem.message for problem in problems)})"
        depth = len(dotted(where)) + 1
        inner = [f"{problem.path[depth:]}: {problem.message}".removeprefix(": ") for problem in problems]
        return f"is no {option.__qualname__} ({'; '.join(inner)})"

    def _sequence(self, given: Given, origin: Any, arguments: tuple[Any, ...], where: Path) -> Any:
        items, text = given.value, False
        if given.text and isinstance(items, str):
            items, text = _convert.split_list(items)
        if not isinstance(items, (list, tuple, set, frozenset)):
            raise Unfit(items, "is not a list")
        wanted: list[Any] = [arguments[0] if arguments else Any] * len(items)
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            wanted = [] if arguments == ((),) else list(arguments)
            if len(items) != len(wanted):
                raise Unfit(given.value, f"has {len(items)} items instead of {len(wanted)}")
        made = [
            self._item(Given(item, given.source, text), tp, (*where, index))
            for index, (item, tp) in enumerate(zip(items, wanted, strict=True))
        ]
        return FAILED if any(item is FAILED for item in made) else _convert.SEQUENCES[origin](made)

    def _map(self, given: Given, _origin: Any, arguments: tuple[Any, ...], where: Path) -> Any:
        items, text = given.value, False
        if given.text and isinstance(items, str):
            items, text = _convert.split_map(items)
        if not isinstance(items, Mapping):
            raise Unfit(items, "is not a table")
        key_type, value_type = arguments or (Any, Any)
        texts = items.texts if isinstance(items, Assigned) else ()
        made: dict[Any, Any] = {}
        for key, item in items.items():
            step = (*where, str(key))
            name = self._item(Given(key, given.source, isinstance(key, str)), key_type, step)
            made[name] = self._item(Given(item, given.source, text or key in texts), value_type, step)
        return made

    def _item(self, given: Given, tp: Any, where: Path) -> Any:
        secret = is_secret(tp, str(where[-1]))
        if secret:
            self._hide(given.value)
        try:
            return self.value(given, tp, where)
        except Exception as error:  # noqa: BLE001 - a foreign converter may raise anything; it is recorded with its path
            self.reject(where, error, given, secret=secret)
            return FAILED

    # -- problems ------------------------------------------------------------------------------------------------

    def complain(self, where: Path, message: str, source: str | None) -> None:
        """Record a problem."""
        self.problems.append(Problem(dotted(where), message, source))

    def reject(self, where: Path, error: Exception, given: Given, *, secret: bool) -> None:
        """Record why a value does not fit; a secret is masked."""
        if isinstance(error, Unfit):
            message = f"{MASK if secret else self._shown(error.value)} {error.complaint}"
        elif secret:
            message = f"{MASK} is not valid ({type(error).__name__})"
        else:
            message = f"{self._shown(given.value)} is not valid: {self._text(error)}"
        self.complain(where, message, given.source)

    def reject_whole(self, path: Path, error: Exception, shapes: tuple[Shape, ...]) -> None:
        """Record why a class rejected its arguments; with the fields, if the error tells them."""
        by_argument = {name: shape for shape in shapes for name in (shape.argument, shape.name)}
        listed = getattr(error, "errors", None)
        if callable(listed):  # pydantic's ValidationError
            for item in listed():
                location = tuple(item["loc"])
                shape = by_argument.get(str(location[0])) if location else None
                where = (*path, shape.key, *location[1:]) if shape else (*path, *location)
                text = self._masked(item["msg"][:1].lower() + item["msg"][1:])
                hidden = not location or any(is_secret(None, str(part)) for part in where) or (shape and shape.secret)
                shown = "" if hidden else self._masked(_convert.show(item["input"]) + " is not valid: ")
                self.complain(where, shown + text, self._nearest(where))
            return
        # an error may name its field; validators of attrs pass the attribute, or quote its name
        names = [getattr(error, "field", None), *(getattr(argument, "name", None) for argument in error.args)]
        names += re.findall(r"'(\w+)'", str(error.args[0])) if error.args else []
        shape = next((by_argument[name] for name in names if name in by_argument), None)
        where = (*path, shape.key) if shape else path
        text = f"{MASK} is not valid ({type(error).__name__})" if shape and shape.secret else self._text(error)
        self.complain(where, text, self._nearest(where))

    def _nearest(self, where: Path) -> str | None:
        while where and where not in self.sources:
            where = where[:-1]
        return self.sources.get(where)

    @staticmethod
    def _shown(value: Any) -> str:
        """A value for a message; for a table only its keys, because any of its values may be a secret."""
        if isinstance(value, Mapping) and value:
            return f"a table of {', '.join(map(str, value))}"
        if isinstance(value, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in value):
            return f"a list of {len(value)} items"
        return _convert.show(value)

    def _hide(self, value: Any) -> None:
        for text in (value,) if isinstance(value, (str, int, float)) else _texts(value):
            self._secrets.add(str(text))

    def _text(self, error: Exception) -> str:
        if isinstance(error, ExceptionGroup):
            return "; ".join(self._text(inner) for inner in error.exceptions)
        first = error.args[0] if error.args and isinstance(error.args[0], str) else str(error)
        if isinstance(error, Explained) and error.fix:
            first = f"{first}; {error.fix}"
        return self._masked(first or type(error).__name__)

    def _masked(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            for spelling in {secret, repr(secret)[1:-1]} - {""}:
                if spelling in text:
                    if len(spelling) < SHORT:
                        return "is not valid (the reason would show a secret)"
                    text = text.replace(spelling, MASK)
        return text

    _COMPOUND: Final[Mapping[Any, Callable[..., Any]]] = {
        typing.Union: _union,
        types.UnionType: _union,
        Literal: _literal,
        Secret: _secret,
        **dict.fromkeys(_convert.SEQUENCES, _sequence),
        **dict.fromkeys(_convert.MAPS, _map),
    }


def _most_exact_first(given: Given, options: tuple[Any, ...]) -> list[Any]:
    """Members with the exact class of the value come first; for text, `str` comes last, as it accepts anything."""
    if given.text:
        return sorted(options, key=lambda option: option is str)
    return sorted(options, key=lambda option: type(given.value) not in (option, typing.get_origin(option)))


def _texts(value: Any) -> Iterator[Any]:
    """All scalars inside a nested value."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield value
