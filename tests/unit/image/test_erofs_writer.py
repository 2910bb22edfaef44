"""Places in an EROFS image that the format has rules for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.image.build import BuildOptions
from lambdad.testing.image_build import build_file, check_image, missing_tools
from lambdad.testing.image_tar import LayerBuilder


@pytest.mark.skipif(bool(missing_tools()), reason=f"not installed: {missing_tools()}")
def test_a_link_never_crosses_a_block_even_behind_another_layers_small_zone(tmp_path: Path) -> None:
    """Found by the property test: zones of small layers share chunks and started in the middle of blocks."""
    layers = [LayerBuilder().file(f"d{n}/f").symlink(f"d{n}/l", "t" * 1089).build() for n in range(8)]
    options = BuildOptions(format="erofs", block_size=4096)
    build_file(layers, tmp_path / "image", options)
    assert check_image(tmp_path / "image", options) == ""
