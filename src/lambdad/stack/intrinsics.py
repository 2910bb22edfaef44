"""CloudFormation's intrinsic functions over plain values. Pure.

A value is what YAML gives: strings, numbers, lists, and mappings; `{"Ref": ...}` and `{"Fn::...": ...}` are calls.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lambdad.stack.errors import StackError

_VARIABLE = re.compile(r"\$\{(!?)([^}]*)\}")
_DEPTH_MAX = 64


class Lookup(Protocol):
    """Where names get their values. Both raise StackError for what is not there."""

    def ref(self, name: str) -> Any: ...

    def attribute(self, name: str, attribute: str) -> Any: ...


class _NoValue:
    """`AWS::NoValue`: as if it, and the key that has it, were not written."""


NO_VALUE = _NoValue()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a template's expressions may refer to. conditions: already decided."""

    lookup: Lookup
    mappings: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, bool] = field(default_factory=dict)

    def resolve(self, value: Any) -> Any:
        """`value` with every call replaced by its result. Raises StackError."""
        resolved = self._resolve(value, 0)
        return None if resolved is NO_VALUE else resolved

    def is_true(self, condition: Any) -> bool:
        """A condition's expression. Raises StackError."""
        value = self._resolve(condition, 0)
        if not isinstance(value, bool):
            raise StackError(f"a condition is neither true nor false but {value!r}")
        return value

    def _resolve(self, value: Any, depth: int) -> Any:
        if depth > _DEPTH_MAX:
            raise StackError(f"expressions are nested more than {_DEPTH_MAX} deep")
        match value:
            case dict() if (call := call_of(value)) is not None:
                return self._call(*call, depth + 1)
            case dict():
                items = ((key, self._resolve(item, depth + 1)) for key, item in value.items())
                return {key: item for key, item in items if item is not NO_VALUE}
            case list():
                found = (self._resolve(item, depth + 1) for item in value)
                return [item for item in found if item is not NO_VALUE]
            case _:
                return value

    def _call(self, name: str, argument: Any, depth: int) -> Any:
        match name:
            case "Ref":
                return NO_VALUE if argument == "AWS::NoValue" else self.lookup.ref(_text(name, argument))
            case "Condition":
                return self._condition(_text(name, argument))
            case "Fn::If":
                condition, yes, no = _items(name, argument, 3)
                return self._resolve(yes if self._condition(_text(name, condition)) else no, depth)
            case "Fn::GetAtt":
                return self._attribute(argument, depth)
            case "Fn::Sub":
                return self._substitute(argument, depth)
        return _compute(name, self._resolve(argument, depth), self.mappings)

    def _condition(self, name: str) -> bool:
        if name not in self.conditions:
            raise StackError(f"the condition {name} is not in the template")
        return self.conditions[name]

    def _attribute(self, argument: Any, depth: int) -> Any:
        parts = argument.split(".", 1) if isinstance(argument, str) else _items("Fn::GetAtt", argument, 2)
        if len(parts) != 2:
            raise StackError(f"Fn::GetAtt needs a resource and an attribute, not {argument!r}")
        return self.lookup.attribute(_text("Fn::GetAtt", parts[0]), _text("Fn::GetAtt", self._resolve(parts[1], depth)))

    def _substitute(self, argument: Any, depth: int) -> str:
        text, own = (argument, {}) if isinstance(argument, str) else _items("Fn::Sub", argument, 2)
        values = self._resolve(own, depth)
        if not isinstance(values, dict):
            raise StackError(f"the second argument of Fn::Sub is a mapping, not {own!r}")

        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in values:
                return _plain(values[name])
            resource, dot, attribute = name.partition(".")
            return _plain(self.lookup.attribute(resource, attribute) if dot else self.lookup.ref(name))

        return _VARIABLE.sub(replace, _text("Fn::Sub", text))


def call_of(value: Mapping[Any, Any]) -> tuple[str, Any] | None:
    """The function and its argument, if a mapping is a call."""
    if len(value) != 1:
        return None
    ((name, argument),) = value.items()
    is_call = isinstance(name, str) and (name.startswith("Fn::") or name == "Ref")
    return (name, argument) if is_call or (name == "Condition" and isinstance(argument, str)) else None


def references(value: Any) -> Iterator[str]:
    """The names that a value's calls refer to: of resources, parameters and pseudo parameters alike."""
    match value:
        case dict():
            call = call_of(value)
            match call:
                case ("Ref", str(name)):
                    yield name
                case ("Fn::GetAtt", str(path)):
                    yield path.partition(".")[0]
                case ("Fn::GetAtt", [str(name), *_]):
                    yield name
                case ("Fn::Sub", str(text)) | ("Fn::Sub", [str(text), *_]):
                    yield from (name.partition(".")[0] for literal, name in _VARIABLE.findall(text) if not literal)
            for item in value.values():
                yield from references(item)
        case list():
            for item in value:
                yield from references(item)


def _compute(name: str, argument: Any, mappings: Mapping[str, Any]) -> Any:
    """The functions whose arguments are values already."""
    match name:
        case "Fn::Join":
            separator, parts = _items(name, argument, 2)
            return _text(name, separator).join(_plain(part) for part in _list(name, parts))
        case "Fn::Split":
            separator, text = _items(name, argument, 2)
            return _text(name, text).split(_text(name, separator))
        case "Fn::Select":
            index, choices = _items(name, argument, 2)
            return _select(index, _list(name, choices))
        case "Fn::FindInMap":
            return _find(_items(name, argument, 3), mappings)
        case "Fn::Base64":
            return base64.b64encode(_text(name, argument).encode()).decode()
        case "Fn::Length":
            return len(_list(name, argument))
        case "Fn::ToJsonString":
            return json.dumps(argument, separators=(",", ":"))
        case "Fn::Equals":
            first, second = _items(name, argument, 2)
            return _plain(first) == _plain(second)
        case "Fn::Not":
            return not _truth(name, _items(name, argument, 1)[0])
        case "Fn::And":
            return all(_truth(name, item) for item in _list(name, argument))
        case "Fn::Or":
            return any(_truth(name, item) for item in _list(name, argument))
    raise StackError(f"{name} is not supported by lambdad")


def _select(index: Any, choices: list[Any]) -> Any:
    if not str(index).isdigit() or int(index) >= len(choices):
        raise StackError(f"Fn::Select has no element {index!r} of {len(choices)}")
    return choices[int(index)]


def _find(keys: list[Any], mappings: Mapping[str, Any]) -> Any:
    found: Any = mappings
    for key in keys:
        if not isinstance(found, Mapping) or str(key) not in found:
            raise StackError(f"Fn::FindInMap finds nothing at {' / '.join(map(str, keys))}")
        found = found[str(key)]
    return found


def _plain(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
    raise StackError(f"a text is expected, not {value!r}")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise StackError(f"{name} takes a text, not {value!r}")
    return value


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise StackError(f"{name} takes conditions, not {value!r}")
    return value


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise StackError(f"{name} takes a list, not {value!r}")
    return value


def _items(name: str, value: Any, count: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != count:
        raise StackError(f"{name} takes a list of {count}, not {value!r}")
    return value
