"""Files without names; loop devices need root and are used by every volume in tests/kernel."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.linux import loop


def test_an_unnamed_file_is_in_no_directory(tmp_path: Path) -> None:
    fd = loop.open_unnamed(str(tmp_path))
    try:
        os.ftruncate(fd, 1 << 30)
        assert os.fstat(fd).st_size == 1 << 30
        assert os.fstat(fd).st_blocks == 0
        assert list(tmp_path.iterdir()) == []
    finally:
        os.close(fd)


def test_a_file_system_without_unnamed_files_gets_one_that_is_unlinked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With no flag of its own, opening a directory for writing fails as it does there.
    monkeypatch.setattr(os, "O_TMPFILE", 0)
    fd = loop.open_unnamed(str(tmp_path))
    try:
        assert os.pwrite(fd, b"data", 0) == 4
        assert list(tmp_path.iterdir()) == []
    finally:
        os.close(fd)
