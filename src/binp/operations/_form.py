"""The form of a function's parameters: one pydantic model for HTTP, command line, schedules, Python and JSON Schema."""

from __future__ import annotations

import functools
import inspect
import typing
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from binp.errors import BinpError
from binp.files import File
from binp.store.contract import value
from buvar import di
from buvar.names import did_you_mean
from buvar.secret import MASK, Secret

from ._base import base_of
from ._json import as_json, cut_json
from ._secrets import is_foreign, mentions_secret

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

#: our messages for problem types, where pydantic's own are hard to understand
_WORDS = {
    "extra_forbidden": "there is no such field",
    "missing": "is required",
    "timezone_aware": "must have a zone, as 2026-03-29T02:30:00+01:00 has",
    "timezone_naive": "must have no zone, as 2026-03-29T02:30:00 has none",
    "time_parsing": "must be a time of day, as 09:15 is",
    "time_delta_parsing": "must be a duration, as PT1H30M or 01:30:00 is",
}

#: longer recorded arguments are truncated, in characters
ARGUMENTS_LIMIT = 1024 * 1024

__all__ = ["BoundCall", "Form", "FormError", "InvalidArguments"]


class FormError(BinpError, TypeError):
    """The parameters of a function do not make a form."""


class InvalidArguments(BinpError, ValueError):
    """Arguments do not fit the form.

    Attributes:
        errors: One ``{"loc": [...], "msg": text, "type": code}`` per problem; never contains a value.
    """

    def __init__(self, owner: str, errors: list[dict[str, Any]]) -> None:
        lines = [f"{_dotted(error['loc'])}: {error['msg']}" for error in errors]
        super().__init__(f"{owner} cannot be called like this: {'; '.join(lines)}")
        self.errors = errors


def _dotted(loc: list[Any]) -> str:
    return ".".join(map(str, loc)) or "arguments"


@value(frozen=True, slots=True)
class BoundCall:
    """Validated arguments, ready to be passed."""

    args: tuple[Any, ...] = field(repr=False)
    kwargs: dict[str, Any] = field(repr=False)
    #: JSON object of all arguments, including defaults, with secrets masked
    recorded: str
    #: the arguments as given, by name
    given: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: the files among them, also nested ones
    files: tuple[File, ...] = field(default=(), repr=False)
    #: makes `recorded` again, because some properties of a file are only known once it is stored
    describe: Callable[[], str] | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    #: name of the model's field: a field cannot be called ``schema`` or ``_x``, but a parameter can
    field: str
    annotation: Any
    default: Any
    positional: bool


class Form:
    """The arguments that a function accepts from outside.

    ``Inject[...]`` parameters are not included, nor are ``*args`` and ``**kwargs``, which stay empty. A parameter
    without an annotation accepts any JSON.
    """

    def __init__(self, function: Callable[..., Any], owner: str, where: str) -> None:
        self._function = function
        self._owner = owner
        self._where = where

    @functools.cached_property
    def injected(self) -> frozenset[str]:
        """Names of the parameters that dependency injection supplies."""
        return frozenset(di.injected(self._function))

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments.

        Raises:
            FormError: a parameter's type is not supported.
        """
        from pydantic.errors import PydanticInvalidForJsonSchema

        from ._schema import FormSchema

        try:
            with warnings.catch_warnings():
                # a default that is not JSON is left out of the schema: there is no alternative
                warnings.simplefilter("ignore")
                schema = self._model.model_json_schema(by_alias=True, schema_generator=FormSchema)
        except PydanticInvalidForJsonSchema as error:
            raise self._no_form(
                f"a parameter has a type that no JSON is: {str(error).splitlines()[0]}",
                fix="take a type that JSON can carry, or Inject[...] for a dependency",
            ) from error
        schema.pop("title", None)
        schema.setdefault("properties", {})
        return schema

    def bind(
        self, arguments: Mapping[str, Any], find: Callable[[Mapping[str, Any]], File | None] | None = None
    ) -> BoundCall:
        """Validate *arguments* and prepare the call.

        Args:
            arguments: The arguments by name.
            find: Returns the file for a description of a file in JSON.

        Raises:
            InvalidArguments: they do not fit; every problem is listed.
            FormError: a parameter's type is not supported.
        """
        model = self._model
        files: list[File] = []
        try:
            values = model.model_validate(dict(arguments), context={"files": files, "find": find})
        except self._misfit as error:
            raise InvalidArguments(self._owner, list(self._problems(error))) from None
        args = []
        kwargs = {}
        for parameter in self._parameters:
            value = getattr(values, parameter.field)
            if parameter.positional:
                args.append(value)
            else:
                kwargs[parameter.name] = value
        bound = BoundCall(tuple(args), kwargs, self._record(values), dict(arguments))
        return replace(bound, files=tuple(files), describe=lambda: self._record(values)) if files else bound

    def record_direct(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """JSON object of the arguments of a direct, unvalidated Python call, with secrets masked. Never raises."""
        try:
            bound = self._signature.bind_partial(*args, **kwargs)
        except (TypeError, ValueError):
            # there is no signature, or the call will fail for the same reason in a moment, inside its run
            return as_json({"args": [MASK] * len(args), "kwargs": sorted(kwargs)})
        bound.apply_defaults()
        plain = {}
        for name, given in bound.arguments.items():
            if name in self.injected or name in self._own_names:
                continue
            plain[name] = MASK if name in self.secret_names and given is not None else given
        return as_json(plain, ARGUMENTS_LIMIT)

    def secrets(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        """The arguments of a call that are secrets or contain some. Never raises."""
        if not self.secret_names:
            return []
        try:
            given = self._signature.bind_partial(*args, **kwargs)
        except (TypeError, ValueError):
            # the call will fail, but its arguments must stay secret
            return [*args, *kwargs.values()]
        given.apply_defaults()
        found = [value for name, value in given.arguments.items() if name in self.secret_names]
        # a direct call may pass the plain value instead of a Secret
        return [Secret(value) if isinstance(value, str | bytes | int | float) else value for value in found]

    @functools.cached_property
    def _own_names(self) -> frozenset[str]:
        """The name of a method's first parameter: the object is not an argument, and may be anything."""
        base = base_of(self._function)
        first = next(iter(self._signature.parameters), "")
        is_method = "." in str(getattr(base, "__qualname__", "")).rpartition("<locals>.")[2]
        return frozenset({first}) if is_method and first in ("self", "cls") else frozenset()

    @functools.cached_property
    def _signature(self) -> inspect.Signature:
        try:
            return inspect.signature(self._function)
        except ValueError as error:
            # some functions implemented in C have no signature
            raise self._no_form(
                "its parameters are not known", fix="call it in a function of yours, whose parameters have annotations"
            ) from error

    @functools.cached_property
    def _hints(self) -> dict[str, Any]:
        base = base_of(self._function)
        target = base if inspect.isroutine(base) or inspect.isclass(base) else type(base).__call__
        try:
            return typing.get_type_hints(target, include_extras=True)
        except NameError as error:
            raise self._no_form(
                f"the name {error.name!r} in its annotations is not defined",
                fix=f"import {error.name!r}, or define it at the top of the module, not under TYPE_CHECKING",
            ) from error
        except Exception as error:  # an annotation is an arbitrary expression, and may raise anything
            raise self._no_form(f"its annotations cannot be read: {type(error).__name__}: {error}") from error

    @functools.cached_property
    def secret_names(self) -> frozenset[str]:
        """Names of the parameters whose values are not recorded."""
        try:
            hints = self._hints
        except FormError:
            # the types are unknown: record nothing
            return frozenset(self._signature.parameters)
        return frozenset(name for name, hint in hints.items() if mentions_secret(hint))

    @functools.cached_property
    def _parameters(self) -> list[_Parameter]:
        found = []
        for index, parameter in enumerate(self._signature.parameters.values()):
            if parameter.name in self.injected or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            found.append(
                _Parameter(
                    parameter.name,
                    f"p{index}",
                    self._hints.get(parameter.name, Any),
                    parameter.default,
                    parameter.kind is parameter.POSITIONAL_ONLY,
                )
            )
        return found

    @functools.cached_property
    def _misfit(self) -> type[ValidationError]:
        # imported late: it takes longer than everything else that a command needs
        from pydantic import ValidationError

        return ValidationError

    @functools.cached_property
    def _model(self) -> type[BaseModel]:
        from pydantic import ConfigDict, Field, create_model

        fields: dict[str, Any] = {}
        for parameter in self._parameters:
            title = parameter.name.replace("_", " ").strip().capitalize()
            options: dict[str, Any] = {"alias": parameter.name, "title": title}
            if parameter.default is not inspect.Parameter.empty:
                options |= _default(parameter)
            fields[parameter.field] = (parameter.annotation, Field(**options))
            try:
                one = {parameter.field: fields[parameter.field]}
                create_model("Parameter", __config__=ConfigDict(extra="forbid"), **one)
            except Exception as error:  # an arbitrary object in an annotation may raise anything
                raise self._unreadable(parameter, error) from error
        name = self._owner.rpartition(" ")[2].strip("'") or "Arguments"
        return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)

    def _problems(self, error: Any) -> Iterator[dict[str, Any]]:
        names = [parameter.name for parameter in self._parameters]
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            message = problem["msg"]
            if problem["type"] == "extra_forbidden" and len(problem["loc"]) == 1:
                near = did_you_mean(str(problem["loc"][0]), names)
                message = "there is no such parameter" + (f"; did you mean {near!r}?" if near else "")
            else:
                # a validator's own message needs no name of the exception
                own = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
                message = _WORDS.get(problem["type"], own)
            yield {"loc": list(problem["loc"]), "msg": message, "type": problem["type"]}

    def _record(self, values: BaseModel) -> str:
        # defaults are not validated and may not fit their types, which does not matter here
        try:
            text = values.model_dump_json(by_alias=True, fallback=as_json_value, warnings=False)
            return cut_json(text, ARGUMENTS_LIMIT)
        except Exception:  # noqa: BLE001, S110 - lone surrogates, bytes that are not text, or a user's serializer: use the slower way
            pass
        try:
            plain = values.model_dump(mode="json", by_alias=True, fallback=as_json_value, warnings=False)
        except Exception:  # noqa: BLE001 - a user's serializer may raise anything; recording must not fail on it
            plain = {
                p.name: MASK if p.name in self.secret_names else getattr(values, p.field) for p in self._parameters
            }
        return as_json(plain, ARGUMENTS_LIMIT)

    def _unreadable(self, parameter: _Parameter, error: Exception) -> FormError:
        from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

        what = f"its parameter {parameter.name!r} is a {parameter.annotation!r}, which pydantic cannot read"
        if isinstance(error, PydanticSchemaGenerationError):
            fix = f"write {parameter.name}: Inject[...] for a dependency, else a type that JSON can carry"
            return self._no_form(what, fix=fix)
        lines = (error.message if isinstance(error, PydanticUserError) else str(error)).split("\n")
        return self._no_form(f"{what}: {' '.join(line.strip() for line in lines)}")

    def _no_form(self, why: str, *, fix: str | None = None) -> FormError:
        return FormError(f"no form can be made of {self._owner}: {why}", where=self._where, fix=fix)


def _default(parameter: _Parameter) -> dict[str, Any]:
    default = parameter.default
    if not mentions_secret(parameter.annotation) or default is None:
        return {"default": default}
    hints = (parameter.annotation, *typing.get_args(parameter.annotation))
    is_plain = isinstance(default, str | bytes | int | float) and not isinstance(default, bool)
    if is_plain and not any(is_foreign(hint) for hint in hints):
        default = Secret(default)
    # a default factory, so that the value is not part of the schema, which is shown to everybody who sees the form
    return {"default_factory": lambda: default}


def as_json_value(value: Any) -> Any:
    """The JSON value of *value*, for serializers that ask about unknown types."""
    import orjson

    return orjson.loads(as_json(value))
