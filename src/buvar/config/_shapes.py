"""Read the fields of attrs, dataclass and pydantic classes, without importing these libraries."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import sys
import types
import typing
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self

from buvar.config._errors import ConfigClassError
from buvar.secret import Secret

#: metadata key under which `var` and its siblings store their options
METADATA: Final = "buvar.config"

_SECRET_NAME = re.compile(
    r"(^|_)(password|passwd|passphrase|secret|token|credentials?|dsn|key|(api|private|access)_?key)s?(_|$)",
    re.IGNORECASE,
)
_OWN_VALIDATORS = frozenset({"BeforeValidator", "WrapValidator", "PlainValidator"})


@dataclasses.dataclass(frozen=True, slots=True)
class Variable:
    """The options of `var`, `bool_var` and `list_var`."""

    #: converts the raw value; None leaves it to the field's type
    converter: Callable[[Any], Any] | None = None
    #: checks the converted value of a dataclass field, like an attrs validator: (instance, attribute, value)
    validator: Callable[[Any, Any, Any], Any] | None = None
    #: key in files and environment, instead of the attribute's name
    name: str | None = None
    #: one line for the generated help
    help: str | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One field that a configuration can set."""

    #: name of the attribute
    name: str
    #: name of the constructor argument
    argument: str
    #: key in files and environment
    key: str
    type: Any
    required: bool
    #: creates the default; None if there is none, or if it needs an instance
    default: Callable[[], Any] | None = None
    #: the class converts the raw value itself: its type is that of the result, not of the input
    raw: bool = False
    #: converter that is tried before the class is created, so that its error can be attributed to the field
    converter: Callable[[Any], Any] | None = None
    #: the result of `converter` is the final value; otherwise the class converts again
    applies: bool = False
    variable: Variable | None = None
    help: str | None = None
    #: never shown in a message
    secret: bool = False
    #: the class with fields of its own that is the type of the value, possibly besides None; None for other types
    nested: type | None = dataclasses.field(init=False, default=None)
    #: whether None is allowed
    optional: bool = dataclasses.field(init=False, default=False)
    #: `type` without its wrappers
    inner: Any = dataclasses.field(init=False, default=None)

    def __post_init__(self) -> None:
        inner, optional = unwrap(self.type)
        object.__setattr__(self, "inner", inner)
        object.__setattr__(self, "optional", optional)
        if has(inner) and not self.raw:
            object.__setattr__(self, "nested", inner)


class Shapes(tuple[Shape, ...]):  # noqa: SLOT001 - a subclass of tuple can only have empty slots
    """The fields of a class, in order."""

    #: the keys of the fields in files and environment
    keys: tuple[str, ...]
    #: every key that a file may have, including the constructor arguments
    known: frozenset[str]
    #: cache for loaders: (prefix, path) -> places of the fields
    places: dict[Any, Any]

    def __new__(cls, shapes: Iterable[Shape]) -> Self:
        """Create it and index the keys."""
        made = super().__new__(cls, shapes)
        made.keys = tuple(shape.key for shape in made)
        made.known = frozenset([*made.keys, *(shape.argument for shape in made)])
        made.places = {}
        return made


#: attribute of a class: its annotations that can only be resolved in the scope that defines it
_LOCAL_HINTS: Final = "__buvar_config_hints__"
_SHAPES: weakref.WeakKeyDictionary[type, Shapes] = weakref.WeakKeyDictionary()


def unwrap(tp: Any) -> tuple[Any, bool]:
    """The type inside `Annotated`, `NewType`, aliases and `Optional`, and whether None is allowed."""
    tp = bare(tp)
    if typing.get_origin(tp) in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(tp) if option is not type(None)]
        optional = len(options) < len(typing.get_args(tp))
        return (unwrap(options[0])[0] if len(options) == 1 else tp), optional
    return tp, False


def bare(tp: Any) -> Any:
    """The type inside `Annotated`, `NewType`, `Final` and aliases."""
    while True:
        if isinstance(tp, typing.NewType):
            tp = tp.__supertype__
        elif typing.get_origin(tp) in (typing.Annotated, Final, typing.Required, typing.NotRequired):
            tp = typing.get_args(tp)[0]
        elif hasattr(tp, "__value__"):
            tp = tp.__value__
        else:
            return tp


def has(tp: object) -> bool:
    """Whether *tp* is an attrs, dataclass or pydantic class."""
    # list[int] passes as a type, but has no fields
    return isinstance(tp, type) and typing.get_origin(tp) is None and _reader(tp) is not None


def get_fields(cls: type) -> tuple[Any, ...]:
    """The fields of an attrs, dataclass or pydantic class, as its own library describes them.

    Raises:
        ConfigClassError: *cls* is none of these.
    """
    if is_pydantic(cls):
        return tuple(cls.__pydantic_fields__.values())  # type: ignore[attr-defined]  # checked by is_pydantic
    if "__attrs_attrs__" in dir(cls):
        return tuple(cls.__attrs_attrs__)  # type: ignore[attr-defined]  # the same
    if dataclasses.is_dataclass(cls):
        return dataclasses.fields(cls)
    raise ConfigClassError(cls)


def shapes_of(cls: type) -> Shapes:
    """The fields of *cls* that a configuration can set, in order; cached.

    Raises:
        ConfigClassError: *cls* is not an attrs, dataclass or pydantic class, or an annotation cannot be resolved.
    """
    known = _SHAPES.get(cls)
    if known is None:
        reader = _reader(cls)
        if reader is None:
            raise ConfigClassError(cls)
        known = _SHAPES[cls] = Shapes(reader(cls))
    return known


def is_secret(tp: Any, name: str) -> bool:
    """Whether a value must never be shown: because of its type, or of the name of its field."""
    return _is_secret_name(name) or any(part is Secret or hasattr(part, "get_secret_value") for part in _parts(tp))


@functools.lru_cache(maxsize=4096)
def _is_secret_name(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None


def remember_scope(cls: type, names: Mapping[str, Any]) -> None:
    """Resolve the string annotations of *cls* that need *names*, the local variables around its definition."""
    if _LOCAL_HINTS in vars(cls):
        return  # a copy of a class that was remembered: attrs and dataclasses create one for slots
    found: dict[str, Any] = {}
    for name, annotation in inspect.get_annotations(cls).items():
        if isinstance(annotation, str):
            try:
                found[name] = _evaluate(cls, annotation, names)
            except Exception:  # noqa: BLE001, S112 - resolved again at load, where a failure names class and field
                continue
    setattr(cls, _LOCAL_HINTS, found)


def is_pydantic(cls: type) -> bool:
    """Whether *cls* is a pydantic model or pydantic dataclass."""
    return isinstance(getattr(cls, "__pydantic_fields__", None), dict)


def _reader(cls: type) -> Callable[[type], Any] | None:
    if is_pydantic(cls):
        return _read_pydantic
    if hasattr(cls, "__attrs_attrs__"):
        return _read_attrs
    if dataclasses.is_dataclass(cls):
        return _read_dataclass
    return None


def _read_attrs(cls: type) -> Any:
    import attr  # already imported: it created the class

    for field in cls.__attrs_attrs__:  # type: ignore[attr-defined]  # its shape was just checked
        if not field.init:
            continue
        default: Callable[[], Any] | None = None
        if isinstance(field.default, attr.Factory):  # type: ignore[arg-type]  # a class for all but the stubs
            default = None if field.default.takes_self else field.default.factory
        elif field.default is not attr.NOTHING:
            default = _constant(field.default)
        variable = field.metadata.get(METADATA)
        tp = _hint(cls, field.name, field.type)
        yield Shape(
            name=field.name,
            argument=field.alias or field.name.lstrip("_"),
            key=(variable and variable.name) or field.alias or field.name.lstrip("_"),
            type=tp,
            required=field.default is attr.NOTHING,
            default=default,
            raw=field.converter is not None,
            converter=None if hasattr(field.converter, "takes_self") else field.converter,
            variable=variable,
            help=(variable and variable.help) or field.metadata.get("help"),
            secret=is_secret(tp, field.name),
        )


def _read_dataclass(cls: type) -> Any:
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        default: Callable[[], Any] | None = None
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory
        elif field.default is not dataclasses.MISSING:
            default = _constant(field.default)
        variable: Variable | None = field.metadata.get(METADATA)
        tp = _hint(cls, field.name, field.type)
        yield Shape(
            name=field.name,
            argument=field.name,
            key=(variable and variable.name) or field.name,
            type=tp,
            required=default is None,
            default=default,
            raw=variable is not None and variable.converter is not None,
            converter=variable.converter if variable else None,
            applies=True,
            variable=variable,
            help=(variable and variable.help) or field.metadata.get("help"),
            secret=is_secret(tp, field.name),
        )


def _read_pydantic(cls: type) -> Any:
    fields: dict[str, Any] = cls.__pydantic_fields__  # type: ignore[attr-defined]  # its shape was just checked
    decorators = getattr(cls, "__pydantic_decorators__", None)
    own = {
        name
        for decorator in (decorators.field_validators.values() if decorators else ())
        if decorator.info.mode in ("before", "wrap", "plain")
        for name in decorator.info.fields
    }
    for name, field in fields.items():
        if field.init is False:
            continue
        alias = next((a for a in (field.validation_alias, field.alias) if isinstance(a, str)), name)
        required = field.is_required()
        yield Shape(
            name=name,
            argument=alias,
            key=name,
            type=field.annotation,
            required=required,
            default=None if required or field.default_factory_takes_validated_data else _pydantic_default(field),
            raw=bool({name, "*"} & own) or any(type(item).__name__ in _OWN_VALIDATORS for item in field.metadata),
            help=field.description,
            secret=is_secret(field.annotation, name),
        )


def _constant(value: Any) -> Callable[[], Any]:
    return lambda: value


def _pydantic_default(field: Any) -> Callable[[], Any]:
    return lambda: field.get_default(call_default_factory=True)


def _hint(cls: type, name: str, written: Any) -> Any:
    """The annotation of one field, resolved in the namespace of the class that defines it."""
    for base in cls.__mro__:
        annotations = inspect.get_annotations(base)
        if name in annotations:
            local = vars(base).get(_LOCAL_HINTS, {})
            if name in local:
                return local[name]
            try:
                return _evaluate(base, annotations[name], {cls.__name__: cls, base.__name__: base})
            except Exception as error:  # noqa: BLE001 - re-raised with the class and the field
                raise ConfigClassError(cls, field=name, annotation=annotations[name], error=error) from None
    return Any if written is None else written


def _evaluate(cls: type, annotation: Any, names: Mapping[str, Any]) -> Any:
    module = sys.modules.get(cls.__module__)
    space = types.SimpleNamespace(__annotations__={"field": annotation})
    return typing.get_type_hints(space, vars(module) if module else {}, names, include_extras=True)["field"]


def _parts(tp: Any) -> typing.Iterator[Any]:
    """*tp* and, recursively, all its type arguments."""
    yield tp
    if type(tp) is type:
        return
    origin = typing.get_origin(tp)
    if origin is not None:
        yield origin
        if origin is not typing.Literal:
            for argument in typing.get_args(tp):
                yield from _parts(argument)
