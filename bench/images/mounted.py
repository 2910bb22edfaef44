"""`python -m bench.images.mounted STORE NAME COMMAND...`: mount an image that nothing of is here, run a command in it.

Prints the milliseconds from before the mount to the end of the command. The process that serves blocks is up already,
with a small image, as it is on a worker; the kernel's caches are dropped. Needs root.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.images.origin import drop_caches
from lambdad.block.messages import Configure
from lambdad.block.mount import ImageMounts
from lambdad.block.service import BlockService
from lambdad.cli.image_store import ImageStore
from lambdad.testing.waiting import wait_until

TINY = "tiny"
"""An image of the store that holds next to nothing."""
_RECORD_S = 600.0


async def _run(store: Path, name: str, command: list[str]) -> float:
    images = ImageStore(store)
    service = BlockService(Configure(origin_directory=str(images.chunks), record_s=_RECORD_S))
    with tempfile.TemporaryDirectory(prefix="lambdad-mounted-") as state:
        mounts = ImageMounts(Path(state), service)
        await service.start()
        try:
            await mounts.mount_image(*await images.sealed(TINY), images.record(TINY).manifest)
            manifest, key = await images.sealed(name)
            await asyncio.to_thread(drop_caches)
            before = time.perf_counter()
            image = await mounts.mount_image(manifest, key, images.record(name).manifest)
            await asyncio.to_thread(subprocess.run, ["chroot", str(image.root), *command], check=True)
            waited = (time.perf_counter() - before) * 1000
            mounts.started(image)
            await _wait_for_trace(images, images.record(name).manifest)
            return waited
        finally:
            await mounts.close()
            await service.close()
            await mounts.recover()


async def _wait_for_trace(images: ImageStore, digest: str) -> None:
    traces = f"*/traces/{digest}"
    await asyncio.to_thread(wait_until, lambda: any(images.chunks.glob(traces)), "what was read is recorded", 60.0)


if __name__ == "__main__":
    print(asyncio.run(_run(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])))
