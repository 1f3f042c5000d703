"""Serialise arguments, including secrets, so that a form can make the same call from them in another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from binp.files import File, place_of
from buvar.secret import Secret

from ._form import InvalidArguments

if TYPE_CHECKING:
    from ._operation import Operation

__all__ = ["encode_given"]


def encode_given(operation: Operation, given: Mapping[str, Any], files: Sequence[File] = ()) -> str:
    """The JSON of the arguments *given* to the form of *operation*. It contains secrets and must not be stored.

    Args:
        operation: The operation.
        given: The arguments as given, by name.
        files: The files among them, which are handed over separately; placeholders in the JSON refer to them.

    Raises:
        InvalidArguments: an argument cannot be expressed as JSON.
    """
    numbers = {id(file.given): number for number, file in enumerate(files)}

    def plain(value: Any) -> Any:
        number = numbers.get(id(value))
        return _plain(value) if number is None else place_of(number)

    encoded: dict[str, Any] = {}
    for name, value in given.items():
        try:
            encoded[name] = orjson.Fragment(orjson.dumps(value, default=plain, option=orjson.OPT_NON_STR_KEYS))
        except (TypeError, ValueError) as error:
            what = f"cannot be handed to another process: {type(value).__name__} is not JSON"
            problem = {"loc": [name], "msg": what, "type": "json"}
            raise InvalidArguments(f"{operation.kind} {operation.name!r}", [problem]) from error
    return orjson.dumps(encoded).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return value.reveal()
    reveal = getattr(type(value), "get_secret_value", None)
    if reveal is not None:
        return reveal(value)
    dump = getattr(type(value), "model_dump", None)
    if dump is not None:
        return dump(value, by_alias=True)
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)
