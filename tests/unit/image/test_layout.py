"""The planner: same content, same place; and no image pays for what another one changed."""

from __future__ import annotations

import io

import pytest

from lambdad.image.flatten import Flattener
from lambdad.image.layout import Geometry, Layout, Zones, plan_layout, slack
from lambdad.image.limits import Limits
from lambdad.image.tar import TarReader
from lambdad.image.tree import Tree
from lambdad.testing.image_tar import LayerBuilder

BLOCK, CHUNK = 1024, 512 * 1024
PER_CHUNK = CHUNK // BLOCK
GEOMETRY = Geometry(
    BLOCK,
    CHUNK,
    lambda tree, inode: ((0, -(-tree.size[inode] // BLOCK)),) if tree.size[inode] else (),
    lambda _tree, _inode: 0,
)


def plan(*layers: LayerBuilder, packages: dict[bytes, bytes] | None = None) -> dict[str, int]:
    """First block of every file that ever was, by path and layer."""
    tree = Tree()
    flattener = Flattener(tree, io.BytesIO(), Limits())
    for layer in layers:
        flattener.apply(TarReader(iter((layer.build(),)), Limits()), lambda: None)
    layout = plan_layout(tree, GEOMETRY, packages or {})
    check(tree, layout)
    places: dict[str, int] = {}
    for _, path, entries in tree.walk():
        for entry in entries:
            inode = tree.entry_inode[entry]
            if not tree.is_directory(inode):
                places[f"{path.decode()}/{tree.name[entry].decode()}@{tree.born[entry]}"] = layout.start[inode]
    return places


def check(tree: Tree, layout: Layout) -> None:
    """No two contents share a block, nothing lies before the first chunk or behind the end."""
    end = PER_CHUNK
    for layer in layout.layers:
        for inode in layer.data:
            assert layout.start[inode] >= end
            end = layout.start[inode] + -(-tree.size[inode] // BLOCK)
    assert end <= layout.end
    assert layout.end % PER_CHUNK == 0


def package(layer: LayerBuilder, name: str, files: int = 40, size: int = 9000) -> LayerBuilder:
    for number in range(files):
        layer.file(f"usr/lib/python3/site-packages/{name}/m{number}.py", name.encode() * (size // len(name) + number))
    return layer


def test_layers_and_large_files_and_packages_start_on_chunks() -> None:
    base = package(package(LayerBuilder(), "aaa"), "bbb").file("opt/huge.bin", b"h" * 300_000)
    places = plan(base, LayerBuilder().file("app", b"x"))
    for name in ("opt/huge.bin@0", "/app@1", "usr/lib/python3/site-packages/aaa/m0.py@0"):
        assert places[name] % PER_CHUNK == 0, name
    assert places["usr/lib/python3/site-packages/bbb/m0.py@0"] % PER_CHUNK == 0


def test_a_layer_keeps_its_places_whatever_comes_above_it() -> None:
    base = package(LayerBuilder().file("etc/a", b"1").file("etc/b", b"2" * 5000), "numpy")
    alone = plan(base)
    base = package(LayerBuilder().file("etc/a", b"1").file("etc/b", b"2" * 5000), "numpy")
    top = LayerBuilder().whiteout("etc/a").file("etc/b", b"new").file("etc/0", b"0").opaque("usr/lib/python3")
    above = plan(base, top)
    assert {name: above[name] for name in alone} == alone


def test_a_package_that_grows_does_not_move_the_files_of_another() -> None:
    def relative(places: dict[str, int], name: str) -> list[int]:
        found = [at for path, at in sorted(places.items()) if f"/{name}/" in path]
        return [at - found[0] for at in found]

    small = plan(package(package(LayerBuilder(), "aaa"), "zzz"))
    large = plan(package(package(LayerBuilder(), "aaa", files=55), "zzz"))
    assert relative(small, "zzz") == relative(large, "zzz")
    assert [at % PER_CHUNK for path, at in small.items() if "/zzz/m0.py" in path] == [0]


def test_files_of_one_debian_package_lie_together_wherever_they_are_installed() -> None:
    layer = LayerBuilder()
    owners = {}
    for number in range(30):
        for directory in ("usr/bin", "usr/share/doc", "etc"):
            path = f"{directory}/f{number}"
            layer.file(path, b"d" * 6000)
            owners[path.encode()] = b"even" if number % 2 == 0 else b"odd"
    places = plan(layer, packages=owners)
    even = [at for path, at in places.items() if int(path.split("f")[-1].split("@")[0]) % 2 == 0]
    odd = [at for path, at in places.items() if int(path.split("f")[-1].split("@")[0]) % 2 == 1]
    assert max(even) < min(odd)


@pytest.mark.parametrize("used", [1, 5_000, 100_000, 10_000_000])
def test_the_room_behind_a_layer_is_at_most_an_eighth_of_it(used: int) -> None:
    assert slack(used, 1) <= max(1, used // 8)
    assert slack(used, PER_CHUNK) >= PER_CHUNK


def test_small_runs_of_metadata_share_a_chunk_and_large_ones_do_not() -> None:
    zones = Zones(0, 1000)
    assert [zones.take(units) for units in (10, 20, 600, 5, 5, 0)] == [0, 10, 1000, 2000, 2005, 2010]


def test_a_files_place_in_a_large_package_survives_a_change_far_before_it() -> None:
    """Cuts at names bring the packing back in step: only some chunks change, not all that follow."""

    def build(first: int) -> LayerBuilder:
        layer = LayerBuilder()
        for number in range(400):
            size = first if number == 0 else 9000
            layer.file(f"site-packages/big/m{number:03}.py", bytes([number % 250]) * size)
        return layer

    before, after = plan(build(9000)), plan(build(12_000))
    same = sum(before[path] % PER_CHUNK == after[path] % PER_CHUNK for path in before)
    assert same > 300


def test_bytecode_of_a_package_is_not_between_its_sources() -> None:
    def build(marker: bytes) -> dict[str, int]:
        layer = package(LayerBuilder(), "aaa").file("usr/lib/python3/site-packages/one.py", b"1")
        for number in range(40):
            path = f"usr/lib/python3/site-packages/aaa/__pycache__/m{number}.cpython-311.pyc"
            layer.file(path, marker * (number * 1000 + 1))
        return plan(layer)

    places, longer = build(b"c"), build(b"cc")
    sources = [name for name in places if name.endswith(".py@0")]
    last = max(places[name] for name in sources)
    assert all(at > last for name, at in places.items() if ".pyc" in name)
    assert {name: places[name] for name in sources} == {name: longer[name] for name in sources}
