"""Where an image comes from, behind one interface: an OCI layout, an archive of one, `docker save`, a directory.

The registry has a module of its own. A source only finds and opens; `read_layer` checks what it opened.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from lambdad.image.blob import read_layer
from lambdad.image.directory import DirectoryReader
from lambdad.image.errors import ImageNotFound, ImageTooLarge, InvalidImage
from lambdad.image.flatten import LayerReader
from lambdad.image.limits import Limits
from lambdad.image.oci import (
    Descriptor,
    ImageConfig,
    ImageRuntimeConfig,
    Index,
    Manifest,
    Platform,
    check_platform,
    choose_platform,
    parse_config,
    parse_manifest,
)
from lambdad.image.reference import Digest

_INDEX_DEPTH = 3
"""Indexes inside indexes."""
_REF_NAME = "org.opencontainers.image.ref.name"
_ARCHIVE_MEMBERS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image that was found: what it says of itself, and its layers, lowest first, each to be opened once.

    digest: of the manifest; None where the source has none.
    """

    digest: Digest | None
    config: ImageConfig
    layers: tuple[Callable[[], AbstractContextManager[LayerReader]], ...]


class ImageSource(Protocol):
    """A place that has an image. `open` is a context because archives stay open while layers are read."""

    def open(self, platform: Platform, limits: Limits) -> AbstractContextManager[OpenImage]:
        """Find the image for a platform. Raises ImageError."""
        ...


class _Files(Protocol):
    """Files by name: a directory's or an archive's."""

    def open(self, name: str) -> BinaryIO: ...

    def has(self, name: str) -> bool: ...


class _DirectoryFiles:
    def __init__(self, path: str) -> None:
        self._path = path

    def open(self, name: str) -> BinaryIO:
        try:
            return open(os.path.join(self._path, name), "rb")
        except FileNotFoundError:
            raise ImageNotFound(f"{self._path} has no file {name}: it is no complete OCI layout") from None

    def has(self, name: str) -> bool:
        return Path(self._path, name).is_file()


class _Section(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor = descriptor
        self._at = start
        self._end = start + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        room = min(len(buffer), self._end - self._at)
        got = os.preadv(self._descriptor, (memoryview(buffer)[:room],), self._at) if room else 0
        self._at += got
        return got


class _ArchiveFiles:
    """Members of an uncompressed tar, by place. Links between members, as `docker save` makes them, are followed."""

    def __init__(self, path: str, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._places: dict[str, tuple[int, int]] = {}
        links: dict[str, str] = {}
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for number, member in enumerate(archive):
                    name = os.path.normpath(member.name)
                    if number >= _ARCHIVE_MEMBERS_MAX:
                        raise ImageTooLarge(f"{path} has more than {_ARCHIVE_MEMBERS_MAX} members")
                    if member.isreg():
                        self._places[name] = (member.offset_data, member.size)
                    elif member.issym() or member.islnk():
                        base = os.path.dirname(name) if member.issym() else ""
                        links[name] = os.path.normpath(os.path.join(base, member.linkname))
        except (tarfile.TarError, ValueError, OverflowError) as error:
            raise InvalidImage(f"{path} is no uncompressed image archive: {error}") from None
        for name, target in links.items():
            if target in self._places:
                self._places.setdefault(name, self._places[target])

    def open(self, name: str) -> BinaryIO:
        place = self._places.get(os.path.normpath(name))
        if place is None:
            raise ImageNotFound(f"{self._path} has no member {name[:200]!r}: it is no complete image archive")
        return io.BufferedReader(_Section(self._file.fileno(), *place))

    def has(self, name: str) -> bool:
        return name in self._places


class OciLayoutSource:
    """An OCI image layout: the directory that `skopeo copy … oci:` and `umoci` make.

    name: its tag; None: the only one.
    """

    def __init__(self, path: str, name: str | None = None) -> None:
        self._path = path
        self._name = name

    @contextmanager
    def open(self, platform: Platform, limits: Limits) -> Iterator[OpenImage]:
        yield _open_layout(_DirectoryFiles(self._path), self._path, self._name, platform, limits)


class ArchiveSource:
    """A tar of an OCI layout or of `docker save`: what `skopeo copy … oci-archive:` and `docker-archive:` make.

    name: the tag in it; None: the only one.
    """

    def __init__(self, path: str, name: str | None = None) -> None:
        self._path = path
        self._name = name

    @contextmanager
    def open(self, platform: Platform, limits: Limits) -> Iterator[OpenImage]:
        if not Path(self._path).is_file():
            raise ImageNotFound(f"there is no image archive {self._path}")
        with open(self._path, "rb") as file:
            files = _ArchiveFiles(self._path, file)
            if files.has("index.json"):
                yield _open_layout(files, self._path, self._name, platform, limits)
            else:
                yield _open_docker_archive(files, self._path, self._name, platform, limits)


class DirectorySource:
    """A directory whose content is the image's root, with its owners and times. It has no config of its own."""

    def __init__(self, path: str, runtime: ImageRuntimeConfig | None = None) -> None:
        self._path = path
        self._runtime = runtime or ImageRuntimeConfig()

    @contextmanager
    def open(self, platform: Platform, limits: Limits) -> Iterator[OpenImage]:
        @contextmanager
        def layer() -> Iterator[LayerReader]:
            yield DirectoryReader(self._path, limits)

        if not Path(self._path).is_dir():
            raise ImageNotFound(f"there is no directory {self._path}")
        yield OpenImage(None, ImageConfig(platform, self._runtime, ()), (layer,))


def read_document(stream: BinaryIO, limits: Limits, digest: Digest | None, size: int | None) -> bytes:
    """A manifest or config. Raises ImageTooLarge, or InvalidImage if it is not what its descriptor says."""
    with stream:
        data = stream.read(limits.manifest_bytes + 1)
    if len(data) > limits.manifest_bytes:
        raise ImageTooLarge(f"a document of the image is larger than {limits.manifest_bytes} bytes")
    if (size is not None and len(data) != size) or (digest is not None and not digest.matches(data)):
        raise InvalidImage(f"a document of the image is not what its digest {digest} says")
    return data


def check_layers(manifest: Manifest, config: ImageConfig, platform: Platform, limits: Limits) -> None:
    """Manifest and config must agree, and be for the platform, before anything large is read."""
    check_platform(config, platform)
    if len(manifest.layers) > limits.layers:
        raise ImageTooLarge(f"the image has {len(manifest.layers)} layers; the limit is {limits.layers}")
    if len(config.diff_ids) != len(manifest.layers):
        raise InvalidImage("the image is damaged: its manifest and its config have different numbers of layers")
    if sum(layer.size for layer in manifest.layers) > limits.stream_bytes:
        raise ImageTooLarge(f"the image's layers are larger than {limits.content_bytes} bytes")


def _open_layout(files: _Files, where: str, name: str | None, platform: Platform, limits: Limits) -> OpenImage:
    def blob(descriptor: Descriptor) -> BinaryIO:
        return files.open(f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}")

    def document(descriptor: Descriptor) -> bytes:
        return read_document(blob(descriptor), limits, descriptor.digest, descriptor.size)

    data = read_document(files.open("index.json"), limits, None, None)
    descriptor = _tagged(data, where, name, platform)
    found = parse_manifest(document(descriptor), descriptor.media_type)
    depth = 0
    while isinstance(found, Index):
        depth += 1
        if depth > _INDEX_DEPTH:
            raise InvalidImage(f"{where} has indexes more than {_INDEX_DEPTH} deep")
        descriptor = choose_platform(found, platform)
        found = parse_manifest(document(descriptor), descriptor.media_type)
    config = parse_config(document(found.config))
    check_layers(found, config, platform, limits)

    def opener(layer: Descriptor, diff_id: Digest) -> Callable[[], AbstractContextManager[LayerReader]]:
        @contextmanager
        def opened() -> Iterator[LayerReader]:
            with (
                blob(layer) as stream,
                read_layer(stream, limits, digest=layer.digest, size=layer.size, diff_id=diff_id) as reader,
            ):
                yield reader

        return opened

    layers = tuple(opener(*pair) for pair in zip(found.layers, config.diff_ids, strict=True))
    return OpenImage(descriptor.digest, config, layers)


def _tagged(data: bytes, where: str, name: str | None, platform: Platform) -> Descriptor:
    """The image of a layout's index.json: by its tag if one is asked for, else the only one."""
    index = parse_manifest(data, "application/vnd.oci.image.index.v1+json")
    if not isinstance(index, Index) or not index.manifests:
        raise ImageNotFound(f"{where} has no images")
    if name is None:
        return index.manifests[0] if len(index.manifests) == 1 else choose_platform(index, platform)
    for descriptor, item in zip(index.manifests, json.loads(data)["manifests"], strict=True):
        notes = item.get("annotations")
        if isinstance(notes, dict) and notes.get(_REF_NAME) == name:
            return descriptor
    raise ImageNotFound(f"{where} has no image {name!r}")


def _open_docker_archive(files: _Files, where: str, name: str | None, platform: Platform, limits: Limits) -> OpenImage:
    """`manifest.json` of `docker save`: a list of images, each with the names of its config and layers."""
    try:
        images = json.loads(read_document(files.open("manifest.json"), limits, None, None))
        chosen = [image for image in images if name is None or name in (image.get("RepoTags") or ())]
        config_name, layer_names = chosen[0]["Config"], list(chosen[0]["Layers"])
    except IndexError:
        raise ImageNotFound(f"{where} has no image {name!r}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidImage(f"{where}: its manifest.json is damaged") from None
    if len(chosen) > 1:
        raise InvalidImage(f"{where} has {len(chosen)} images: say which")
    if not isinstance(config_name, str) or not all(isinstance(layer, str) for layer in layer_names):
        raise InvalidImage(f"{where}: its manifest.json is damaged")
    data = read_document(files.open(config_name), limits, None, None)
    config = parse_config(data)
    check_platform(config, platform)
    if len(layer_names) > limits.layers or len(layer_names) != len(config.diff_ids):
        raise InvalidImage(f"{where}: manifest and config have different numbers of layers, or too many")

    def opener(layer: str, diff_id: Digest) -> Callable[[], AbstractContextManager[LayerReader]]:
        @contextmanager
        def opened() -> Iterator[LayerReader]:
            with ExitStack() as stack:
                stream = stack.enter_context(files.open(layer))
                yield stack.enter_context(read_layer(stream, limits, digest=None, size=None, diff_id=diff_id))

        return opened

    layers = tuple(opener(*pair) for pair in zip(layer_names, config.diff_ids, strict=True))
    return OpenImage(Digest("sha256", hashlib.sha256(data).hexdigest()), config, layers)
