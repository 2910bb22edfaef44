"""Blobs as files under their digests."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lambdad.store.blobs import BlobDamaged, BlobNotFound, DirectoryBlobs

SHA = hashlib.sha256(b"content").hexdigest()


def test_a_blob_is_kept_under_the_digest_of_its_bytes(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path / "blobs")
    assert blobs.put(b"content") == SHA
    assert blobs.path(SHA) == tmp_path / "blobs" / SHA[:2] / SHA
    assert (blobs.get(SHA), blobs.size(SHA), blobs.has(SHA)) == (b"content", 7, True)
    with blobs.open(SHA) as file:
        assert file.read(3) == b"con"


def test_what_is_there_already_is_written_no_second_time_but_counts_as_new(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blobs.put(b"content")
    path = blobs.path(SHA)
    assert path is not None
    os.utime(path, (1, 1))
    inode = path.stat().st_ino
    assert blobs.put(b"content") == SHA
    ((sha, used),) = blobs.list()
    assert (sha, path.stat().st_ino) == (SHA, inode)
    assert used > 1


def test_what_is_not_there_is_not_found(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    assert (blobs.has(SHA), blobs.path(SHA)) == (False, None)
    for read in (blobs.get, blobs.open, blobs.size):
        with pytest.raises(BlobNotFound, match=SHA):
            read(SHA)
    blobs.delete(SHA)


@pytest.mark.parametrize("sha", ["", "../../etc/passwd", "AB" * 32, "ab" * 31, "ab" * 31 + "/x"])
def test_a_name_that_is_no_digest_never_reaches_the_disk(tmp_path: Path, sha: str) -> None:
    with pytest.raises(BlobNotFound):
        DirectoryBlobs(tmp_path).has(sha)


def test_damage_is_noticed_when_a_blob_is_read_and_mended_when_it_is_put_again(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blobs.put(b"content")
    path = blobs.path(SHA)
    assert path is not None
    path.write_bytes(b"cont")
    with pytest.raises(BlobDamaged, match="damaged on disk"):
        blobs.get(SHA)
    blobs.put(b"content")
    assert blobs.get(SHA) == b"content"


def test_half_written_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blobs.put(b"content")
    (tmp_path / ".new-abc").write_bytes(b"half")
    blobs = DirectoryBlobs(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [SHA[:2]]
    blobs.delete(SHA)
    assert list(blobs.list()) == []


def test_an_unused_blob_goes_unless_it_was_put_again(tmp_path: Path) -> None:
    blobs = DirectoryBlobs(tmp_path)
    blobs.put(b"content")
    path = blobs.path(SHA)
    assert path is not None
    os.utime(path, (100, 100))
    assert not blobs.delete_unused(SHA, 99.0)
    assert blobs.delete_unused(SHA, 100.0)
    assert not blobs.delete_unused(SHA, 100.0)
    assert not blobs.has(SHA)
