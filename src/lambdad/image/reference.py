"""Names of images: parse and print, pure.

Source of the grammar: the `reference` and `digest` grammars of the OCI distribution and image specifications, with
Docker's two customs: a first component without dot, colon or `localhost` is a repository on Docker Hub, and a
repository there without a slash is under `library/`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from lambdad.image.errors import InvalidImage

DOCKER_HUB = "docker.io"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::\d{{1,5}})?")
_NAME_MAX = 255


@dataclass(frozen=True, slots=True)
class Digest:
    """An algorithm and a hash, such as `sha256:e3b0…`."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    def matches(self, data: bytes) -> bool:
        return hashlib.new(self.algorithm, data).hexdigest() == self.hex


def parse_digest(text: str) -> Digest:
    """Raises InvalidImage for anything but a SHA-256 or SHA-512 digest."""
    if not _DIGEST.fullmatch(text):
        raise InvalidImage(f"{text[:160]!r} is not a digest: expected sha256: and 64 lower-case hex digits")
    algorithm, value = text.split(":")
    return Digest(algorithm, value)


@dataclass(frozen=True, slots=True)
class ImageReference:
    """Where an image is. registry: host and port. repository: path. A digest, if there is one, is what counts."""

    registry: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def pointer(self) -> str:
        """What the registry's manifests end-point takes: the digest, or the tag."""
        return str(self.digest) if self.digest else self.tag or "latest"

    def at(self, digest: Digest) -> ImageReference:
        """The same image, pinned: AWS's `ResolvedImageUri` form, without the tag."""
        return ImageReference(self.registry, self.repository, None, digest)


def parse_reference(text: str) -> ImageReference:
    """`[registry/]repository[:tag][@digest]`. Raises InvalidImage with what is wrong."""
    name, at, digest_text = text.partition("@")
    digest = parse_digest(digest_text) if at else None
    tag: str | None = None
    head, colon, last = name.rpartition(":")
    if colon and "/" not in last:
        name, tag = head, last
    registry, slash, rest = name.partition("/")
    if not slash or not ("." in registry or ":" in registry or registry == "localhost" or registry != registry.lower()):
        registry, rest = DOCKER_HUB, name
    if registry in ("index.docker.io", "registry-1.docker.io"):
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in rest:
        rest = f"library/{rest}"
    if not _REGISTRY.fullmatch(registry):
        raise InvalidImage(f"{text[:300]!r} names no valid registry host")
    if not _REPOSITORY.fullmatch(rest) or len(registry) + 1 + len(rest) > _NAME_MAX:
        raise InvalidImage(f"{text[:300]!r} names no valid repository: lower-case letters, digits, and . _ - / between")
    if tag is not None and not _TAG.fullmatch(tag):
        raise InvalidImage(f"{text[:300]!r} has an invalid tag")
    return ImageReference(registry, rest, tag if tag or digest else "latest", digest)
