"""Making files in a tree whose links lead to this machine's own files."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from lambdad.pack.errors import PackError
from lambdad.pack.inside import make_directory, make_parents, write_file


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with a link to a directory of the host, one to a file, and a file."""
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "secret").write_text("the host's")
    made = tmp_path / "tree"
    made.mkdir()
    (made / "out").symlink_to(tmp_path / "host")
    (made / "link").symlink_to(tmp_path / "host" / "secret")
    (made / "file").write_text("first")
    return made


def test_files_and_directories_are_made_with_what_is_above_them(tree: Path) -> None:
    write_file(tree, "a/b/c", b"x", 0o755)
    make_directory(tree, "a/d")
    make_directory(tree, "a/d")
    assert stat.S_IMODE((tree / "a/b/c").stat().st_mode) == 0o755
    assert (tree / "a/d").is_dir()


@pytest.mark.parametrize("relative", ["out/evil", "out/deep/evil", "file/x", "link/x", "", "a/../b", "/", "a//b"])
def test_nothing_goes_below_a_link_or_a_file_or_out_of_the_tree(tree: Path, relative: str) -> None:
    for make in (
        lambda: make_parents(tree, relative),
        lambda: make_directory(tree, relative),
        lambda: write_file(tree, relative, b"x", 0o644),
    ):
        with pytest.raises(PackError):
            make()
    assert [path.name for path in (tree.parent / "host").iterdir()] == ["secret"]


@pytest.mark.parametrize("relative", ["link", "file", "out"])
def test_what_is_there_is_not_written_through_or_over(tree: Path, relative: str) -> None:
    before = (tree.parent / "host" / "secret").stat()
    with pytest.raises(PackError, match="is there twice"):
        write_file(tree, relative, b"evil", 0o777)
    with pytest.raises(PackError, match="cannot be in one layer"):
        make_directory(tree, relative)
    after = (tree.parent / "host" / "secret").stat()
    assert (after.st_mode, after.st_size) == (before.st_mode, before.st_size)
    assert (tree / "file").read_text() == "first"
