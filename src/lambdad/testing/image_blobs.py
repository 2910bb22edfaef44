"""Images as documents and blobs, for layouts and registries that tests put together."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import zstandard

from lambdad.image.oci import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST

Compression = Literal["", "gzip", "zstd"]


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(slots=True)
class ImageBlobs:
    """Blobs by digest, and the manifest that names them."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifest: bytes = b""
    media_type: str = OCI_MANIFEST

    def add(self, data: bytes) -> str:
        digest = digest_of(data)
        self.blobs[digest] = data
        return digest

    @property
    def digest(self) -> str:
        return digest_of(self.manifest)


def make_image(
    layers: Sequence[bytes],
    *,
    compression: Compression = "gzip",
    architecture: str = "amd64",
    docker: bool = False,
    config: dict[str, object] | None = None,
) -> ImageBlobs:
    """An image of uncompressed layers. config: the inner object, such as `{"Cmd": ["app.handler"]}`."""
    image = ImageBlobs(media_type=DOCKER_MANIFEST if docker else OCI_MANIFEST)
    descriptors = []
    for layer in layers:
        blob = compress(layer, compression)
        kind = "application/vnd.oci.image.layer.v1.tar" + (f"+{compression}" if compression else "")
        if docker:
            kind = "application/vnd.docker.image.rootfs.diff.tar" + (f".{compression}" if compression else "")
        descriptors.append({"mediaType": kind, "digest": image.add(blob), "size": len(blob)})
    document = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "config": config or {},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    ).encode()
    config_type = "docker.container.image.v1+json" if docker else "oci.image.config.v1+json"
    image.manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": image.media_type,
            "config": {
                "mediaType": f"application/vnd.{config_type}",
                "digest": image.add(document),
                "size": len(document),
            },
            "layers": descriptors,
        }
    ).encode()
    image.add(image.manifest)
    return image


def make_index(images: Sequence[tuple[str, ImageBlobs]]) -> ImageBlobs:
    """An index of images by architecture, with an attestation beside them as buildkit makes it."""
    index = ImageBlobs(media_type=OCI_INDEX)
    manifests = []
    for architecture, image in images:
        index.blobs.update(image.blobs)
        platform = {"architecture": architecture, "os": "unknown" if architecture == "unknown" else "linux"}
        manifests.append(
            {
                "mediaType": image.media_type,
                "digest": image.digest,
                "size": len(image.manifest),
                "platform": platform,
            }
        )
    index.manifest = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()
    index.add(index.manifest)
    return index


def write_layout(directory: Path, image: ImageBlobs, name: str = "latest") -> None:
    """An OCI image layout with one image."""
    (directory / "blobs" / "sha256").mkdir(parents=True)
    for digest, data in image.blobs.items():
        (directory / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(data)
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entry = {
        "mediaType": image.media_type,
        "digest": image.digest,
        "size": len(image.manifest),
        "annotations": {"org.opencontainers.image.ref.name": name},
    }
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))


def compress(data: bytes, compression: Compression) -> bytes:
    if compression == "gzip":
        return gzip.compress(data, 1, mtime=0)
    return zstandard.ZstdCompressor().compress(data) if compression == "zstd" else data
