"""Images that stay mounted for the next start: which of them are given up when a function is not needed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lambdad.block.messages import Configure
from lambdad.block.mount import ImageMounts, MountedImage
from lambdad.node.chunk_tiers import tiers_of
from lambdad.node.config import Config
from lambdad.node.images import _Generation


class Mounts(ImageMounts):
    """Mounts nothing. held: how often each image is held."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    async def mount_image(self, manifest: bytes, key: bytes, digest: str) -> MountedImage:
        self.held[digest] = self.held.get(digest, 0) + 1
        return MountedImage(digest, Path(digest))

    async def release(self, image: MountedImage) -> None:
        self.held[image.digest] -= 1


def test_an_image_is_kept_as_long_as_one_function_may_need_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        mounts, tiers = Mounts(), tiers_of(Config(data_dir=tmp_path))
        assert isinstance(tiers, Configure)
        generation = _Generation(tmp_path, tiers)
        generation.mounts = mounts
        for key in ("a/1", "b/1", "c/1"):
            image = await generation.mount(b"", b"", "other" if key == "c/1" else "shared", key)
            await generation.mounts.release(image)
        assert mounts.held == {"shared": 1, "other": 1}
        for key in ("a/1", "a/1", "unknown"):
            await generation.forget(key)
        assert mounts.held == {"shared": 1, "other": 1}
        await generation.forget("b/1")
        assert mounts.held == {"shared": 0, "other": 1}

    asyncio.run(scenario())
