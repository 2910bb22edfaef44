"""Records as JSON text: frozen dataclasses of `lambdad.model` to columns and back.

Reads what an older lambdad wrote: members that are missing take the dataclass's default, unknown ones are ignored.
Knows dataclasses, `X | None`, `tuple[X, ...]`, `Mapping[str, X]`, strings, numbers and booleans; nothing else.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar, cast

import orjson

Record = TypeVar("Record")
Decoder = Callable[[Any], Any]


def encode(record: object) -> str:
    return orjson.dumps(record).decode()


def decode(kind: type[Record], text: str) -> Record:
    record: Record = decoder(cast(Hashable, kind))(orjson.loads(text))
    return record


@functools.cache
def decoder(kind: Any) -> Decoder:
    """A function from parsed JSON to a value of `kind`, built once per type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_decoder(kind)
    if origin in (types.UnionType, typing.Union):
        (inner,) = (decoder(argument) for argument in arguments if argument is not type(None))
        return lambda value: None if value is None else inner(value)
    if origin is tuple:
        item = decoder(arguments[0])
        return lambda values: tuple(item(value) for value in values)
    if origin is Mapping or (isinstance(origin, type) and issubclass(origin, Mapping)):
        content = decoder(arguments[1])
        return lambda values: {key: content(value) for key, value in values.items()}
    if kind is float:
        return float
    if kind in (str, int, bool, Any):
        return lambda value: value
    raise TypeError(f"records cannot hold {kind!r}")


def _dataclass_decoder(kind: type) -> Decoder:
    hints = typing.get_type_hints(kind)
    members = [(field.name, decoder(hints[field.name])) for field in dataclasses.fields(kind)]

    def decode_members(value: Mapping[str, Any]) -> Any:
        return kind(**{name: inner(value[name]) for name, inner in members if name in value})

    return decode_members
