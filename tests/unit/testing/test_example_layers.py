"""Layers of examples are built by the command line, kept by their recipe, and gone from the node after the block."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from lambdad.testing import example_layers
from lambdad.testing.example_layers import LayerFailed, obtain_layer, obtain_split, published


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was run instead of `lambdad`; each zip that it should write is there, empty."""
    run: list[tuple[str, ...]] = []

    def lambdad(*arguments: str) -> None:
        run.append(arguments)
        target = Path(arguments[arguments.index("-o") + 1])
        zips = [target] if arguments[1] == "build" else [target / Path(path).name for path in arguments[2:4]]
        for path in zips:
            zipfile.ZipFile(path, "w").close()

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(example_layers, "_lambdad", lambdad)
    return run


def test_a_layer_is_built_once_and_again_when_its_files_change(
    commands: list[tuple[str, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "mine" / "layer.toml"
    recipe.parent.mkdir()
    recipe.write_text('name = "mine"\n[packages]\nfiles = { "share/data" = "data" }\n')
    (tmp_path / "mine/data").write_text("1")
    monkeypatch.setattr(example_layers, "EXAMPLES", tmp_path)

    first = obtain_layer("mine/layer.toml")
    assert first.name == "mine.zip" and first.exists()
    assert obtain_layer("mine/layer.toml") == first
    assert len(commands) == 1

    (tmp_path / "mine/data").write_text("2")
    assert obtain_layer("mine/layer.toml") != first
    assert len(commands) == 2


def test_what_is_shared_comes_first_and_the_rests_in_their_order(commands: list[tuple[str, ...]]) -> None:
    obtained = obtain_split("both", ["layers/git/layer.toml", "layers/ruby/layer.toml"])

    assert [path.name for path in obtained] == ["both.zip", "git.zip", "ruby.zip"]
    assert [command[1] for command in commands] == ["build", "build", "split"]


@pytest.mark.parametrize(
    ("text", "mirror"), [("Failed to fetch http://deb/x", True), ("the recipe has no name", False)]
)
def test_a_failure_of_the_mirror_is_told_from_one_of_ours(text: str, mirror: bool) -> None:
    assert LayerFailed(text).mirror is mirror


def test_published_layers_are_deleted_whatever_happens(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"zip")
    client: Any = mock.Mock()
    client.publish_layer_version.return_value = {"LayerArn": "arn", "Version": 7, "LayerVersionArn": "arn:7"}

    with pytest.raises(RuntimeError), published(client, [path]) as arns:
        assert arns == ["arn:7"]
        raise RuntimeError

    client.delete_layer_version.assert_called_once_with(LayerName="arn", VersionNumber=7)
