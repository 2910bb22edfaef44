"""Builds one container image in a process of its own: python -m lambdad.node.image_build.

An order (`BuildOrder`, JSON) on standard input; on standard output one JSON object a line: `{"progress": text}` now and
then, and at last `{"built": …}` or `{"error": {"code": …, "message": …}}`. The process has the API's user and none of
its memory: a hostile archive that breaks the reader breaks nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from lambdad.chunks.codec import Salt
from lambdad.chunks.interface import ChunkError
from lambdad.chunks.manifest import FileSystem
from lambdad.chunks.objects import DirectoryObjects
from lambdad.chunks.origin import Origin, OriginStore
from lambdad.chunks.roots import active_root
from lambdad.chunks.upload import Uploaded, UploadPlan, iterate_in_thread, publish_manifest, upload_image
from lambdad.image.build import BuildOptions, BuiltImage, Phase, Progress, build_image
from lambdad.image.credentials import Keychain
from lambdad.image.errors import ImageError
from lambdad.image.oci import Platform
from lambdad.image.reference import parse_reference
from lambdad.image.registry import RegistryOptions, RegistrySource
from lambdad.model.clock import SystemClock

PIECES_AHEAD = 8
"""Pieces (1 MiB) of the image that may wait for the uploader."""
PROGRESS_S = 0.5
EROFS_ON_FILES = (6, 12)
"""The first kernel that mounts EROFS straight from a file; older ones get ext4, for a loop device."""

_PLATFORMS = {"x86_64": "amd64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """uri: of the image. architecture: AWS's name. key: hexadecimal, and its name in the ring; the manifest's seal.

    origin: directory of chunks. spool: directory for temporary files. docker_config: file of `docker login`, or empty.
    """

    uri: str
    architecture: str
    origin: str
    spool: str
    key: str
    key_name: str
    docker_config: str = ""


def main() -> int:
    os.nice(5)  # invokes come first
    order = BuildOrder(**json.loads(sys.stdin.read()))
    try:
        _tell({"built": asyncio.run(_build(order))})
    except ImageError as error:
        _tell({"error": {"code": error.reason_code, "message": str(error)}})
    except (ChunkError, OSError) as error:
        _tell({"error": {"code": "InternalError", "message": f"The chunks of the image could not be stored: {error}"}})
    return 0


async def _build(order: BuildOrder) -> dict[str, object]:
    objects = DirectoryObjects(Path(order.origin))
    origin = Origin(objects, SystemClock())
    root = await active_root(objects, time.time())
    image_format = _image_format()
    pieces = _Pieces(order, image_format)
    plan = UploadPlan(
        salt=Salt(root.id),
        key=bytes.fromhex(order.key),
        key_name=order.key_name,
        context=order.key_name,
        file_system=FileSystem[image_format.upper()],
    )
    uploaded = await upload_image(_stream(pieces), OriginStore(origin, root.id), plan)
    await publish_manifest(origin, root.id, uploaded)
    return _describe(order, pieces.built, uploaded)


def _describe(order: BuildOrder, built: BuiltImage, uploaded: Uploaded) -> dict[str, object]:
    reference = parse_reference(order.uri)
    resolved = reference if built.digest is None else reference.at(built.digest)
    return {
        "resolved_uri": str(resolved),
        "manifest_sha256": uploaded.digest,
        "entry_point": list(built.config.entry_point),
        "command": list(built.config.command),
        "working_directory": built.config.working_dir,
        "environment": dict(built.config.env),
        "user": built.config.user,
        "size": built.size,
        "counts": asdict(uploaded.counts),
    }


def _image_format() -> Literal["erofs", "ext4"]:
    release = os.uname().release.split(".")
    return "erofs" if (int(release[0]), int(release[1])) >= EROFS_ON_FILES else "ext4"


class _Pieces:
    """The image writer turned inside out: it runs in a thread, and its pieces are iterated here."""

    def __init__(self, order: BuildOrder, image_format: Literal["erofs", "ext4"]) -> None:
        self._order = order
        self._format = image_format
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(PIECES_AHEAD)
        self._told_at = 0.0
        self._built: BuiltImage | None = None

    @property
    def built(self) -> BuiltImage:
        """What was built, once every piece has been taken."""
        assert self._built is not None
        return self._built

    def __iter__(self) -> Iterator[bytes]:
        threading.Thread(target=self._run, daemon=True).start()
        while (piece := self._queue.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def write(self, data: memoryview, /) -> None:
        """Called by the image writer."""
        self._queue.put(bytes(data))

    def _run(self) -> None:
        order = self._order
        keychain = Keychain(order.docker_config or None)
        source = RegistrySource(parse_reference(order.uri), RegistryOptions(keychain=keychain, spool=order.spool))
        options = BuildOptions(format=self._format, spool=order.spool, progress=self._progress)
        try:
            self._built = build_image(source, Platform(_PLATFORMS[order.architecture]), self, options)
            self._queue.put(None)
        except BaseException as error:
            self._queue.put(error)

    def _progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._told_at < PROGRESS_S:
            return
        self._told_at = now
        match progress.phase:
            case Phase.FLATTEN:
                text = f"Reading layer {progress.done + 1} of {progress.total}, {progress.entries} files."
            case Phase.WRITE:
                text = f"Writing the image: {progress.done * 100 // max(progress.total, 1)} %."
        _tell({"progress": text})


async def _stream(pieces: _Pieces) -> AsyncIterator[bytes]:
    async for piece in iterate_in_thread(pieces):
        yield piece


def _tell(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
