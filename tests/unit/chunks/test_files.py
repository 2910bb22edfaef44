"""Files appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lambdad.chunks import files
from lambdad.chunks.files import write_atomically


def test_a_file_is_written_with_its_mode_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_atomically(path, b"one", mode=0o600)
    assert write_atomically(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_file_stays_if_it_shall_not_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_atomically(path, b"one", replace=False)
    assert not write_atomically(path, b"two", replace=False)
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    real = os.write

    def write_a_little(descriptor: int, data: bytes | memoryview) -> int:
        if len(data) < 4:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:2])

    monkeypatch.setattr(files.os, "write", write_a_little)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new content")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
