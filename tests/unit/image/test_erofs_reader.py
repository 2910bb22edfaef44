"""Where the files of an EROFS image are, with the bytes themselves as the judge; damaged images are refused."""

from __future__ import annotations

import pytest

from lambdad.image.build import BuildOptions
from lambdad.image.erofs.reader import walk_erofs
from lambdad.image.errors import InvalidImage
from lambdad.image.limits import Limits
from lambdad.testing.image_places import check_damaged, check_places, layered_image, read_at

KINDS = [BuildOptions(format="erofs"), BuildOptions(format="erofs", block_size=4096)]


@pytest.mark.parametrize("options", KINDS, ids=["1024", "4096"])
def test_every_file_is_where_it_is_said_to_be(options: BuildOptions) -> None:
    image = layered_image(options)
    check_places(image, list(walk_erofs(read_at(image), len(image), Limits())))


def test_something_else_is_refused() -> None:
    for image in (b"", bytes(100_000), layered_image(BuildOptions(format="ext4"))):
        with pytest.raises(InvalidImage):
            list(walk_erofs(read_at(image), len(image), Limits()))


def test_a_damaged_image_is_refused_or_read_but_never_read_for_ever() -> None:
    check_damaged(layered_image(KINDS[0]), walk_erofs)
