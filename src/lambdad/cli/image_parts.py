"""An image in parts, by what each byte of it is for: layers, or directories."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter

from lambdad.chunks.interface import ChunkName
from lambdad.chunks.manifest import Manifest
from lambdad.cli.errors import CliError
from lambdad.cli.image_files import Contents, read_contents
from lambdad.cli.image_serving import image_read_path
from lambdad.cli.image_store import ImageStore

Piece = tuple[str, ChunkName, int]
"""Label of a part, a chunk, and the bytes of it that belong to the part."""

METADATA = "(metadata)"
_DIGEST_SHOWN = 12


def layer_parts(manifest: Manifest, bounds: Sequence[int], layers: Sequence[str]) -> Iterator[Piece]:
    """Stored bytes by layer, the lowest first; what belongs to the whole image is `METADATA`. Pure.

    bounds: see `BuiltImage`. layers: their digests; fewer for a source that has none.
    """
    for row in manifest.rows():
        number = bisect_right(bounds, row.position * manifest.shape.chunk_size)
        if 0 < number < len(bounds):
            digest = layers[number - 1].rpartition(":")[2][:_DIGEST_SHOWN] if number <= len(layers) else ""
            yield f"layer {number} {digest}".rstrip(), row.name, row.length
        else:
            yield METADATA, row.name, row.length


def directory_parts(manifest: Manifest, contents: Mapping[int, Contents], depth: int) -> Iterator[Piece]:
    """Bytes of files by directory, down to `depth` components, in order of names. Pure."""
    pieces: list[Piece] = []
    for row in manifest.rows():
        for path, size in contents[row.position].files:
            parents = path.split("/")[1:-1][:depth]
            pieces.append(("/" + "/".join(parents), row.name, size))
    pieces.sort(key=itemgetter(0))
    yield from pieces


async def parts_by_layer(images: ImageStore, name: str) -> list[Piece]:
    """Raises `CliError` for an image of an older version."""
    record = images.record(name)
    if not record.layer_bounds:
        raise CliError(f"where the layers of {name} are was not noted when it was pulled: pull it again")
    return list(layer_parts(await images.manifest(name), record.layer_bounds, record.layers))


async def parts_by_directory(images: ImageStore, name: str, depth: int) -> list[Piece]:
    """Raises `InvalidImage`, `BlockError` if the image cannot be read."""
    async with image_read_path(images) as path:
        data, key = await images.sealed(name)
        reader = path.open_image(data, key, images.record(name).manifest)
        manifest, shape = reader.manifest, reader.manifest.shape
        stored = {row.position for row in manifest.rows()}
        contents = await read_contents(reader, shape.chunk_size, shape.file_system, stored)
        return list(directory_parts(manifest, contents, depth))
