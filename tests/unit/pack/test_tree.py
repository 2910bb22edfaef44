"""Paths inside a root that is put together from directories of this machine."""

from __future__ import annotations

import pytest

from lambdad.pack.tree import Place, Root


@pytest.fixture
def world(tmp_path):
    for name in ("base/usr/lib", "base/etc", "one/lib", "two/lib"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "base/opt").mkdir()
    (tmp_path / "base/lib").symlink_to("usr/lib")
    (tmp_path / "base/usr/lib/a").write_text("base")
    (tmp_path / "one/lib/x").write_text("one")
    (tmp_path / "two/lib/x").write_text("two")
    (tmp_path / "two/lib/y").write_text("two")
    return tmp_path


def root(world) -> Root:
    return Root(Place("/", (world / "base",)), Place("/opt", (world / "two", world / "one")))


def test_links_lead_inside_the_root_and_never_out(world):
    (world / "base/etc/passwd").symlink_to("/usr/lib/a")
    (world / "one/up").symlink_to("../../../../../../../../etc/passwd")
    assert root(world).lookup("/lib/a").path == "/usr/lib/a"
    assert root(world).lookup("/opt/up").host == world / "base/usr/lib/a"
    assert root(world).lookup("/../../lib/./a").path == "/usr/lib/a"


def test_the_first_directory_of_a_place_wins_and_names_are_merged(world):
    assert root(world).lookup("/opt/lib/x").host == world / "two/lib/x"
    assert root(world).list_directory("/opt/lib") == ["x", "y"]
    assert [node.path for node in root(world).walk("/opt")] == ["/opt/lib", "/opt/lib/x", "/opt/lib/y"]


def test_what_is_not_there_is_none(world):
    (world / "base/etc/self").symlink_to("self")
    tree = root(world)
    assert tree.lookup("/nothing") is None
    assert tree.lookup("/usr/lib/a/b") is None
    assert tree.lookup("/etc/self") is None and tree.is_loop("/etc/self")
    assert not tree.is_loop("/nothing")
    assert tree.lookup_link("/etc/self").path == "/etc/self"
    assert tree.list_directory("/usr/lib/a") == []


def test_what_is_above_a_place_is_a_directory_though_nothing_else_is_there(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "tool/bin").mkdir(parents=True)
    (tmp_path / "tool/bin/run").write_text("")
    root = Root(Place("/", (tmp_path / "root",)), Place("/home/me/tool", (tmp_path / "tool",)))
    found = root.lookup("/home/me/tool/bin/run")
    assert found is not None and found.is_file
    assert root.lookup("/home/me") is not None and root.lookup("/home/other") is None
