"""An image, built: fetch, flatten, write. The only module here that ties the others together.

Nothing is named until it is whole: contents go through an unlinked temporary file, and the sink gets the image's
bytes in order, to be committed by its owner when `build_image` has returned.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import BinaryIO, Literal, assert_never, cast

from lambdad.image.erofs.writer import plan_erofs, write_erofs
from lambdad.image.errors import BuildCancelled, ImageTooLarge, SpoolFull
from lambdad.image.ext4.writer import plan_ext4, write_ext4
from lambdad.image.flatten import Flattener
from lambdad.image.limits import Limits
from lambdad.image.oci import ImageRuntimeConfig, Platform
from lambdad.image.output import PIECE, ImageOutput, Sink
from lambdad.image.packages import debian_packages
from lambdad.image.reference import Digest
from lambdad.image.sources import ImageSource
from lambdad.image.tree import Tree

CHUNK_SIZE = 512 * 1024
"""Bytes of the chunks that the layout is made for: the paper's size. See docs/design/image-layout.md."""
_ENTRIES_PER_CHECK = 256
_IMAGE_GROWTH = 4
"""An image may be so many times as large as its contents may be: room for padding, and for coarse sparse files."""

Format = Literal["erofs", "ext4"]


class Phase(Enum):
    """What a build is doing; the unit of its progress."""

    FLATTEN = "layers"
    WRITE = "bytes"


@dataclass(frozen=True, slots=True)
class Progress:
    """done of total: layers while flattening, bytes of the image while writing. entries: files seen so far."""

    phase: Phase
    done: int
    total: int
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How to build. block_size: of EROFS; 4096 for Linux before 6.4. spool: directory for temporary files.

    progress: called some times a second at most of work done. cancelled: asked as often; True ends the build.
    """

    format: Format = "erofs"
    block_size: int = 1024
    chunk_size: int = CHUNK_SIZE
    limits: Limits = field(default_factory=Limits)
    spool: str | None = None
    progress: Callable[[Progress], None] = lambda _: None
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImage:
    """What was written. size: bytes of the image, holes included. content: bytes of all layers' files.

    digest: of the manifest that was resolved, None for a directory. files: entries of the final tree.
    layer_bounds: bytes of the image at which each layer's contents start, and the end of the last one's.
    """

    format: Format
    config: ImageRuntimeConfig
    size: int
    content: int
    files: int
    layers: int
    digest: Digest | None
    diff_ids: tuple[Digest, ...]
    layer_bounds: tuple[int, ...]


def build_image(source: ImageSource, platform: Platform, sink: Sink, options: BuildOptions) -> BuiltImage:
    """Write the image of `source` for `platform` to `sink`, in order, in pieces of 1 MiB.

    Equal layers, format and sizes give equal bytes, whatever the machine. Raises ImageError; then what the sink got
    is worthless. Blocks: run it in a thread or process of its own.
    """
    with _spool_errors(), tempfile.TemporaryFile(dir=options.spool, buffering=PIECE) as spool:
        tree = Tree()
        flattener = Flattener(tree, cast("BinaryIO", spool), options.limits)
        with source.open(platform, options.limits) as image:
            for number, layer in enumerate(image.layers):
                with layer() as reader:
                    flattener.apply(reader, _ticker(options, tree, number, len(image.layers)))
            if not image.layers:
                tree.begin_layer()
        spool.flush()
        _check(options)
        size, bounds = _write(tree, spool.fileno(), sink, options)
    return BuiltImage(
        format=options.format,
        config=image.config.runtime,
        size=size,
        content=flattener.spooled,
        files=sum(map(len, tree.children.values())),
        layers=len(image.layers),
        digest=image.digest,
        diff_ids=image.config.diff_ids,
        layer_bounds=bounds,
    )


def _write(tree: Tree, spool: int, sink: Sink, options: BuildOptions) -> tuple[int, tuple[int, ...]]:
    """Plan the image, then write it; its size and the bounds of its layers."""
    packages: Mapping[bytes, bytes] = debian_packages(tree, spool)
    most = _IMAGE_GROWTH * options.limits.content_bytes + options.limits.entries * 2048
    total = 0

    def advance(done: int) -> None:
        _check(options)
        options.progress(Progress(Phase.WRITE, done, total, tree.entries))

    out = ImageOutput(sink, spool, advance)
    match options.format:
        case "erofs":
            erofs = plan_erofs(tree, options.block_size, options.chunk_size, packages)
            layout = erofs.layout
            total = _bounded(erofs.size, most)
            write_erofs(tree, erofs, out)
        case "ext4":
            ext4 = plan_ext4(tree, options.chunk_size, packages)
            layout = ext4.layout
            total = _bounded(ext4.size, most)
            write_ext4(tree, ext4, out)
        case _:
            assert_never(options.format)
    return total, tuple(block * layout.geometry.block_size for block in (*layout.layer_starts, layout.end))


def _bounded(size: int, most: int) -> int:
    if size > most:
        raise ImageTooLarge(f"the image would have {size} bytes, mostly holes; the limit is {most}")
    return size


def _ticker(options: BuildOptions, tree: Tree, layer: int, layers: int) -> Callable[[], None]:
    """What to do for every entry: now and then tell, and see whether to stop."""
    left = 1

    def tick() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            left = _ENTRIES_PER_CHECK
            _check(options)
            options.progress(Progress(Phase.FLATTEN, layer, layers, tree.entries))

    return tick


def _check(options: BuildOptions) -> None:
    if options.cancelled():
        raise BuildCancelled("the build was cancelled")


@contextmanager
def _spool_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpoolFull(
                "no room for the temporary files of the build, or for the image: free some space"
            ) from error
        raise
