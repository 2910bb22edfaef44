"""Layers that are given as directories: each is published as a version of its own whenever its bytes are new."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lambdad.cli.bundle import bundle_directory
from lambdad.cli.errors import CliError
from lambdad.cli.output import note

DESCRIPTION = "a directory, by lambdad deploy"
"""Marks the versions that may be replaced: nobody else was told of them."""
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9-_]+")


def name_after(text: str) -> str:
    """`text` as the name of a layer or a function may be; empty if nothing of it can be in one."""
    return _NOT_IN_NAMES.sub("-", text).strip("-")


def layer_directories(layers: Sequence[str]) -> tuple[Path, ...]:
    """Those that are directories; the others are ARNs."""
    return tuple(Path(layer) for layer in layers if not layer.startswith("arn:"))


def publish_layers(client: Any, layers: Sequence[str]) -> list[str]:
    """The ARNs of layers, in their order; what is in a directory is published if it is not the newest version.

    Raises CliError for what is neither an ARN nor a directory.
    """
    return [layer if layer.startswith("arn:") else _publish(client, Path(layer)) for layer in layers]


def forget_replaced(client: Any, before: Sequence[str], now: Sequence[str]) -> None:
    """Delete the versions that `publish_layers` made and a function has no more, so that a watch leaves but one."""
    for arn in sorted(set(before) - set(now)):
        layer, _, version = arn.rpartition(":")
        try:
            found = client.get_layer_version_by_arn(Arn=arn)
        except client.exceptions.ResourceNotFoundException:
            continue
        if found.get("Description") == DESCRIPTION:
            client.delete_layer_version(LayerName=layer, VersionNumber=int(version))


def _publish(client: Any, directory: Path) -> str:
    if not directory.is_dir():
        raise CliError(f"--layers {directory}: no ARN, no release NAME@N and no directory: give one of them")
    name = name_after(directory.resolve().name)
    if not name:
        raise CliError(f"--layers {directory}: its name makes no name for a layer: rename it, with a letter or digit")
    bundle = bundle_directory(directory)
    newest = client.list_layer_versions(LayerName=name, MaxItems=1)["LayerVersions"]
    for version in newest:
        found = client.get_layer_version(LayerName=name, VersionNumber=version["Version"])
        if found["Content"]["CodeSha256"] == bundle.code_sha256:
            arn: str = found["LayerVersionArn"]
            return arn
    request = {"LayerName": name, "Content": {"ZipFile": bundle.content}, "Description": DESCRIPTION}
    published: str = client.publish_layer_version(**request)["LayerVersionArn"]
    note(f"layer {name}: version {published.rpartition(':')[2]}")
    return published
