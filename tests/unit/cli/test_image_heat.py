"""The picture of a start is a well-formed document with a cell for each chunk."""

from __future__ import annotations

from xml.etree import ElementTree

from lambdad.block.trace import TraceEntry
from lambdad.chunks.interface import ChunkName
from lambdad.chunks.manifest import ImageShape, Manifest, Row, open_manifest, seal_manifest
from lambdad.cli.image_heat import colour, draw_heat

SVG = "{http://www.w3.org/2000/svg}"


def make_manifest() -> Manifest:
    """Positions 0 to 3, of which 2 is zeros."""
    rows = [Row(position, 4096, ChunkName(bytes([position]) * 32), bytes(32)) for position in (0, 1, 3)]
    shape = ImageShape(size=4 * 4096, chunk_size=4096)
    return open_manifest(seal_manifest(shape, rows, key=bytes(32), key_name="k", context="c"), bytes(32))


def test_each_chunk_has_a_cell_that_says_when_it_was_read() -> None:
    text = draw_heat("a<b", make_manifest(), (TraceEntry(3, 0), TraceEntry(0, 40)))
    root = ElementTree.fromstring(text)
    cells = [cell for cell in root.iter(f"{SVG}rect") if cell.find(f"{SVG}title") is not None]
    assert [cell.findtext(f"{SVG}title") for cell in cells] == [
        "chunk 0: read as number 2 after 40 ms",
        "chunk 1: not read",
        "chunk 2: zeros",
        "chunk 3: read as number 1 after 0 ms",
    ]
    assert cells[3].get("fill") == colour(0, 2)
    assert root.findtext(f"{SVG}title") == "a<b: the start read 2 of 3 chunks (66.7 %) in 40 ms"


def test_colours_go_from_red_to_blue() -> None:
    assert colour(0, 1) == colour(0, 100) == "#d62828"
    assert colour(99, 100) == "#2654c8"
