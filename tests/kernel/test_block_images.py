"""Images for tests are made, uploaded and read back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lambdad.block.messages import Configure
from lambdad.block.read_path import open_read_path
from lambdad.chunks.manifest import FileSystem
from lambdad.model.clock import SystemClock
from lambdad.testing.block_fuse import fuse_file
from lambdad.testing.block_images import KEY, make_image, make_tree, missing_for_image, upload_file

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize("file_system", [FileSystem.EXT4, FileSystem.EROFS])
def test_an_image_file_comes_back_from_its_chunks_through_fuse(file_system: FileSystem, tmp_path: Path) -> None:
    reason = missing_for_image(file_system)
    if reason:
        pytest.skip(reason)

    async def run() -> None:
        tree, image = tmp_path / "tree", tmp_path / "image"
        tree.mkdir()
        assert len(make_tree(tree)) == 8
        make_image(tree, image, file_system)
        uploaded = await upload_file(image, tmp_path / "origin", file_system)
        config = Configure(origin_directory=str(tmp_path / "origin"))
        async with open_read_path(config, SystemClock()) as path:
            reader = await path.fetch_image(uploaded.uploaded.digest, KEY)
            async with fuse_file(reader, tmp_path / "disk") as disk:
                assert await asyncio.to_thread(disk.read_bytes) == image.read_bytes()

    asyncio.run(run())
