"""What took long to make is made once, seen whole or not at all, and replaced by what succeeds it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lambdad.testing.kept import cache_root, content_key, obtain


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache_root()


def key(*parts: bytes) -> str:
    return content_key(parts)


def test_parts_do_not_run_into_each_other() -> None:
    assert key(b"ab", b"c") != key(b"a", b"bc")


def test_a_directory_is_made_once_by_however_many_want_it() -> None:
    made: list[Path] = []

    def build(target: Path) -> None:
        made.append(target)
        (target / "file").write_text("content")

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(lambda _: obtain("thing", key(b"1"), build), range(8)))

    assert len(made) == 1
    assert (found.pop() / "file").read_text() == "content"
    assert not found


def test_a_build_that_fails_leaves_nothing_and_can_be_tried_again(root: Path) -> None:
    def fail(target: Path) -> None:
        (target / "half").touch()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        obtain("thing", key(b"1"), fail)

    assert [path.name for path in root.iterdir() if path.is_dir()] == []
    assert obtain("thing", key(b"1"), lambda target: None).is_dir()


def test_what_a_killed_build_left_is_not_taken_over_and_goes(root: Path) -> None:
    killed = (
        "import os; from lambdad.testing.kept import content_key, obtain\n"
        "obtain('thing', content_key([b'1']), lambda target: ((target / 'half').touch(), os._exit(9)))"
    )
    assert subprocess.run([sys.executable, "-c", killed]).returncode == 9
    assert len([path for path in root.iterdir() if path.is_dir()]) == 1

    made = obtain("thing", key(b"1"), lambda target: None)

    assert list(made.iterdir()) == []
    assert [path for path in root.iterdir() if path.is_dir()] == [made]


def test_the_newest_replaces_the_others_of_its_kind_and_of_no_other() -> None:
    old = obtain("layer.php", key(b"1"), lambda target: None)
    longer = obtain("layer.php-fpm", key(b"1"), lambda target: None)
    new = obtain("layer.php", key(b"2"), lambda target: None)

    assert new.is_dir() and longer.is_dir() and not old.exists()
