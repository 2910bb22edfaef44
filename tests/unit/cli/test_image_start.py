"""A start that was recorded of a pulled image names the files that it read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lambdad.block.trace import TraceRecorder
from lambdad.cli.errors import CliError
from lambdad.cli.image_serving import image_read_path
from lambdad.cli.image_start import load_heat
from lambdad.cli.image_store import ImageStore
from lambdad.model.clock import SystemClock

Command = Callable[..., tuple[int, str, str]]


async def read_and_record(images: ImageStore, name: str, positions: list[int]) -> None:
    """Read the first block of some chunks as a start would, and save that."""
    async with image_read_path(images) as path:
        data, key = await images.sealed(name)
        reader = path.open_image(data, key, images.record(name).manifest)
        recorder = TraceRecorder(SystemClock())
        reader.observe(recorder)
        for position in positions:
            await reader.read(position * reader.manifest.shape.chunk_size, 512)
        await path.save_trace(reader.manifest, recorder.entries())


@pytest.mark.parametrize("kind", ["erofs", "ext4"])
def test_the_files_of_the_chunks_are_named_in_the_picture_and_in_json(
    kind: str, lambdad: Command, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "lib").mkdir(parents=True)
    (tree / "lib" / "big").write_bytes(bytes(range(1, 256)) * 4200)
    (tree / "small").write_bytes(b"small")
    store = tmp_path / "store"
    assert lambdad("image", "pull", f"dir:{tree}", "--format", kind, "--store", str(store))[0] == 0
    images = ImageStore(store)
    with pytest.raises(CliError, match="no start of tree was recorded"):
        asyncio.run(load_heat(images, "tree"))
    stored = [row.position for row in asyncio.run(images.manifest("tree")).rows()]
    asyncio.run(read_and_record(images, "tree", stored[::-1]))
    status, out, _ = lambdad("image", "heat", "tree", "--json", "--store", str(store))
    assert status == 0
    read = json.loads(out)["read"]
    assert [chunk["position"] for chunk in read] == stored[::-1]
    sizes = {"/lib/big": 0, "/small": 0}
    for chunk in read:
        for file in chunk["files"]:
            sizes[file["path"]] += file["bytes"]
    assert sizes == {"/lib/big": 255 * 4200, "/small": 5}
    picture = tmp_path / "heat.svg"
    assert lambdad("image", "heat", "tree", "-o", str(picture), "--store", str(store))[0] == 0
    assert "/lib/big" in picture.read_text()
