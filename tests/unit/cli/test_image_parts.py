"""Images in parts: bytes by layer and by directory, on rows by hand and on images that were pulled."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lambdad.chunks.interface import ChunkName
from lambdad.chunks.manifest import ImageShape, Manifest, Row, open_manifest, seal_manifest
from lambdad.cli.image_files import Contents
from lambdad.cli.image_parts import METADATA, directory_parts, layer_parts
from lambdad.cli.image_store import ImageStore
from lambdad.testing.image_blobs import make_image, write_layout
from lambdad.testing.image_tar import LayerBuilder

Command = Callable[..., tuple[int, str, str]]
CHUNK = 4096


def make_manifest(positions: int) -> Manifest:
    rows = [
        Row(position, 100 + position, ChunkName(bytes([position]) * 32), bytes(32)) for position in range(positions)
    ]
    shape = ImageShape(size=positions * CHUNK, chunk_size=CHUNK)
    return open_manifest(seal_manifest(shape, rows, key=bytes(32), key_name="k", context="c"), bytes(32))


def test_what_lies_between_the_bounds_is_the_layers_and_the_rest_metadata() -> None:
    bounds = (CHUNK, 3 * CHUNK, 3 * CHUNK, 4 * CHUNK)  # the second layer has no contents
    found = [(label, size) for label, _, size in layer_parts(make_manifest(6), bounds, ("sha256:" + "a" * 64,))]
    first = f"layer 1 {'a' * 12}"
    assert found == [(METADATA, 100), (first, 101), (first, 102), ("layer 3", 103), (METADATA, 104), (METADATA, 105)]


def test_files_count_for_their_directory_down_to_a_depth() -> None:
    contents = {
        0: Contents(files=[("/file", 1), ("/usr/lib/x", 2), ("/usr/lib/python3/site/y", 3)]),
        1: Contents(directories=["/"], inodes=4),
    }
    found = [(label, size) for label, _, size in directory_parts(make_manifest(2), contents, 2)]
    assert found == [("/", 1), ("/usr/lib", 2), ("/usr/lib", 3)]


@pytest.mark.parametrize("kind", ["erofs", "ext4"])
def test_two_images_on_one_base_share_its_layer_and_its_directory(kind: str, lambdad: Command, tmp_path: Path) -> None:
    base = LayerBuilder().file("usr/lib/big", bytes(range(1, 250)) * 4000).build()
    store = str(tmp_path / "store")
    for name in ("one", "two"):
        top = LayerBuilder().file("app/own", name.encode() * 200_000).build()
        write_layout(tmp_path / name, make_image([base, top]))
        status, _, err = lambdad("image", "pull", f"oci-layout:{tmp_path / name}", "--format", kind, "--store", store)
        assert status == 0, err
    told = json.loads(lambdad("image", "dedup", "--by", "layer", "--json", "--store", store)[1])
    for name in ("one", "two"):
        base_layer, top_layer = (part for label, part in told["parts"][name].items() if label != METADATA)
        assert base_layer["unique"]["size"] == 0
        assert base_layer["shared"]["size"] > 900_000
        assert top_layer["shared"]["size"] == 0
        assert top_layer["unique"]["size"] > 500_000
    told = json.loads(lambdad("image", "dedup", "--by", "directory", "--json", "--store", store)[1])
    assert told["parts"]["one"]["/usr/lib"]["shared"]["size"] == 249 * 4000
    assert told["parts"]["two"]["/app"]["unique"]["size"] == 600_000
    status, out, _ = lambdad("image", "dedup", "--by", "directory", "--plot", str(tmp_path / "p.svg"), "--store", store)
    assert status == 0
    assert "two /app" in out
    assert "one /usr/lib" in (tmp_path / "p.svg").read_text()
    index = tmp_path / "store" / "images.json"
    document = json.loads(index.read_text())
    for record in document["images"].values():
        del record["layer_bounds"]
    index.write_text(json.dumps(document))
    assert ImageStore(tmp_path / "store").record("one").layer_bounds == ()
    status, _, err = lambdad("image", "dedup", "--by", "layer", "--store", store)
    assert (status, "pull it again" in err) == (1, True)
