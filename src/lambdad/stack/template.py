"""A template file: what it says, and the values of its parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from samtranslator.yaml_helper import yaml_parse

from lambdad.stack.errors import StackError

TEMPLATE_MAX = 1_000_000
"""Bytes; CloudFormation's own limit."""


@dataclass(frozen=True, slots=True)
class Template:
    """document: the parsed text. directory: what relative paths in it are relative to."""

    document: dict[str, Any]
    directory: Path

    def section(self, name: str) -> dict[str, Any]:
        """`Parameters`, `Resources`, ...; empty if it is not there. Raises StackError if it is no mapping."""
        value = self.document.get(name) or {}
        if not isinstance(value, dict):
            raise StackError(f"{name} of the template must be a mapping")
        return value


def read_template(path: Path) -> Template:
    """Read YAML or JSON. Raises StackError."""
    try:
        if path.stat().st_size > TEMPLATE_MAX:
            raise StackError(f"{path} has more than {TEMPLATE_MAX} bytes")
        document = yaml_parse(path.read_text())
    except OSError as error:
        raise StackError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StackError(f"{path} is not UTF-8 text") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise StackError(f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not isinstance(document.get("Resources"), dict) or not document["Resources"]:
        raise StackError(f"{path} is no template: it has no Resources")
    for name, resource in document["Resources"].items():
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            raise StackError(f"{path}: the resource {name} has no Type")
    return Template(document, path.parent)


def parameter_values(template: Template, given: Mapping[str, str]) -> dict[str, Any]:
    """The value of every parameter: what was given, or its default. Raises StackError."""
    declared = template.section("Parameters")
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise StackError(f"the template has no parameter {unknown[0]}; it has {', '.join(sorted(declared)) or 'none'}")
    return {name: _value(name, declaration, given) for name, declaration in declared.items()}


def _value(name: str, declaration: Any, given: Mapping[str, str]) -> Any:
    if not isinstance(declaration, dict):
        raise StackError(f"the parameter {name} is not a mapping")
    if name not in given and "Default" not in declaration:
        raise StackError(f"the parameter {name} has no default: give --parameter {name}=VALUE")
    text = str(given.get(name, declaration.get("Default")))
    kind = str(declaration.get("Type", "String"))
    allowed = declaration.get("AllowedValues")
    if isinstance(allowed, list) and text not in map(str, allowed):
        raise StackError(f"the parameter {name} must be one of {', '.join(map(str, allowed))}, not {text!r}")
    pattern = declaration.get("AllowedPattern")
    if isinstance(pattern, str) and not _matches(name, pattern, text):
        raise StackError(f"the parameter {name} must match {pattern}, and {text!r} does not")
    if kind == "Number" and not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        raise StackError(f"the parameter {name} must be a number, not {text!r}")
    return text.split(",") if kind == "CommaDelimitedList" or kind.startswith("List<") else text


def _matches(name: str, pattern: str, text: str) -> bool:
    try:
        return re.fullmatch(pattern, text) is not None
    except re.error as error:
        raise StackError(f"the AllowedPattern of the parameter {name} is not a regular expression: {error}") from None
