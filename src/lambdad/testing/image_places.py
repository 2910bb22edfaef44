"""An image in which every way to place content occurs, and the checks of a reader that says where things are."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence

from lambdad.image.build import BuildOptions
from lambdad.image.errors import InvalidImage
from lambdad.image.limits import Limits
from lambdad.image.places import Kind, Place, ReadAt
from lambdad.testing.image_build import build_bytes
from lambdad.testing.image_tar import LayerBuilder

BIG = hashlib.shake_128(b"incompressible").digest(700_000)
SPARSE_SIZE = 3_000_000
SPARSE_DATA = {at: bytes([number + 1]) * 4096 for number, at in enumerate(range(0, SPARSE_SIZE - 8192, 65_536))}
"""Offsets of a sparse file with data: more extents than an ext4 inode has room for."""
CONTENTS = {
    b"empty": b"",
    b"usr/lib/python3/site-packages/pkg/__init__.py": b"import os\n",
    b"usr/lib/python3/site-packages/pkg/data.bin": BIG,
    b"etc/config": b"second layer\n",
    b"many/f": b"x" * 5000,
}


def layered_image(options: BuildOptions) -> bytes:
    """Two layers: files large and small, one replaced, a sparse one, links of all kinds, a long listing."""
    first = LayerBuilder().file("empty").file("etc/config", b"first layer\n").file("gone", b"removed")
    for path, data in CONTENTS.items():
        if path not in (b"empty", b"etc/config"):
            first.file(path.decode(), data)
    for number in range(40):
        first.file(f"many/{'n' * 200}{number}")
    first.symlink("short", "etc/config").symlink("long", "t" * 500).hardlink("twin", "many/f")
    first.sparse("sparse", SPARSE_SIZE, list(SPARSE_DATA.items()))
    second = LayerBuilder().file("etc/config", CONTENTS[b"etc/config"]).whiteout("gone")
    return build_bytes([first.build(), second.build()], options)


def read_at(image: bytes) -> ReadAt:
    def read(offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= len(image)
        return image[offset : offset + length]

    return read


def check_places(image: bytes, places: Sequence[Place]) -> None:
    """Whether the places of `layered_image` hold what they are said to."""
    found = {place.path: place for place in places}
    assert len(found) == len(places)
    for path, data in CONTENTS.items():
        place = found.get(path) or found[b"twin"]  # of two names of a file, the first that is met
        assert place.kind is Kind.FILE
        assert b"".join(image[offset : offset + length] for offset, length in place.extents) == data, path
    assert b"gone" not in found
    assert found[b""].kind is found[b"many"].kind is Kind.DIRECTORY
    listing = b"".join(image[offset : offset + length] for offset, length in found[b"many"].extents)
    assert all(b"n" * 200 + str(number).encode() in listing for number in range(40))
    assert found[b"short"].kind is found[b"long"].kind is Kind.OTHER
    stored = b"".join(image[offset : offset + length] for offset, length in found[b"sparse"].extents)
    assert stored.replace(b"\0", b"") == b"".join(SPARSE_DATA.values())
    assert len(stored) < SPARSE_SIZE / 2
    records = sorted(place.inode for place in places)
    assert all(one[0] + one[1] <= other[0] for one, other in itertools.pairwise(records))


def check_damaged(image: bytes, walk: Callable[[ReadAt, int, Limits], Iterator[Place]]) -> None:
    """Whether a reader refuses a damaged image or reads it within its limits; both must occur."""
    outcomes = set()
    chooser = random.Random(7)  # noqa: S311  # the same damage in every run
    for bad in _damaged(image, chooser, 400):
        try:
            assert len(list(walk(read_at(bad), len(bad), Limits(entries=100)))) <= 100
            outcomes.add("read")
        except InvalidImage:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def _damaged(image: bytes, chooser: random.Random, rounds: int) -> Iterator[bytes]:
    """The image with some bytes of its metadata changed, or cut off."""
    places = [at for at in range(0, len(image), 16) if image[at : at + 16].strip(b"\0\x05x")]
    for _ in range(rounds):
        bad = bytearray(image)
        for _ in range(chooser.randrange(1, 8)):
            bad[chooser.choice(places) + chooser.randrange(16)] = chooser.choice(
                (0, 1, 0x7F, 0xFF, chooser.randrange(256))
            )
        yield bytes(bad) if chooser.random() < 0.9 else bytes(bad[: chooser.randrange(len(bad))])
