"""`python -m bench.images.flatten REFERENCE SPOOL`: flatten, cut and encrypt an image, and keep nothing.

A process of its own, so that it can be put on one core. Prints JSON: seconds, bytes of the image, of its files, stored.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from bench.images.chunking import registry_pieces
from lambdad.chunks.codec import Salt
from lambdad.chunks.interface import ChunkMissing, ChunkName
from lambdad.chunks.upload import UploadPlan, iterate_in_thread, upload_image
from lambdad.image.build import BuildOptions


class _Nowhere:
    """A store that has nothing and keeps nothing. A `ChunkStore`."""

    async def get(self, name: ChunkName) -> bytes:
        raise ChunkMissing(name, "nowhere")

    async def has(self, name: ChunkName) -> bool:
        return False

    async def put(self, name: ChunkName, cipher_text: bytes) -> None:
        return

    async def close(self) -> None:
        return


async def _flatten(reference: str, spool: str) -> dict[str, float]:
    pieces = registry_pieces(reference, BuildOptions(spool=spool))
    plan = UploadPlan(salt=Salt("bench"), key=bytes(32), key_name="bench", context="bench")
    before = time.perf_counter()
    uploaded = await upload_image(iterate_in_thread(pieces), _Nowhere(), plan)
    seconds = time.perf_counter() - before
    built = pieces.built
    return {
        "seconds": seconds,
        "image": built.size,
        "content": built.content,
        "stored": uploaded.counts.sent,
        "manifest": len(uploaded.manifest),
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_flatten(*sys.argv[1:]))))
