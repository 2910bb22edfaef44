"""What images have in common, chunk by chunk. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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


def together(images: Mapping[str, Chunks]) -> Amount:
    """What all of them take when each chunk is stored once."""
    return amount({name: size for chunks in images.values() for name, size in chunks.items()})


def compare(first: Chunks, second: Chunks) -> Difference:
    return Difference(
        amount({name: size for name, size in first.items() if name in second}),
        amount({name: size for name, size in first.items() if name not in second}),
        amount({name: size for name, size in second.items() if name not in first}),
    )
