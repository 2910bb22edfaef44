"""Names and ARNs of functions and layers: parse and print.

Source of the grammar: the patterns of the `lambda` service model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LATEST = "$LATEST"

_FUNCTION_REFERENCE = re.compile(
    r"(?:arn:(?P<partition>aws[a-zA-Z-]*):lambda:(?P<region>[a-z]{2}(?:-[a-z]+)+-\d):(?P<account>\d{12}):function:"
    r"|(?:(?P<partial_account>\d{12}):)?function:"
    r"|(?P<bare_account>\d{12}):function:)?"
    r"(?P<name>[a-zA-Z0-9-_.]+)(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
_LAYER_ARN = re.compile(
    r"arn:aws[a-zA-Z-]*:lambda:(?P<region>[a-z0-9-]+):(?P<account>\d{12}):layer:(?P<name>[a-zA-Z0-9-_]+)(?::(?P<version>\d+))?"
)


@dataclass(frozen=True, slots=True)
class Namespace:
    """Where names live: nothing is shared between two accounts or two regions."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class FunctionReference:
    """What a client wrote where a function name is expected; parts it left out are None."""

    name: str
    qualifier: str | None = None
    account: str | None = None
    region: str | None = None


def parse_function_reference(text: str) -> FunctionReference | None:
    """A name, `name:qualifier`, partial ARN or ARN; None if it is none of these."""
    match = _FUNCTION_REFERENCE.fullmatch(text)
    if match is None:
        return None
    account = match["account"] or match["partial_account"] or match["bare_account"]
    return FunctionReference(match["name"], match["qualifier"], account, match["region"])


def function_arn(namespace: Namespace, name: str, qualifier: str | None = None) -> str:
    """The ARN of a function, or of the version or alias `qualifier` of it."""
    arn = f"arn:aws:lambda:{namespace.region}:{namespace.account}:function:{name}"
    return arn if qualifier is None else f"{arn}:{qualifier}"


@dataclass(frozen=True, slots=True)
class LayerVersionReference:
    """A parsed layer ARN; `version` is None in the ARN of the layer itself."""

    namespace: Namespace
    name: str
    version: int | None


def parse_layer_arn(text: str) -> LayerVersionReference | None:
    match = _LAYER_ARN.fullmatch(text)
    if match is None:
        return None
    version = match["version"]
    namespace = Namespace(match["account"], match["region"])
    return LayerVersionReference(namespace, match["name"], None if version is None else int(version))


def layer_arn(namespace: Namespace, name: str, version: int | None = None) -> str:
    arn = f"arn:aws:lambda:{namespace.region}:{namespace.account}:layer:{name}"
    return arn if version is None else f"{arn}:{version}"
