"""The cache: bounded, and clean after failures."""

from __future__ import annotations

import os

import pytest

from lambdad.pack import cache as cache_module
from lambdad.pack.cache import Cache, default_cache, remove_tree, tree_size


def test_scratch_is_gone_after_a_failure_even_if_parts_are_unreadable(tmp_path):
    cache = Cache(tmp_path)
    with pytest.raises(RuntimeError), cache.scratch() as directory:
        (directory / "a/b").mkdir(parents=True)
        (directory / "a/b/c").write_text("x")
        (directory / "a").chmod(0)
        raise RuntimeError
    assert list((tmp_path / "work").iterdir()) == []


def test_the_least_recently_used_goes_first_when_there_is_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "DOWNLOADS_MAX", 25)
    cache = Cache(tmp_path)
    for age, name in enumerate(("new", "middle", "old")):
        path = cache.downloads / name
        path.write_bytes(b"x" * 10)
        os.utime(path, (1000 - age, 1000 - age))
    cache.trim()
    assert sorted(path.name for path in cache.downloads.iterdir()) == ["middle", "new"]


def test_trimming_removes_what_a_killed_process_was_working_in_and_nothing_that_is_in_use(tmp_path):
    cache = Cache(tmp_path)
    for name in ("work-killed", "work-young"):
        (tmp_path / "work" / name / "a").mkdir(parents=True)
    with cache.scratch() as used:
        for directory in (used, tmp_path / "work/work-killed"):
            os.utime(directory, (1000, 1000))
        cache.trim()
        assert sorted(path.name for path in (tmp_path / "work").iterdir()) == sorted((used.name, "work-young"))
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["work-young"]


def test_sizes_count_files_and_not_what_links_name(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/x").write_bytes(b"12345")
    (tmp_path / "d/link").symlink_to("/")
    assert tree_size(tmp_path) == 5 + 1


def test_the_cache_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache().root == tmp_path / "lambdad/pack"


def test_removing_what_is_not_there_is_no_error(tmp_path):
    remove_tree(tmp_path / "nothing")
