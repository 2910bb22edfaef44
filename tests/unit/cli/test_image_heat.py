"""The picture of a start is a well-formed document with a cell for each chunk."""

from __future__ import annotations

from xml.etree import ElementTree

from lambdad.block.trace import TraceEntry
from lambdad.chunks.interface import ChunkName
from lambdad.chunks.manifest import ImageShape, Manifest, Row, open_manifest, seal_manifest
from lambdad.cli.image_files import Contents
from lambdad.cli.image_heat import Heat, colour, describe_heat, draw_heat

SVG = "{http://www.w3.org/2000/svg}"


def make_manifest() -> Manifest:
    """Positions 0 to 3, of which 2 is zeros."""
    rows = [Row(position, 4096, ChunkName(bytes([position]) * 32), bytes(32)) for position in (0, 1, 3)]
    shape = ImageShape(size=4 * 4096, chunk_size=4096)
    return open_manifest(seal_manifest(shape, rows, key=bytes(32), key_name="k", context="c"), bytes(32))


def make_heat(contents: dict[int, Contents] | None = None) -> Heat:
    return Heat("a<b", make_manifest(), (TraceEntry(3, 0), TraceEntry(0, 40)), contents or {})


def test_each_chunk_has_a_cell_that_says_when_it_was_read() -> None:
    text = draw_heat(make_heat())
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


def test_each_chunk_that_was_read_names_its_files_the_largest_first() -> None:
    many = Contents(files=[(f"/usr/share/<{number}>", number) for number in range(1, 15)], inodes=3)
    text = draw_heat(make_heat({3: many, 0: Contents(inodes=5)}))
    root = ElementTree.fromstring(text)
    titles = [cell.findtext(f"{SVG}title", "") for cell in root.iter(f"{SVG}rect")]
    told = next(title for title in titles if title.startswith("chunk 3:"))
    assert told.splitlines()[1:3] == ["/usr/share/<14> (14 bytes)", "/usr/share/<13> (13 bytes)"]
    assert told.splitlines()[-1] == "and 2 more files"
    assert "chunk 0: read as number 2 after 40 ms\ninodes of 5 files" in titles
    lines = [line.text for line in root.iter(f"{SVG}text")]
    assert lines[-6:] == ["0", "1", "/usr/share/ (14 files)", "40", "1", "inodes of 5 files"]


def test_names_that_xml_cannot_hold_are_drawn_all_the_same() -> None:
    text = draw_heat(make_heat({3: Contents(files=[("/a\x01\x1b[31m\ud800&", 1)])}))
    assert ElementTree.fromstring(text) is not None
    assert "\x1b" not in text


def test_the_list_is_bounded() -> None:
    rows = [Row(position, 4096, ChunkName(position.to_bytes(32, "big")), bytes(32)) for position in range(100)]
    shape = ImageShape(size=100 * 4096, chunk_size=4096)
    manifest = open_manifest(seal_manifest(shape, rows, key=bytes(32), key_name="k", context="c"), bytes(32))
    trace = tuple(TraceEntry(position, position) for position in range(100))
    contents = {position: Contents(files=[(f"/{position}/" + "x" * 300, 1)]) for position in range(100)}
    lines = [
        line.text or ""
        for line in ElementTree.fromstring(draw_heat(Heat("n", manifest, trace, contents))).iter(f"{SVG}text")
    ]
    assert lines[-1] == "and 40 more"
    assert max(map(len, lines)) <= 100


def test_for_json_every_file_of_a_chunk_is_named_with_its_bytes_there() -> None:
    found = describe_heat(make_heat({3: Contents([("/bin/sh", 4000), ("/bin/x", 96)], ["/bin"], 2)}))
    assert (found["name"], found["positions"], found["stored"], found["chunk_size"]) == ("a<b", 4, 3, 4096)
    assert found["read"][0] == {
        "order": 1,
        "at_ms": 0,
        "position": 3,
        "label": "/bin/sh and 1 more",
        "files": [{"path": "/bin/sh", "bytes": 4000}, {"path": "/bin/x", "bytes": 96}],
        "directories": ["/bin"],
        "inodes": 2,
    }
    assert found["read"][1]["position"] == 0


def test_colours_go_from_red_to_blue() -> None:
    assert colour(0, 1) == colour(0, 100) == "#d62828"
    assert colour(99, 100) == "#2654c8"
