"""Names and errors of chunk stores."""

from __future__ import annotations

import hashlib

from lambdad.chunks.interface import ChunkError, ChunkInvalid, ChunkMissing, name_of


def test_a_chunk_is_called_by_the_hash_of_its_cipher_text() -> None:
    assert name_of(b"abc") == hashlib.sha256(b"abc").digest()


def test_missing_and_invalid_are_different_errors_that_name_chunk_and_place() -> None:
    name = name_of(b"abc")
    missing, invalid = ChunkMissing(name, "memory"), ChunkInvalid(name, "disk", "cut off")
    assert not isinstance(missing, ChunkInvalid)
    assert not isinstance(invalid, ChunkMissing)
    assert isinstance(missing, ChunkError)
    assert str(missing) == f"chunk {name.hex()} is not in memory"
    assert str(invalid) == f"chunk {name.hex()} in disk is damaged: cut off"
