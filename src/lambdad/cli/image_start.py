"""The recorded start of an image of the local store, with the files that it read: what `lambdad image heat` shows."""

from __future__ import annotations

from lambdad.cli.errors import CliError
from lambdad.cli.image_files import read_contents
from lambdad.cli.image_heat import Heat
from lambdad.cli.image_serving import image_read_path
from lambdad.cli.image_store import ImageStore


async def load_heat(images: ImageStore, name: str) -> Heat:
    """Raises `CliError` if no start was recorded; `InvalidImage`, `BlockError` if the image cannot be read."""
    async with image_read_path(images) as path:
        data, key = await images.sealed(name)
        reader = path.open_image(data, key, images.record(name).manifest)
        manifest = reader.manifest
        trace = await path.load_trace(manifest)
        if not trace:
            raise CliError(f"no start of {name} was recorded: read from it with `mount` or `serve` first")
        wanted = [entry.position for entry in trace]
        contents = await read_contents(reader, manifest.shape.chunk_size, manifest.shape.file_system, wanted)
        return Heat(name, manifest, trace, contents)
