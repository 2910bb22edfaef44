"""What a write changed, as values: how the catalogue of this process, and later of others, hears of it."""

from __future__ import annotations

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


Change: TypeAlias = (
    FunctionChanged | FunctionRemoved | VersionChanged | VersionRemoved | AliasChanged | AliasRemoved | SettingChanged
)
