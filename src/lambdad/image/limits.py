"""How much an image may ask of the builder. Defaults admit every image that AWS admits.

Sizes are bytes. A value that AWS chose comes from `model.limits`; the rest bound what a hostile archive can cost.
"""

from __future__ import annotations

from dataclasses import dataclass

from lambdad.model.limits import IMAGE_MAX, MEGABYTE

NAME_MAX = 255
"""Bytes in one path component: the kernel's NAME_MAX, and the format limit of ext4 and EROFS."""
PATH_MAX = 4095
"""Bytes in a path or a symlink's target: the kernel's PATH_MAX without its NUL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a build may use before it is refused as `ImageTooLarge`."""

    content_bytes: int = IMAGE_MAX
    """File contents of all layers, uncompressed: what AWS limits to 10 GB."""
    entries: int = 2_000_000
    """Files, directories and links of all layers."""
    layers: int = 127
    """Docker's own limit."""
    depth: int = 512
    """Components of a path."""
    manifest_bytes: int = 4 * MEGABYTE
    """A manifest, index or config: what registries themselves accept at most."""
    header_bytes: int = 1 * MEGABYTE
    """Extended tar headers of one entry: long names, attributes, sparse maps."""
    xattr_bytes: int = 64 * 1024
    """Extended attributes of one file, names and values."""
    sparse_segments: int = 1_000_000
    """Data segments of all sparse files together."""
    sparse_size: int = 1 << 40
    """Apparent size of one sparse file."""

    @property
    def stream_bytes(self) -> int:
        """All layers uncompressed: contents, and for each entry the headers and padding of a tar."""
        return self.content_bytes + self.entries * 2048 + 64 * MEGABYTE
