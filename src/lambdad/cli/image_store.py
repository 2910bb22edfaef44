"""The images of one person on one machine: a directory of chunks, a key ring, and an index of names.

    DIR/chunks/       an origin: roots, manifests, chunks
    DIR/keys/         the key ring; an image's key has its name
    DIR/images.json   name → manifest and what is known of the image
    DIR/lock          shared while images are read or added, exclusive while the store is collected

The index is replaced as a whole after everything that it names is safe. One salt for the whole store: the images of a
person share whatever they have in common, for as long as the store lives.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lambdad.chunks.codec import Salt
from lambdad.chunks.files import write_atomically
from lambdad.chunks.keys import KeyRing
from lambdad.chunks.manifest import Manifest, open_manifest
from lambdad.chunks.objects import DirectoryObjects
from lambdad.chunks.origin import Origin
from lambdad.chunks.roots import load_roots
from lambdad.chunks.upload import fetch_manifest
from lambdad.cli.errors import CliError
from lambdad.model.clock import SystemClock

SALT = Salt("local")
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageRecord:
    """What the index knows of an image.

    manifest: SHA-256 of our manifest. digest: of the source's manifest, empty for a directory. size: bytes of the file
    system, content: of the files in all layers. pulled: Unix time. layer_bounds: see `BuiltImage`; empty in records of
    older versions.
    """

    manifest: str
    source: str
    platform: str
    format: str
    size: int
    content: int
    files: int
    pulled: float
    digest: str = ""
    layers: tuple[str, ...] = ()
    layer_bounds: tuple[int, ...] = ()
    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""
    user: str = ""
    environment: dict[str, str] = field(default_factory=dict)


class ImageStore:
    """Opens the directory, which is made if there is none."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.spool.mkdir(mode=0o700, exist_ok=True)
        self.ring = KeyRing(directory / "keys")
        self.ring.open()
        self.origin = Origin(DirectoryObjects(self.chunks), SystemClock())

    @property
    def chunks(self) -> Path:
        return self.directory / "chunks"

    @property
    def spool(self) -> Path:
        """Temporary files of builds."""
        return self.directory / "spool"

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Nothing is collected meanwhile."""
        with self._locked("lock", fcntl.LOCK_SH, "the store is being collected: try again when that is over"):
            yield

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Nobody reads or adds meanwhile. Raises `CliError` if somebody does now."""
        with self._locked("lock", fcntl.LOCK_EX, "the store is in use by another `lambdad image`: end that first"):
            yield

    def records(self) -> dict[str, ImageRecord]:
        """Every image by name, in order of names. Raises `CliError` if the index is damaged."""
        try:
            document = json.loads((self.directory / "images.json").read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise self._damaged(error) from None
        try:
            if document["version"] != _VERSION:
                raise ValueError(f"version {document['version']}")
            return {name: _parse(fields) for name, fields in sorted(document["images"].items())}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._damaged(error) from None

    def record(self, name: str) -> ImageRecord:
        """Raises `CliError` with the names that there are."""
        records = self.records()
        if name not in records:
            known = f"there are {', '.join(records)}" if records else "the store is empty"
            raise CliError(f"no image {name} in {self.directory}: {known}; `lambdad image pull` adds one")
        return records[name]

    def add(self, name: str, record: ImageRecord) -> None:
        """Put an image into the index, in place of one of the same name."""
        with self._changing() as records:
            records[name] = record

    def remove(self, name: str) -> None:
        """Take an image out of the index, and its key away; its chunks stay until `gc`."""
        self.record(name)
        with self._changing() as records:
            records.pop(name, None)
        self.ring.forget(name)

    async def sealed(self, name: str) -> tuple[bytes, bytes]:
        """The manifest of an image as it is stored, and its key. Raises `ObjectMissing`, `KeyUnavailable`."""
        record = self.record(name)
        roots = [root.id for root in await load_roots(self.origin.objects)]
        return await fetch_manifest(self.origin, roots, record.manifest), self.ring.get(name)

    async def manifest(self, name: str) -> Manifest:
        """The manifest, opened. Raises `ManifestInvalid` as well."""
        data, key = await self.sealed(name)
        return open_manifest(data, key, key_name=name, digest=self.record(name).manifest, context=name)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, ImageRecord]]:
        with self._locked("index.lock", fcntl.LOCK_EX, "another `lambdad image` is changing the index: try again"):
            records = self.records()
            yield records
            images = {name: asdict(record) for name, record in sorted(records.items())}
            text = json.dumps({"version": _VERSION, "images": images}, indent=1)
            write_atomically(self.directory / "images.json", text.encode(), mode=0o600)

    @contextlib.contextmanager
    def _locked(self, name: str, kind: int, reason: str) -> Iterator[None]:
        descriptor = os.open(self.directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CliError(reason) from None
            yield
        finally:
            os.close(descriptor)

    def _damaged(self, error: Exception) -> CliError:
        return CliError(
            f"{self.directory / 'images.json'} is damaged ({error}): pull the images again into a new store"
        )


def _parse(fields: dict[str, Any]) -> ImageRecord:
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    return ImageRecord(**values)
