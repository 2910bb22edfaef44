"""Walking an image: every inode once, nothing beyond the limits."""

from __future__ import annotations

import pytest

from lambdad.image.errors import InvalidImage
from lambdad.image.limits import Limits
from lambdad.image.places import PIECE, Walk, merged, read_listing, read_range


def test_entries_come_right_behind_their_directory_and_each_inode_once() -> None:
    walk = Walk(1, Limits())
    assert walk.next() == (b"", 1)
    walk.enter(b"", [(b".", 1), (b"..", 1), (b"a", 2), (b"b", 3)])
    assert walk.next() == (b"a", 2)
    walk.enter(b"a", [(b"inside", 4), (b"twin", 3), (b"loop", 1)])
    assert [walk.next() for _ in range(3)] == [(b"a/inside", 4), (b"b", 3), None]


@pytest.mark.parametrize("name", [b"", b"a/b", b"\0", b"x" * 256])
def test_a_name_that_no_file_can_have_is_refused(name: bytes) -> None:
    walk = Walk(1, Limits())
    walk.next()
    with pytest.raises(InvalidImage):
        walk.enter(b"", [(name, 2)])


def test_too_many_files_and_too_deep_directories_are_refused() -> None:
    walk = Walk(0, Limits(entries=3, depth=2))
    walk.next()
    walk.enter(b"", [(b"a", 1)])
    walk.next()
    walk.enter(b"a", [(b"b", 2)])
    walk.next()
    with pytest.raises(InvalidImage):
        walk.enter(b"a/b", [(b"c", 3)])


def test_what_lies_behind_the_end_is_never_asked_for() -> None:
    def read(offset: int, length: int) -> bytes:
        assert length <= PIECE
        return bytes(length)

    assert len(read_range(read, 10, 200_000, 200_010)) == 200_000
    for offset, length in ((10, 200_001), (-1, 5), (300_000, 0)):
        with pytest.raises(InvalidImage, match="behind its end"):
            read_range(read, offset, length, 200_010)
    with pytest.raises(InvalidImage, match="larger"):
        list(read_listing(read, [(0, 1 << 30)], 1 << 31, 1024))


def test_neighbours_are_one_extent() -> None:
    assert merged([(0, 5), (5, 5), (20, 1), (21, 0), (21, 2)]) == ((0, 10), (20, 3))
