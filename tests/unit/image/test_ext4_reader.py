"""Where the files of an ext4 image are, with the bytes themselves as the judge; damaged images are refused."""

from __future__ import annotations

import pytest

from lambdad.image.build import BuildOptions
from lambdad.image.errors import InvalidImage
from lambdad.image.ext4.reader import walk_ext4
from lambdad.image.limits import Limits
from lambdad.testing.image_places import check_damaged, check_places, layered_image, read_at

OPTIONS = BuildOptions(format="ext4")


def test_every_file_is_where_it_is_said_to_be() -> None:
    image = layered_image(OPTIONS)
    check_places(image, list(walk_ext4(read_at(image), len(image), Limits())))


def test_something_else_is_refused() -> None:
    for image in (b"", bytes(100_000), layered_image(BuildOptions(format="erofs"))):
        with pytest.raises(InvalidImage):
            list(walk_ext4(read_at(image), len(image), Limits()))


def test_a_damaged_image_is_refused_or_read_but_never_read_for_ever() -> None:
    check_damaged(layered_image(OPTIONS), walk_ext4)
