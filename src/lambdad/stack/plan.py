"""What of a template is deployed, in which order, and what of it cannot be. Pure."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambdad.stack.errors import StackError
from lambdad.stack.intrinsics import Scope, references

MADE = frozenset(
    {
        "AWS::Lambda::Alias",
        "AWS::Lambda::EventInvokeConfig",
        "AWS::Lambda::EventSourceMapping",
        "AWS::Lambda::Function",
        "AWS::Lambda::LayerVersion",
        "AWS::Lambda::LayerVersionPermission",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Url",
        "AWS::Lambda::Version",
    }
)
ASSUMED = frozenset(
    {
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::Logs::LogGroup",
        "AWS::CloudFormation::WaitConditionHandle",
    }
)
"""Taken as there: lambdad assumes no role, and makes a log group when something is logged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource of a template, its properties unresolved."""

    name: str
    kind: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """order: what is made, each after what it refers to. unsupported: what is left out, as `Name (Type)`."""

    order: tuple[Resource, ...]
    assumed: tuple[Resource, ...]
    unsupported: tuple[Resource, ...]


def decide_conditions(declared: Mapping[str, Any], scope: Scope) -> dict[str, bool]:
    """The truth of each condition, which may refer to others. Raises StackError."""
    decided: dict[str, bool] = {}
    waiting = dict(declared)
    while waiting:
        ready = [name for name, value in waiting.items() if not _conditions_in(value) & set(waiting)]
        if not ready:
            raise StackError(f"the conditions {', '.join(sorted(waiting))} refer to each other")
        for name in ready:
            decided[name] = Scope(scope.lookup, scope.mappings, decided).is_true(waiting.pop(name))
    return decided


def make_plan(document: Mapping[str, Any], conditions: Mapping[str, bool]) -> Plan:
    """Raises StackError for references in a circle and conditions that are not there."""
    made: dict[str, Resource] = {}
    needs: dict[str, set[str]] = {}
    assumed, unsupported = [], []
    for name, described in document["Resources"].items():
        if not _applies(name, described, conditions):
            continue
        resource = Resource(name=name, kind=described["Type"], properties=described.get("Properties") or {})
        if resource.kind in MADE:
            made[name] = resource
            after = described.get("DependsOn") or []
            needs[name] = {*references(resource.properties), *([after] if isinstance(after, str) else after)}
        elif resource.kind in ASSUMED:
            assumed.append(resource)
        else:
            unsupported.append(resource)
    graph = {name: sorted(wanted & set(made)) for name, wanted in needs.items()}
    try:
        order = tuple(made[name] for name in graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        raise StackError(f"these resources refer to each other: {' → '.join(error.args[1])}") from None
    return Plan(order=order, assumed=tuple(assumed), unsupported=tuple(unsupported))


def _applies(name: str, described: Mapping[str, Any], conditions: Mapping[str, bool]) -> bool:
    condition = described.get("Condition")
    if condition is None:
        return True
    if condition not in conditions:
        raise StackError(f"the condition {condition} of {name} is not in the template")
    return conditions[condition]


def _conditions_in(value: Any) -> set[str]:
    match value:
        case dict():
            own = {value["Condition"]} if set(value) == {"Condition"} and isinstance(value["Condition"], str) else set()
            return own.union(*map(_conditions_in, value.values()))
        case list():
            return set().union(*map(_conditions_in, value))
        case _:
            return set()
