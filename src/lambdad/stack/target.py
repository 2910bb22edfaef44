"""Where a stack goes, and what is there of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lambdad.stack.errors import StackError
from lambdad.stack.sam import Package


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a stack is deployed. packages: by the key that stands for them, see `sam.translate`."""

    client: Any
    stack: str
    region: str
    account: str
    role: str
    packages: Mapping[str, Package] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A resource that is there. change: `created`, `updated` or `unchanged`."""

    name: str
    kind: str
    ref: str
    attributes: Mapping[str, str]
    change: str


class Names:
    """Implements `intrinsics.Lookup`: parameters, pseudo parameters, and resources as they are made."""

    def __init__(self, target: Target, parameters: Mapping[str, Any], assumed: Mapping[str, str]) -> None:
        self._target = target
        self._parameters = parameters
        self._assumed = assumed
        self.made: dict[str, Made] = {}

    def ref(self, name: str) -> Any:
        if name in self._parameters:
            return self._parameters[name]
        if name in self.made:
            return self.made[name].ref
        if name in self._assumed:
            return f"{self._target.stack}-{name}"
        pseudo = {
            "AWS::Region": self._target.region,
            "AWS::AccountId": self._target.account,
            "AWS::StackName": self._target.stack,
            "AWS::StackId": self._stack_id(),
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::NotificationARNs": [],
        }
        if name not in pseudo:
            raise StackError(f"Ref {name}: the template has no such parameter or resource")
        return pseudo[name]

    def _stack_id(self) -> str:
        target = self._target
        return f"arn:aws:cloudformation:{target.region}:{target.account}:stack/{target.stack}/lambdad"

    def attribute(self, name: str, attribute: str) -> Any:
        if name in self.made:
            attributes = self.made[name].attributes
            if attribute not in attributes:
                raise StackError(f"{name} ({self.made[name].kind}) has no attribute {attribute}")
            return attributes[attribute]
        if name not in self._assumed:
            raise StackError(f"GetAtt {name}.{attribute}: the template has no such resource")
        if self._assumed[name] == "AWS::IAM::Role" and attribute == "Arn":
            return self._target.role
        service = self._assumed[name].split("::")[1].lower()
        physical = f"{self._target.stack}-{name}"
        arn = f"arn:aws:{service}:{self._target.region}:{self._target.account}:{physical}"
        return arn if attribute.endswith("Arn") else physical
