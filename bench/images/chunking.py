"""Images cut into chunks that are counted and not kept: what each layout would store."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from bench.images.layers import Layers
from bench.images.recipes import chain
from lambdad.chunks.codec import CHUNK_SIZE, Tails, trim
from lambdad.chunks.interface import ChunkName
from lambdad.image.build import BuildOptions, BuiltImage
from lambdad.image.oci import Platform
from lambdad.image.pieces import ImagePieces
from lambdad.image.reference import parse_reference
from lambdad.image.registry import RegistryOptions, RegistrySource

Chunks = dict[ChunkName, int]
"""Different chunks by the hash of their plaintext, with the bytes that are stored of each."""

_PIECE = 1 << 20
_BLOCK = 4096


def count_chunks(pieces: Iterable[bytes]) -> Chunks:
    """pieces: an image in order, in lengths that divide or are divided by the chunk size."""
    found: Chunks = {}
    have = b""
    for piece in pieces:
        have += piece
        while len(have) >= CHUNK_SIZE:
            _count(found, have[:CHUNK_SIZE])
            have = have[CHUNK_SIZE:]
    if have:
        _count(found, have)
    return found


def _count(found: Chunks, plaintext: bytes) -> None:
    stored = trim(plaintext, Tails.TRIM)
    if stored:
        found[ChunkName(hashlib.sha256(stored).digest())] = len(stored)


def registry_pieces(reference: str, options: BuildOptions) -> ImagePieces:
    """Our own image of an image in the registry, to be iterated once."""
    source = RegistrySource(parse_reference(reference), RegistryOptions(spool=options.spool))
    return ImagePieces(source, Platform("amd64"), options)


def our_chunks(reference: str, options: BuildOptions) -> tuple[Chunks, BuiltImage]:
    """Of an image in the registry."""
    pieces = registry_pieces(reference, options)
    return count_chunks(pieces), pieces.built


@contextlib.contextmanager
def merged(layers: Layers, image: str) -> Iterator[Path]:
    """The image's root file system as a directory, read-only: an overlay of its layers. Needs root."""
    paths = [str(layers.path(name)) for name in reversed(chain(image))]
    if len(paths) == 1:
        yield Path(paths[0])
        return
    at = Path(tempfile.mkdtemp(prefix="lambdad-corpus-"))
    try:
        subprocess.run(
            ["mount", "-t", "overlay", "-o", f"ro,lowerdir={':'.join(paths)}", "overlay", str(at)], check=True
        )
        try:
            yield at
        finally:
            subprocess.run(["umount", str(at)], check=True)
    finally:
        at.rmdir()


def file_contents(root: Path) -> dict[bytes, int]:
    """Different contents below a directory by hash, with their bytes: what perfect deduplication of files keeps."""
    found: dict[bytes, int] = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").digest()
                found[digest] = path.stat().st_size
    return found


def logical_size(root: Path) -> int:
    """Bytes of all regular files, each inode once."""
    seen: dict[int, int] = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                seen[status.st_ino] = status.st_size
    return sum(seen.values())


def stock_chunks(tool: str, root: Path, spool: Path) -> Chunks:
    """The image that `mke2fs -d` or `mkfs.erofs` makes of a directory. spool: where it may be for a while."""
    target = spool / "stock.img"
    program = shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise RuntimeError(f"{tool} is not installed")
    uuid = "00000000-0000-0000-0000-000000000001"
    if tool == "mke2fs":
        megabytes = logical_size(root) * 13 // 10 // 2**20 + 96
        command = [program, "-q", "-F", "-t", "ext4", "-U", uuid, "-d", str(root), str(target), f"{megabytes}M"]
    else:
        command = [program, "-U", uuid, str(target), str(root)]
    try:
        subprocess.run(command, check=True, capture_output=True)
        with target.open("rb") as file:
            return count_chunks(iter(lambda: file.read(_PIECE), b""))
    finally:
        target.unlink(missing_ok=True)


def layer_sequential_chunks(layers: Layers, image: str) -> Chunks:
    """The paper's order, contents alone: layer after layer as the archive has them, in blocks of 4 KiB."""
    return count_chunks(_layer_contents(layers, image))


def _layer_contents(layers: Layers, image: str) -> Iterator[bytes]:
    for name in chain(image):
        seen: set[int] = set()
        for folder, directories, files in os.walk(layers.path(name)):
            directories.sort()
            for file_name in sorted(files):
                path = Path(folder, file_name)
                if path.is_symlink() or not path.is_file() or path.stat().st_ino in seen:
                    continue
                seen.add(path.stat().st_ino)
                with path.open("rb") as file:
                    while piece := file.read(_PIECE):
                        yield piece + bytes(-len(piece) % _BLOCK)
