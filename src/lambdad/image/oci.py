"""Manifests, indexes and configs, in Docker's and OCI's spelling: JSON in, frozen values out. Pure.

Source: the OCI image specification 1.1 and Docker's "Image Manifest V2, Schema 2". Documents come from strangers:
every field is checked before it is used, and no message repeats more than a little of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lambdad.image.errors import ImageNotFound, InvalidImage
from lambdad.image.reference import Digest, parse_digest

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
MANIFEST_TYPES = (OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST)
_DOCKER_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
_CONFIG_TYPES = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_LAYER_TYPES = (
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
_COMPRESSIONS = ("", "+gzip", ".gzip", "+zstd", ".zstd")
_VARIANTS = {"arm64": "v8"}


@dataclass(frozen=True, slots=True)
class Platform:
    """An operating system and architecture, in OCI's words: `linux`, `amd64` or `arm64`."""

    architecture: str
    os: str = "linux"

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A document or blob by content. size: bytes."""

    media_type: str
    digest: Digest
    size: int
    platform: Platform | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image: its config and its layers, lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True)
class Index:
    """Images for several platforms."""

    manifests: tuple[Descriptor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRuntimeConfig:
    """How the image says that it runs; `ImageConfig` of a function overrides the first three."""

    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_dir: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""

    def overridden(
        self, entry_point: Sequence[str] | None, command: Sequence[str] | None, working_dir: str | None
    ) -> ImageRuntimeConfig:
        """With a function's `ImageConfig`. A new entry point takes the image's command away, as Docker does."""
        kept = self.command if not entry_point else ()
        return ImageRuntimeConfig(
            entry_point=tuple(entry_point) if entry_point else self.entry_point,
            command=tuple(command) if command else kept,
            working_dir=working_dir or self.working_dir,
            env=self.env,
            user=self.user,
        )


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """A config document. diff_ids: digests of the uncompressed layers, lowest first."""

    platform: Platform
    runtime: ImageRuntimeConfig
    diff_ids: tuple[Digest, ...]


def parse_manifest(data: bytes, media_type: str) -> Manifest | Index:
    """A manifest or index. media_type: what the transport said, used where the document says nothing."""
    document = _document(data, "manifest")
    kind = document.get("mediaType") or media_type.partition(";")[0].strip()
    if not isinstance(kind, str):
        raise InvalidImage("the image's manifest has a mediaType that is not text")
    if kind.startswith(_DOCKER_SCHEMA_1) or document.get("schemaVersion") == 1:
        raise InvalidImage("the image has a Docker schema 1 manifest: push it again with a tool of this decade")
    if kind in (OCI_INDEX, DOCKER_INDEX) or (kind not in MANIFEST_TYPES and "manifests" in document):
        return Index(tuple(_descriptor(item) for item in _list(document, "manifests")))
    if kind not in MANIFEST_TYPES and "layers" not in document:
        raise InvalidImage(f"the image's manifest has the unknown type {kind[:100]!r}")
    config = _descriptor(document.get("config"))
    if config.media_type not in _CONFIG_TYPES:
        raise InvalidImage(f"this is no container image: its config has the type {config.media_type[:100]!r}")
    layers = tuple(_descriptor(item) for item in _list(document, "layers"))
    for layer in layers:
        if not any(layer.media_type == kind + end for kind in _LAYER_TYPES for end in _COMPRESSIONS):
            raise InvalidImage(f"a layer has the type {layer.media_type[:100]!r}, which is not supported")
    return Manifest(config, layers)


def choose_platform(index: Index, platform: Platform) -> Descriptor:
    """The image of an index for a platform. Attestations, whose platform is `unknown`, never match.

    An index of a single image whose platform is not told gives that one: its config is checked later.
    """
    for found in index.manifests:
        if found.platform == platform:
            return found
    untold = [found for found in index.manifests if found.platform is None]
    if len(untold) == 1 and len(index.manifests) == 1:
        return untold[0]
    offered = sorted({str(found.platform) for found in index.manifests if found.platform is not None})
    raise ImageNotFound(f"the image has no variant for {platform}; it has {', '.join(offered)[:300] or 'none'}")


def parse_config(data: bytes) -> ImageConfig:
    document = _document(data, "config")
    inner = document.get("config") or {}
    rootfs = document.get("rootfs")
    if not isinstance(inner, dict) or not isinstance(rootfs, dict):
        raise InvalidImage("the image's config is damaged: it has no rootfs, or its config is no object")
    diff_ids = tuple(parse_digest(_text(item)) for item in _list(rootfs, "diff_ids"))
    env: dict[str, str] = {}
    for item in _texts(inner, "Env"):
        name, _, value = item.partition("=")
        if name:
            env[name] = value
    runtime = ImageRuntimeConfig(
        entry_point=_texts(inner, "Entrypoint"),
        command=_texts(inner, "Cmd"),
        working_dir=_text(inner.get("WorkingDir") or ""),
        env=env,
        user=_text(inner.get("User") or ""),
    )
    platform = Platform(_text(document.get("architecture") or ""), _text(document.get("os") or "linux"))
    return ImageConfig(platform, runtime, diff_ids)


def check_platform(config: ImageConfig, platform: Platform) -> None:
    """Raises InvalidImage if the image says that it is for another machine."""
    if config.platform.architecture and config.platform != platform:
        raise InvalidImage(f"the image is for {config.platform}, the function is for {platform}")


def _document(data: bytes, what: str) -> dict[str, object]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidImage(f"the image's {what} is not JSON") from None
    if not isinstance(found, dict):
        raise InvalidImage(f"the image's {what} is not a JSON object")
    return found


def _descriptor(value: object) -> Descriptor:
    if not isinstance(value, dict):
        raise InvalidImage("the image's manifest is damaged: a descriptor is missing")
    size = value.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidImage("the image's manifest is damaged: a descriptor has no size")
    platform = value.get("platform")
    return Descriptor(
        _text(value.get("mediaType") or ""),
        parse_digest(_text(value.get("digest"))),
        size,
        _platform(platform) if isinstance(platform, dict) else None,
    )


def _platform(value: Mapping[str, object]) -> Platform:
    architecture = _text(value.get("architecture") or "")
    variant = value.get("variant")
    if variant and _VARIANTS.get(architecture) != variant:
        architecture = f"{architecture}/{variant}"
    return Platform(architecture, _text(value.get("os") or ""))


def _list(document: Mapping[str, object], key: str) -> list[object]:
    found = document.get(key)
    if not isinstance(found, list) or len(found) > 10_000:
        raise InvalidImage(f"the image is damaged: it has no usable list {key!r}")
    return found


def _texts(document: Mapping[str, object], key: str) -> tuple[str, ...]:
    return tuple(_text(item) for item in _list(document, key)) if document.get(key) else ()


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise InvalidImage("the image is damaged: a field that should be text is not")
    return value
