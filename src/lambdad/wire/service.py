"""The `lambda` service as AWS describes it: operations and shapes, compiled from botocore's service model.

Not a copy of that model: every route, member, bound and error comes from the JSON file that botocore ships, so a newer
botocore brings newer operations. The values here are immutable and hold only what `wire` needs, ready to be walked
without look-ups. This module reads one file and does nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl

from botocore.loaders import Loader

from lambdad.model import limits

_MODEL = "lambda/2015-03-31/service-2"


class Kind(StrEnum):
    """What a shape is; the values are the model's own words."""

    STRUCTURE = "structure"
    LIST = "list"
    MAP = "map"
    STRING = "string"
    INTEGER = "integer"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    BOOLEAN = "boolean"
    TIMESTAMP = "timestamp"
    BLOB = "blob"


class Location(StrEnum):
    """Where a member of a request or response travels."""

    BODY = "body"
    URI = "uri"
    QUERY = "querystring"
    HEADER = "header"
    STATUS = "statusCode"
    PAYLOAD = "payload"
    """The member is the whole HTTP body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member of a structure. wire_name: its name in JSON, the query or the headers (those in lower case)."""

    name: str
    wire_name: str
    shape: Shape
    location: Location
    required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A type of the model with its constraints.

    members: of a structure. element: of a list. key, value: of a map.
    minimum, maximum: of the length or, for numbers, of the value.
    pattern: a Java regular expression. enum: in the model's order.
    timestamp_format: None for the default of the place where it stands.
    """

    name: str
    kind: Kind
    members: Mapping[str, Member]
    element: Shape | None = None
    key: Shape | None = None
    value: Shape | None = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    enum: tuple[str, ...] = ()
    sensitive: bool = False
    event_stream: bool = False
    timestamp_format: str | None = None

    def __repr__(self) -> str:
        return f"Shape({self.name}: {self.kind})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorShape:
    """An error of the model. message_member: `message` or `Message`, as AWS spells it in this error."""

    name: str
    status: int
    message_member: str
    sender_fault: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of the API.

    path: template such as `/2015-03-31/functions/{FunctionName}`, without the query.
    static_query: parameters that must be in the query for the request to mean this operation.
    status: HTTP status of success.
    """

    name: str
    method: str
    path: str
    static_query: tuple[tuple[str, str], ...]
    status: int
    input: Shape | None
    output: Shape | None
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaService:
    """Everything that the model says, by name."""

    operations: Mapping[str, Operation]
    shapes: Mapping[str, Shape]
    errors: Mapping[str, ErrorShape]


_BOUNDS = {
    "Timeout": limits.TIMEOUT_MAX_S,
    "MemorySize": limits.MEMORY_MAX_MB,
    "EphemeralStorageSize": limits.EPHEMERAL_MAX_MB,
}
"""Shapes whose bounds in the model are those of managed instances; functions have these."""


@functools.cache
def load_service() -> LambdaService:
    """The service model of the installed botocore, compiled; about 25 ms, once in a process."""
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    document = loader.load_data(_MODEL)
    bounded = {name: {**document["shapes"][name], "max": bound} for name, bound in _BOUNDS.items()}
    return compile_service({**document, "shapes": {**document["shapes"], **bounded}})


def compile_service(document: Mapping[str, Any]) -> LambdaService:
    """A service model in botocore's JSON form as values. Raises KeyError or ValueError for what is not one."""
    shapes = _ShapeCompiler(document["shapes"])
    operations: dict[str, Operation] = {}
    for name, described in document["operations"].items():
        path, _, query = described["http"]["requestUri"].partition("?")
        operations[name] = Operation(
            name=name,
            method=described["http"]["method"],
            path=path,
            static_query=tuple(parse_qsl(query, keep_blank_values=True)),
            status=described["http"].get("responseCode", 200),
            input=shapes.compile(described["input"]["shape"]) if "input" in described else None,
            output=shapes.compile(described["output"]["shape"]) if "output" in described else None,
            errors=tuple(error["shape"] for error in described.get("errors", ())),
        )
    return LambdaService(
        operations=MappingProxyType(operations),
        shapes=MappingProxyType(shapes.compiled),
        errors=MappingProxyType(
            {
                name: _compile_error(name, described)
                for name, described in document["shapes"].items()
                if described.get("exception")
            }
        ),
    )


def _compile_error(name: str, described: Mapping[str, Any]) -> ErrorShape:
    error = described.get("error", {})
    fault = bool(described.get("fault"))
    return ErrorShape(
        name=name,
        status=error.get("httpStatusCode", 500 if fault else 400),
        message_member="message" if "message" in described["members"] else "Message",
        sender_fault=bool(error.get("senderFault", not fault)),
    )


class _ShapeCompiler:
    """Compiles shapes by name, each once. A structure may contain itself: it is registered before its members are."""

    def __init__(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        self._documents = documents
        self.compiled: dict[str, Shape] = {}

    def compile(self, name: str) -> Shape:
        known = self.compiled.get(name)
        if known is not None:
            return known
        described = self._documents[name]
        members: dict[str, Member] = {}
        shape = Shape(
            name=name,
            kind=Kind(described["type"]),
            members=MappingProxyType(members),
            element=self._reference(described, "member"),
            key=self._reference(described, "key"),
            value=self._reference(described, "value"),
            minimum=described.get("min"),
            maximum=described.get("max"),
            pattern=described.get("pattern"),
            enum=tuple(described.get("enum", ())),
            sensitive=bool(described.get("sensitive")),
            event_stream=bool(described.get("eventstream")),
            timestamp_format=described.get("timestampFormat"),
        )
        self.compiled[name] = shape
        for member_name, reference in described.get("members", {}).items():
            members[member_name] = self._member(member_name, reference, described)
        return shape

    def _reference(self, described: Mapping[str, Any], role: str) -> Shape | None:
        return self.compile(described[role]["shape"]) if role in described else None

    def _member(self, name: str, reference: Mapping[str, Any], parent: Mapping[str, Any]) -> Member:
        wire_name = reference.get("locationName", name)
        if parent.get("payload") == name:
            location = Location.PAYLOAD
        else:
            location = Location(reference.get("location", Location.BODY))
        return Member(
            name=name,
            wire_name=wire_name.lower() if location is Location.HEADER else wire_name,
            shape=self.compile(reference["shape"]),
            location=location,
            required=name in parent.get("required", ()),
        )
