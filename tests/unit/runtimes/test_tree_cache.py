"""Trees appear whole or not at all, and go when nobody has used them for long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.runtimes.tree_cache import ABANDONED_S, UNUSED_S, TreeError, building, sweep

NOW = 2_000_000_000.0


def test_a_tree_appears_at_the_end_of_the_block_readable_by_all(tmp_path: Path) -> None:
    target = tmp_path / "trees" / "t"
    old = os.umask(0o077)
    try:
        with building(target) as work:
            (work / "folder").mkdir()
            (work / "folder" / "file").write_text("x")
            assert not target.exists()
    finally:
        os.umask(old)
    assert os.listdir(target.parent) == ["t"]
    modes = [path.stat().st_mode & 0o777 for path in (target, target / "folder", target / "folder" / "file")]
    assert modes == [0o755, 0o755, 0o644]


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"), building(tmp_path / "t"):
        raise ValueError("stop")
    assert os.listdir(tmp_path) == []


def test_the_first_of_two_builders_wins(tmp_path: Path) -> None:
    with building(tmp_path / "t") as slow:
        (slow / "by").write_text("slow")
        with building(tmp_path / "t") as quick:
            (quick / "by").write_text("quick")
    assert (tmp_path / "t" / "by").read_text() == "quick"
    assert os.listdir(tmp_path) == ["t"]


def test_an_error_of_the_disk_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TreeError, match=r"t could not be put into .*/file"), building(tmp_path / "file" / "t"):
        pass


def test_unused_trees_and_abandoned_work_go_and_used_ones_are_noted(tmp_path: Path) -> None:
    ages = {"used": UNUSED_S + 1, "old": UNUSED_S + 1, "young": UNUSED_S - 1}
    ages |= {".building-old": ABANDONED_S + 1, ".building-young": ABANDONED_S - 1}
    for name, age in ages.items():
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (NOW - age, NOW - age))
    sweep(tmp_path, ["used", "absent"], NOW)
    assert sorted(os.listdir(tmp_path)) == [".building-young", "used", "young"]
    assert (tmp_path / "used").stat().st_mtime == NOW
    sweep(tmp_path / "nothing", ["x"], NOW)
