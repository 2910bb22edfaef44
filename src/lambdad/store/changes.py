"""What a write changed, as values: how the catalogue of this process, and later of others, hears of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from lambdad.model.arn import Namespace
from lambdad.model.function import Alias, Function, FunctionVersion


@dataclass(frozen=True, slots=True)
class FunctionChanged:
    function: Function


@dataclass(frozen=True, slots=True)
class FunctionRemoved:
    """With all its versions, aliases and settings."""

    namespace: Namespace
    name: str


@dataclass(frozen=True, slots=True)
class VersionChanged:
    version: FunctionVersion


@dataclass(frozen=True, slots=True)
class VersionRemoved:
    namespace: Namespace
    function: str
    version: str


@dataclass(frozen=True, slots=True)
class AliasChanged:
    alias: Alias


@dataclass(frozen=True, slots=True)
class AliasRemoved:
    namespace: Namespace
    function: str
    name: str


@dataclass(frozen=True, slots=True)
class SettingChanged:
    """kind: a name of `store.settings`. record: None when it was removed."""

    namespace: Namespace
    function: str
    kind: str
    qualifier: str
    record: object | None


@dataclass(frozen=True, slots=True)
class TagsChanged:
    """resource: an ARN. tags: all that it has now; none when it went without a `FunctionRemoved`."""

    resource: str
    tags: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MappingChanged:
    """function_arn: of the function that an event source mapping calls; None when the mapping was removed."""

    namespace: Namespace
    uuid: str
    function_arn: str | None


Change: TypeAlias = (
    FunctionChanged
    | FunctionRemoved
    | VersionChanged
    | VersionRemoved
    | AliasChanged
    | AliasRemoved
    | SettingChanged
    | TagsChanged
    | MappingChanged
)
