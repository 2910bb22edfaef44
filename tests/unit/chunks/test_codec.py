"""docs/formats/chunk.md, held by vectors and by an independent implementation."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from lambdad.chunks.codec import BLOCK_SIZE, Salt, Tails, decode_chunk, encode_chunk, hkdf_sha256, trim

SALT = Salt("r00000000001", "zone-a", 7, bytes(range(32)))


def test_the_vector_of_the_format_document() -> None:
    """Changing this test means changing the format: every stored chunk would be lost to deduplication."""
    encoded = encode_chunk(b"lambdad" + bytes(9000), Salt("r1").encode())
    assert encoded is not None
    assert len(encoded.cipher_text) == 4096
    assert encoded.key.hex() == VECTOR_KEY
    assert encoded.name.hex() == VECTOR_NAME


VECTOR_KEY = "a495ecb3736852d51133a58fa646b48cb4913c6ea83a38d920daa14092a4869f"
VECTOR_NAME = "4634f69591f768083a737936dc5f78fbc9ab7ddd82a383345e199dbb65d7eafc"


def test_the_salt_is_encoded_as_documented() -> None:
    expected = (
        b"lambdad salt 1" + b"\x0cr00000000001" + b"\x06zone-a" + b"\x08\x07" + bytes(7) + b"\x20" + bytes(range(32))
    )
    assert SALT.encode() == expected


def test_key_derivation_is_rfc_5869() -> None:
    for salt in (b"", b"salt", os.urandom(80)):
        key = os.urandom(32)
        expected = HKDF(algorithm=SHA256(), length=32, salt=salt or None, info=b"info").derive(key)
        assert hkdf_sha256(salt=salt, key=key, info=b"info") == expected


def test_decoding_gives_the_plaintext_and_the_name_is_of_the_cipher_text() -> None:
    plaintext = os.urandom(100_000)
    encoded = encode_chunk(plaintext, SALT.encode())
    assert encoded is not None
    assert encoded.name == hashlib.sha256(encoded.cipher_text).digest()
    assert decode_chunk(encoded.cipher_text, encoded.key) == plaintext
    assert plaintext not in encoded.cipher_text


def test_equal_chunks_are_equal_and_any_field_of_the_salt_separates_them() -> None:
    plaintext = os.urandom(5000)
    salts = [
        SALT,
        replace(SALT, root="r00000000002"),
        replace(SALT, zone="zone-b"),
        replace(SALT, epoch=8),
        replace(SALT, tenant=b""),
        replace(SALT, tenant=bytes(32)),
    ]
    names = []
    for salt in salts:
        once, twice = encode_chunk(plaintext, salt.encode()), encode_chunk(plaintext, salt.encode())
        assert once == twice
        assert once is not None
        names.append(once.name)
    assert len(set(names)) == len(salts)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 100_000])
def test_zeros_are_no_chunk(size: int) -> None:
    for tails in Tails:
        assert encode_chunk(bytes(size), SALT.encode(), tails) is None


@pytest.mark.parametrize("total", [1, 5, 4096, 4097, 8192, 12_289, 65_536])
def test_trimming_cuts_whole_zero_blocks_and_nothing_else(total: int) -> None:
    for last in sorted({0, 1, 4094, 4095, 4096, 8191, 8192, total - 1}):
        if last >= total:
            continue
        data = bytearray(total)
        data[last] = 1
        end = min((last // BLOCK_SIZE + 1) * BLOCK_SIZE, total)
        assert trim(bytes(data), Tails.TRIM) == bytes(data[:end])
        assert trim(bytes(data), Tails.KEEP) == bytes(data)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"root": ""}, "root"),
        ({"root": "a/b"}, "root"),
        ({"root": "R"}, "root"),
        ({"root": "a" * 33}, "root"),
        ({"root": "r", "zone": "é"}, "zone"),
        ({"root": "r", "zone": "z" * 33}, "zone"),
        ({"root": "r", "epoch": -1}, "epoch"),
        ({"root": "r", "epoch": 2**64}, "epoch"),
        ({"root": "r", "tenant": b"short"}, "tenant"),
    ],
)
def test_salts_out_of_range_are_refused(fields: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Salt(**fields)  # type: ignore[arg-type]
