"""Which files are in which chunks: by hand on a few places, and by reading a real image of each format."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.chunks.manifest import FileSystem
from lambdad.cli.errors import CliError
from lambdad.cli.image_files import Contents, contents_of, read_contents
from lambdad.image.build import BuildOptions
from lambdad.image.places import Kind, Place
from lambdad.testing.block_doubles import BytesSource
from lambdad.testing.image_places import BIG, CONTENTS, layered_image


def test_a_file_is_in_every_chunk_that_it_touches_with_its_bytes_there() -> None:
    places = [
        Place(b"", Kind.DIRECTORY, (10, 64), ((400, 50),)),
        Place(b"a", Kind.FILE, (74, 64), ((90, 120), (300, 1), (302, 2))),
        Place(b"\xff", Kind.OTHER, (138, 64), ()),
    ]
    found = contents_of(places, 100, [0, 1, 2, 3, 4, 9])
    assert found[0] == Contents(files=[("/a", 10)], inodes=2)
    assert found[1] == Contents(files=[("/a", 100)], inodes=2)
    assert found[2] == Contents(files=[("/a", 10)], inodes=1)
    assert found[3] == Contents(files=[("/a", 3)])
    assert found[4] == Contents(directories=["/"])
    assert found[9] == Contents()


def test_only_wanted_chunks_are_kept() -> None:
    places = [Place(b"a", Kind.FILE, (0, 64), ((100, 10**9),))]
    assert contents_of(places, 100, [7]) == {7: Contents(files=[("/a", 100)])}


@pytest.mark.parametrize(
    ("contents", "label"),
    [
        (Contents([("/lib/big", 90), ("/lib/small", 10)]), "/lib/big and 1 more"),
        (Contents([("/lib/big", 90)]), "/lib/big"),
        (Contents([("/usr/lib/a", 40), ("/usr/lib/b", 30), ("/usr/x", 30)]), "/usr/ (3 files)"),
        (Contents([("/a", 40), ("/b", 30), ("/c", 30)]), "/ (3 files)"),
        (Contents(directories=["/usr"]), "entries of /usr"),
        (Contents(directories=["/usr", "/lib"], inodes=9), "entries of /usr and 1 more directories"),
        (Contents(inodes=9), "inodes of 9 files"),
        (Contents(), "metadata"),
    ],
)
def test_a_chunk_has_a_name_for_people(contents: Contents, label: str) -> None:
    assert contents.label == label


@pytest.mark.parametrize("file_system", [FileSystem.EROFS, FileSystem.EXT4])
@pytest.mark.parametrize("chunk_size", [4096, 524_288])
def test_the_chunks_of_an_image_name_their_files(file_system: FileSystem, chunk_size: int) -> None:
    kind = "erofs" if file_system is FileSystem.EROFS else "ext4"
    image = layered_image(BuildOptions(format="ext4" if kind == "ext4" else "erofs"))
    positions = range(-(-len(image) // chunk_size))
    found = asyncio.run(read_contents(BytesSource(image), chunk_size, file_system, positions))
    sizes: dict[str, int] = {}
    for contents in found.values():
        for path, size in contents.files:
            sizes[path] = sizes.get(path, 0) + size
    path = b"usr/lib/python3/site-packages/pkg/data.bin"
    assert sizes["/" + path.decode()] == len(CONTENTS[path])
    where = image.find(BIG[:64])
    assert "/" + path.decode() in [name for name, _ in found[where // chunk_size].files]
    assert any("/many" in contents.directories for contents in found.values())
    assert sum(contents.inodes for contents in found.values()) >= len(CONTENTS)


def test_an_image_of_an_unknown_kind_says_so() -> None:
    with pytest.raises(CliError, match="does not say"):
        asyncio.run(read_contents(BytesSource(bytes(8192)), 4096, FileSystem.UNKNOWN, [0]))
