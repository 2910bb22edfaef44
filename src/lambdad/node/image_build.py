"""Builds one container image in a process of its own: python -m lambdad.node.image_build.

An order (`BuildOrder`, JSON) on standard input; on standard output one JSON object a line: `{"progress": text}` now and
then, and at last `{"built": …}` or `{"error": {"code": …, "message": …}}`. The process has the API's user and none of
its memory: a hostile archive that breaks the reader breaks nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from dataclasses import asdict, dataclass

from lambdad.block.messages import Configure, parse_message
from lambdad.block.read_path import open_objects
from lambdad.chunks.codec import Salt
from lambdad.chunks.interface import ChunkError
from lambdad.chunks.manifest import FileSystem
from lambdad.chunks.origin import Origin, OriginStore
from lambdad.chunks.roots import active_root
from lambdad.chunks.upload import Uploaded, UploadPlan, iterate_in_thread, publish_manifest, upload_image
from lambdad.image.build import BuildOptions, BuiltImage, Phase, Progress
from lambdad.image.credentials import Keychain
from lambdad.image.errors import ImageError
from lambdad.image.oci import Platform
from lambdad.image.pieces import ImagePieces, format_for
from lambdad.image.reference import parse_reference
from lambdad.image.registry import RegistryOptions, RegistrySource
from lambdad.model.clock import SystemClock

PROGRESS_S = 0.5

_PLATFORMS = {"x86_64": "amd64", "arm64": "arm64"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOrder:
    """uri: of the image. architecture: AWS's name. key: hexadecimal, and its name in the ring; the manifest's seal.

    store: the chunk store, a `Configure` as `block.messages` writes it. spool: directory for temporary files.
    docker_config: file of `docker login`, or empty.
    """

    uri: str
    architecture: str
    store: str
    spool: str
    key: str
    key_name: str
    docker_config: str = ""

    def __repr__(self) -> str:
        return f"BuildOrder(uri={self.uri!r}, key_name={self.key_name!r})"  # never the keys


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
    config = parse_message(order.store.encode())
    assert isinstance(config, Configure)
    objects = open_objects(config)
    origin = Origin(objects, SystemClock())
    root = await active_root(objects, time.time())
    image_format = format_for(os.uname().release)
    registry = RegistryOptions(keychain=Keychain(order.docker_config or None), spool=order.spool)
    pieces = ImagePieces(
        RegistrySource(parse_reference(order.uri), registry),
        Platform(_PLATFORMS[order.architecture]),
        BuildOptions(format=image_format, spool=order.spool, progress=_Teller().tell),
    )
    plan = UploadPlan(
        salt=Salt(root.id),
        key=bytes.fromhex(order.key),
        key_name=order.key_name,
        context=order.key_name,
        file_system=FileSystem[image_format.upper()],
    )
    uploaded = await upload_image(iterate_in_thread(pieces), OriginStore(origin, root.id), plan)
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


class _Teller:
    """Tells of progress, now and then."""

    def __init__(self) -> None:
        self._told_at = 0.0

    def tell(self, progress: Progress) -> None:
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


def _tell(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
