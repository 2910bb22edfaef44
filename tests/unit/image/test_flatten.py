"""The OCI rules for layers, over the tree."""

from __future__ import annotations

import io
import stat

import pytest

from lambdad.image.errors import ImageTooLarge, InvalidImage
from lambdad.image.flatten import Flattener
from lambdad.image.limits import Limits
from lambdad.image.tar import TarReader
from lambdad.image.tree import ROOT, Tree
from lambdad.testing.image_tar import LayerBuilder


def flatten(*layers: LayerBuilder, limits: Limits | None = None) -> tuple[Tree, bytes]:
    tree, spool = Tree(), io.BytesIO()
    flattener = Flattener(tree, spool, limits or Limits())
    for layer in layers:
        flattener.apply(TarReader(iter((layer.build(),)), limits or Limits()), lambda: None)
    return tree, spool.getvalue()


def shown(flat: tuple[Tree, bytes]) -> dict[str, str]:
    """Path -> content, `dir`, or arrow and target, of what lives."""
    tree, spool = flat
    found: dict[str, str] = {}
    stack = [(ROOT, "")]
    while stack:
        directory, path = stack.pop()
        for name, entry in tree.children[directory].items():
            inode, here = tree.entry_inode[entry], path + name.decode()
            if tree.is_directory(inode):
                found[here] = "dir"
                stack.append((inode, here + "/"))
            elif inode in tree.targets:
                found[here] = "-> " + tree.targets[inode].decode()
            else:
                found[here] = spool[tree.offset[inode] : tree.offset[inode] + tree.size[inode]].decode()
    return found


def test_a_later_layer_replaces_files_and_keeps_the_rest() -> None:
    flat = flatten(LayerBuilder().file("a/x", b"1").file("a/y", b"2"), LayerBuilder().file("a/x", b"3"))
    assert shown(flat) == {"a": "dir", "a/x": "3", "a/y": "2"}


def test_a_whiteout_hides_a_file_and_a_whole_directory() -> None:
    flat = flatten(
        LayerBuilder().file("a/x").file("b/c/d").file("b/c/e"), LayerBuilder().whiteout("a/x").whiteout("b/c")
    )
    assert shown(flat) == {"a": "dir", "b": "dir"}


@pytest.mark.parametrize("marker_first", [True, False])
def test_an_opaque_directory_keeps_only_its_own_layer_wherever_the_marker_stands(marker_first: bool) -> None:
    upper = LayerBuilder()
    if marker_first:
        upper.opaque("d")
    upper.directory("d").directory("d/sub").file("d/sub/new", b"n")
    if not marker_first:
        upper.opaque("d")
    flat = flatten(LayerBuilder().file("d/sub/old", b"o").file("d/gone", b"g"), upper)
    assert shown(flat) == {"d": "dir", "d/sub": "dir", "d/sub/new": "n"}


def test_a_whiteout_does_not_hide_what_its_own_layer_brings_again() -> None:
    for layer in (LayerBuilder().whiteout("f").file("f", b"new"), LayerBuilder().file("f", b"new").whiteout("f")):
        assert shown(flatten(LayerBuilder().file("f", b"old"), layer)) == {"f": "new"}


def test_a_directory_may_become_a_file_and_takes_its_content_along() -> None:
    flat = flatten(LayerBuilder().file("p/q", b"1").file("r"), LayerBuilder().file("p", b"2"))
    assert shown(flat) == {"p": "2", "r": ""}


def test_a_file_cannot_be_a_parent() -> None:
    with pytest.raises(InvalidImage, match="puts files below it"):
        flatten(LayerBuilder().file("p"), LayerBuilder().file("p/q"))


def test_a_hard_link_reaches_into_lower_layers_and_survives_its_first_name() -> None:
    tree, _ = flat = flatten(
        LayerBuilder().file("a", b"data"), LayerBuilder().hardlink("b", "a"), LayerBuilder().whiteout("a")
    )
    assert shown(flat) == {"b": "data"}
    inode = tree.lookup(ROOT, b"b")
    assert inode is not None
    assert (tree.links[inode], tree.inode_layer[inode]) == (1, 0)


def test_a_path_through_a_link_lands_inside_the_tree_never_outside() -> None:
    flat = flatten(
        LayerBuilder().directory("usr/lib").symlink("lib", "usr/lib").symlink("up", "../../../../etc"),
        LayerBuilder().file("lib/x", b"1").file("up/passwd", b"2"),
    )
    assert {k: v for k, v in shown(flat).items() if v in "12"} == {"usr/lib/x": "1", "etc/passwd": "2"}


def test_links_that_lead_nowhere_are_an_error_not_a_hang() -> None:
    with pytest.raises(InvalidImage, match="broken link"):
        flatten(LayerBuilder().symlink("a", "b").symlink("b", "a").file("a/x"))


@pytest.mark.parametrize("names", ["short", "n" * 255])
def test_a_chain_of_forty_links_is_followed_as_the_kernel_does_and_a_longer_one_refused(names: str) -> None:
    def chain(length: int) -> LayerBuilder:
        layer = LayerBuilder().directory("end")
        for number in range(length):
            target = "end" if number == 0 else f"{number - 1:03d}{names[3:]}"
            layer.symlink(f"{number:03d}{names[3:]}", target)
        return layer.file(f"{length - 1:03d}{names[3:]}/file", b"x")

    tree, _ = flatten(chain(40))
    end = tree.lookup(ROOT, b"end")
    assert end is not None
    assert tree.lookup(end, b"file") is not None
    with pytest.raises(InvalidImage, match="broken link"):
        flatten(chain(41))


def test_a_hard_link_without_a_file_is_refused() -> None:
    with pytest.raises(InvalidImage, match="no file to link to"):
        flatten(LayerBuilder().hardlink("a", "missing"))


def test_a_directory_takes_the_attributes_of_the_last_layer_that_names_it() -> None:
    tree, _ = flatten(LayerBuilder().directory("d", mode=0o700, uid=1), LayerBuilder().directory("d", mode=0o1777))
    inode = tree.lookup(ROOT, b"d")
    assert inode is not None
    assert (stat.S_IMODE(tree.mode[inode]), tree.uid[inode]) == (0o1777, 0)


def test_too_many_entries_and_too_much_content_are_refused() -> None:
    many = LayerBuilder()
    for number in range(20):
        many.file(f"f{number}", b"x" * 10)
    with pytest.raises(ImageTooLarge, match="more than 10 files"):
        flatten(many, limits=Limits(entries=10))
    with pytest.raises(ImageTooLarge, match="more than 15 bytes"):
        flatten(LayerBuilder().file("a", b"x" * 10).file("b", b"x" * 10), limits=Limits(content_bytes=15))


def test_what_a_layer_removed_is_remembered_for_the_planner() -> None:
    tree, _ = flatten(LayerBuilder().file("a").file("b"), LayerBuilder().whiteout("a").file("c"))
    assert [name for name, _ in tree.entries_at(ROOT, 0)] == [b"a", b"b"]
    assert [name for name, _ in tree.entries_at(ROOT, 1)] == [b"b", b"c"]
