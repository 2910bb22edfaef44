"""From an AWS SAM template to plain CloudFormation resources, by AWS's own translator.

The translator takes code from S3 only. So paths of the local machine are first replaced by addresses of a bucket that
does not exist, and what each stands for is remembered until its resource is made. An address has the digest of the code
in it: the translator makes a new version when, and only when, that changes.
"""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samtranslator.model.exceptions import InvalidDocumentException
from samtranslator.translator.transform import transform

from lambdad.stack.errors import StackError
from lambdad.stack.template import Template

TRANSFORM = "AWS::Serverless-2016-10-31"
LOCAL_BUCKET = "lambdad-local-code"

_SAM_PROPERTY = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::LayerVersion": "ContentUri"}
_PLAIN_PROPERTY = {"AWS::Lambda::Function": "Code", "AWS::Lambda::LayerVersion": "Content"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Code on this machine that a resource is made of. runtime, architecture: if the template says them plainly."""

    path: Path
    is_layer: bool
    runtime: str | None
    architecture: str | None


@dataclass(frozen=True, slots=True)
class Package:
    """A zip to upload. digest: hexadecimal, of its bytes."""

    content: bytes
    digest: str


Bundle = Callable[[Source], Package]
"""Makes the zip of a source. Raises StackError."""


def uses_sam(template: Template) -> bool:
    declared = template.document.get("Transform")
    return TRANSFORM in (declared if isinstance(declared, list) else [declared])


def translate(
    template: Template, parameters: Mapping[str, Any], region: str, bundle: Bundle
) -> tuple[dict[str, Any], dict[str, Package]]:
    """The template as CloudFormation, and the packages that its code addresses (`Key`) stand for. Raises StackError."""
    document = copy.deepcopy(template.document)
    packages: dict[str, Package] = {}
    for name, resource in document["Resources"].items():
        source = _local_source(template, name, resource)
        if source is not None:
            package = bundle(source)
            key = f"{name}/{package.digest}"
            packages[key] = package
            _point_at(resource, key)
    if not uses_sam(template):
        return document, packages
    logging.getLogger("samtranslator").setLevel(logging.CRITICAL)  # it speaks of its own metrics
    with _region(region):
        try:
            return transform(document, dict(parameters), _NoManagedPolicies()), packages
        except InvalidDocumentException as error:
            causes = "; ".join(str(cause.message) for cause in error.causes)
            raise StackError(f"the SAM template is not valid: {causes or error.message}") from None


def _local_source(template: Template, name: str, resource: dict[str, Any]) -> Source | None:
    kind = resource["Type"]
    properties = resource.setdefault("Properties", {}) or {}
    if not isinstance(properties, dict):
        raise StackError(f"the Properties of {name} are no mapping")
    resource["Properties"] = properties
    common = _globals(template) if kind == "AWS::Serverless::Function" else {}
    member = _SAM_PROPERTY.get(kind) or _PLAIN_PROPERTY.get(kind)
    if member is None:
        return None
    place = properties.get(member, common.get(member))
    if kind == "AWS::Serverless::Function":
        if properties.get("PackageType", common.get("PackageType")) == "Image" or "InlineCode" in properties:
            return None
        place = "." if place is None else place
    if not isinstance(place, str) or place.startswith(("s3://", "https://")):
        return None
    path = (template.directory / place).resolve()
    if not path.exists():
        raise StackError(f"{member} of {name}: there is no {path}")
    method = (resource.get("Metadata") or {}).get("BuildMethod")
    if method is not None and not (isinstance(method, str) and method.startswith(("python", "nodejs"))):
        raise StackError(f"{name} wants the BuildMethod {method}: run `sam build`, then deploy its template")
    return Source(
        path=path,
        is_layer="Layer" in kind,
        runtime=_plain(properties.get("Runtime", common.get("Runtime", method))),
        architecture=_first(properties.get("Architectures", common.get("Architectures"))),
    )


def _point_at(resource: dict[str, Any], key: str) -> None:
    kind, properties = resource["Type"], resource["Properties"]
    if kind in _SAM_PROPERTY:
        properties[_SAM_PROPERTY[kind]] = {"Bucket": LOCAL_BUCKET, "Key": key}
    else:
        properties[_PLAIN_PROPERTY[kind]] = {"S3Bucket": LOCAL_BUCKET, "S3Key": key}


def _globals(template: Template) -> dict[str, Any]:
    common = template.section("Globals").get("Function") or {}
    return common if isinstance(common, dict) else {}


def _plain(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _first(value: Any) -> str | None:
    return _plain(value[0]) if isinstance(value, list) and value else None


class _NoManagedPolicies:
    """Policies are AWS's own by name; lambdad's functions assume no role."""

    def load(self) -> dict[str, str]:
        return {}


@contextmanager
def _region(region: str) -> Iterator[None]:
    """The translator reads the region from the environment of the process."""
    before = os.environ.get("AWS_DEFAULT_REGION")
    os.environ["AWS_DEFAULT_REGION"] = region
    try:
        yield
    finally:
        if before is None:
            del os.environ["AWS_DEFAULT_REGION"]
        else:
            os.environ["AWS_DEFAULT_REGION"] = before
