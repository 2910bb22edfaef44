"""A layer that is a directory is published when its bytes are new, and only then."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lambdad.cli.errors import CliError
from lambdad.cli.layer_directories import DESCRIPTION, forget_replaced, layer_directories, publish_layers

PREFIX = "arn:aws:lambda:us-east-1:000000000000:layer"
FOREIGN = f"{PREFIX}:other:7"


class _NotFound(Exception):
    pass


class Layers:
    """The layer operations of a Lambda client, of one name."""

    exceptions = SimpleNamespace(ResourceNotFoundException=_NotFound)

    def __init__(self) -> None:
        self.versions: dict[int, dict[str, Any]] = {}
        self.last = 0

    def list_layer_versions(self, LayerName: str, MaxItems: int) -> dict[str, Any]:
        return {"LayerVersions": [{"Version": number} for number in sorted(self.versions, reverse=True)][:MaxItems]}

    def get_layer_version(self, LayerName: str, VersionNumber: int) -> dict[str, Any]:
        return self.versions[VersionNumber]

    def get_layer_version_by_arn(self, Arn: str) -> dict[str, Any]:
        found = [version for version in self.versions.values() if version["LayerVersionArn"] == Arn]
        if not found:
            raise _NotFound
        return found[0]

    def publish_layer_version(self, LayerName: str, Content: dict[str, bytes], Description: str) -> dict[str, Any]:
        self.last += 1
        digest = base64.b64encode(hashlib.sha256(Content["ZipFile"]).digest()).decode()
        self.versions[self.last] = {
            "LayerVersionArn": f"{PREFIX}:{LayerName}:{self.last}",
            "Content": {"CodeSha256": digest},
            "Description": Description,
        }
        return self.versions[self.last]

    def delete_layer_version(self, LayerName: str, VersionNumber: int) -> None:
        assert LayerName == f"{PREFIX}:tools"
        del self.versions[VersionNumber]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    directory = tmp_path / "tools"
    directory.mkdir()
    (directory / "tool").write_text("1")
    return directory


def test_the_same_bytes_are_published_once_and_arns_go_through(tools: Path) -> None:
    client = Layers()
    first = publish_layers(client, [FOREIGN, str(tools)])
    assert first == publish_layers(client, [FOREIGN, str(tools)]) == [FOREIGN, f"{PREFIX}:tools:1"]
    (tools / "tool").write_text("2")
    assert publish_layers(client, [str(tools)]) == [f"{PREFIX}:tools:2"]
    assert layer_directories([FOREIGN, str(tools)]) == (tools,)


def test_of_what_was_published_so_only_what_the_function_has_stays(tools: Path) -> None:
    client = Layers()
    before = publish_layers(client, [str(tools)])
    (tools / "tool").write_text("2")
    now = publish_layers(client, [str(tools)])
    forget_replaced(client, [*before, FOREIGN], now)
    assert list(client.versions) == [2]
    client.versions[2]["Description"] = "somebody's own"
    forget_replaced(client, now, [])
    assert list(client.versions) == [2], f"only versions marked {DESCRIPTION!r} are deleted"


@pytest.mark.parametrize("name", ["no-such-directory", "/"])
def test_what_is_no_layer_is_refused(name: str) -> None:
    with pytest.raises(CliError, match=f"--layers {name}"):
        publish_layers(Layers(), [name])
