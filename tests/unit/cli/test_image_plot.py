"""The picture of shares is a well-formed document with two bars for each image."""

from __future__ import annotations

from xml.etree import ElementTree

from lambdad.cli.image_plot import draw_shares
from lambdad.cli.image_usage import Amount, Usage

SVG = "{http://www.w3.org/2000/svg}"


def test_bars_are_as_long_as_the_bytes_that_they_stand_for() -> None:
    images = {
        "a<b": Usage(Amount(4, 1000), Amount(1, 250), Amount(3, 750)),
        "x" * 60: Usage(Amount(3, 750), Amount(0, 0), Amount(3, 750)),
    }
    root = ElementTree.fromstring(draw_shares(images))
    bars = [float(bar.get("width", "")) for bar in root.iter(f"{SVG}rect") if bar.get("height") == "16"]
    assert bars == [120.0, 360.0, 0.0, 360.0]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "a<b" in texts and f"…{'x' * 35}" in texts and "250 B + 750 B" in texts


def test_no_images_are_an_empty_picture() -> None:
    assert len(list(ElementTree.fromstring(draw_shares({})).iter(f"{SVG}rect"))) == 3
