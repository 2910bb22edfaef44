"""What images have in common, chunk by chunk. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lambdad.chunks.interface import ChunkName
from lambdad.chunks.manifest import Manifest

Chunks = Mapping[ChunkName, int]
"""The different chunks of an image, each with its stored bytes."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Different chunks, and their stored bytes."""

    chunks: int
    size: int


@dataclass(frozen=True, slots=True)
class Usage:
    """One image among others. unique: in no other image of the comparison."""

    total: Amount
    unique: Amount
    shared: Amount


@dataclass(frozen=True, slots=True)
class Difference:
    """Two images. both: in the first and the second."""

    both: Amount
    only_first: Amount
    only_second: Amount


def chunks_of(manifest: Manifest) -> Chunks:
    return {row.name: row.length for row in manifest.rows()}


def amount(chunks: Chunks) -> Amount:
    return Amount(len(chunks), sum(chunks.values()))


def usage(images: Mapping[str, Chunks]) -> dict[str, Usage]:
    """Each image among all of them."""
    users = Counter(name for chunks in images.values() for name in chunks)
    found = {}
    for image, chunks in images.items():
        unique = amount({name: size for name, size in chunks.items() if users[name] == 1})
        shared = amount({name: size for name, size in chunks.items() if users[name] > 1})
        found[image] = Usage(amount(chunks), unique, shared)
    return found


def usage_of_parts(
    images: Mapping[str, Chunks], parts: Mapping[str, Iterable[tuple[str, ChunkName, int]]]
) -> dict[str, dict[str, Usage]]:
    """Each part of each image among all images.

    parts: by image, label of a part, chunk, and the bytes of the chunk that belong to the part. A chunk that several
    parts share is counted in each, its bytes are not.
    """
    users = Counter(name for chunks in images.values() for name in chunks)
    found: dict[str, dict[str, Usage]] = {}
    for image, pieces in parts.items():
        sizes: dict[str, Counter[ChunkName]] = {}
        for label, name, size in pieces:
            sizes.setdefault(label, Counter())[name] += size
        found[image] = {
            label: Usage(
                amount(chunks),
                amount({name: size for name, size in chunks.items() if users[name] == 1}),
                amount({name: size for name, size in chunks.items() if users[name] > 1}),
            )
            for label, chunks in sizes.items()
        }
    return found


def together(images: Mapping[str, Chunks]) -> Amount:
    """What all of them take when each chunk is stored once."""
    return amount({name: size for chunks in images.values() for name, size in chunks.items()})


def compare(first: Chunks, second: Chunks) -> Difference:
    return Difference(
        amount({name: size for name, size in first.items() if name in second}),
        amount({name: size for name, size in first.items() if name not in second}),
        amount({name: size for name, size in second.items() if name not in first}),
    )
