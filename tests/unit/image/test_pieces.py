"""The image writer as an iterator."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from lambdad.image.build import BuildOptions, build_image
from lambdad.image.errors import ImageNotFound
from lambdad.image.oci import Platform
from lambdad.image.pieces import ImagePieces, format_for
from lambdad.image.sources import DirectorySource

AMD64 = Platform("amd64")


def test_the_pieces_are_the_image(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(range(256)) * 60_000)
    source = DirectorySource(str(tmp_path))
    whole = io.BytesIO()
    built = build_image(source, AMD64, whole, BuildOptions())
    pieces = ImagePieces(source, AMD64, BuildOptions())
    assert b"".join(pieces) == whole.getvalue()
    assert pieces.built.size == built.size == len(whole.getvalue())


def test_what_the_build_raises_comes_out_of_the_iteration(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound):
        list(ImagePieces(DirectorySource(str(tmp_path / "none")), AMD64, BuildOptions()))


@pytest.mark.parametrize(
    ("release", "expected"), [("6.12.1-amd64", "erofs"), ("7.0", "erofs"), ("6.11.9", "ext4"), ("6.1-rc3", "ext4")]
)
def test_a_kernel_gets_the_file_system_that_it_mounts_from_a_file(release: str, expected: str) -> None:
    assert format_for(release) == expected
