"""Chunk ↔ cipher text: docs/formats/chunk.md as code.

Pure: no I/O, no clock, no randomness. The same plaintext and salt give the same name on every machine.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import Enum

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from lambdad.chunks.interface import ChunkName

CHUNK_SIZE = 512 * 1024
CHUNK_SIZE_MIN = 4 * 1024
CHUNK_SIZE_MAX = 16 * 1024 * 1024
BLOCK_SIZE = 4096
KEY_SIZE = 32

_ROOT = re.compile(r"[a-z0-9-]{1,32}")
_ZONE = re.compile(r"[\x21-\x7e]{0,32}")
_INFO = b"lambdad chunk key 1"
_ZERO_COUNTER = bytes(16)
_ZEROS = bytes(BLOCK_SIZE)


class Tails(Enum):
    """What becomes of zero blocks at the end of a chunk."""

    TRIM = "trim"
    KEEP = "keep"


@dataclass(frozen=True, slots=True)
class Salt:
    """The domain in which equal plaintexts become equal chunks.

    root: identifier of the active root. zone: placement. epoch: rotates with time, 0 to 2^64-1.
    tenant: empty, or the 32-byte secret of a tenant that shares with nobody.
    """

    root: str
    zone: str = ""
    epoch: int = 0
    tenant: bytes = b""

    def __post_init__(self) -> None:
        if _ROOT.fullmatch(self.root) is None:
            raise ValueError(f"root must be 1-32 of a-z, 0-9 and -, not {self.root!r}")
        if _ZONE.fullmatch(self.zone) is None:
            raise ValueError(f"zone must be at most 32 printable ASCII characters, not {self.zone!r}")
        if not 0 <= self.epoch < 2**64:
            raise ValueError(f"epoch must be 0 to 2^64-1, not {self.epoch}")
        if len(self.tenant) not in (0, 32):
            raise ValueError(f"tenant secret must be empty or 32 bytes, not {len(self.tenant)}")

    def encode(self) -> bytes:
        fields = (self.root.encode("ascii"), self.zone.encode("ascii"), self.epoch.to_bytes(8, "little"), self.tenant)
        return b"lambdad salt 1" + b"".join(bytes([len(field)]) + field for field in fields)


@dataclass(frozen=True, slots=True)
class EncodedChunk:
    """A chunk ready to be stored: its name, the key for the manifest, and the bytes for the store."""

    name: ChunkName
    key: bytes
    cipher_text: bytes


def hkdf_sha256(*, salt: bytes, key: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block of output (32 bytes)."""
    extracted = hmac.digest(salt or bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def trim(plaintext: bytes, tails: Tails) -> bytes:
    """The bytes of a position that are stored; empty if they are all zeros."""
    end = _end_of_data(plaintext)
    if end == 0:
        return b""
    return plaintext if tails is Tails.KEEP else plaintext[:end]


def _end_of_data(data: bytes) -> int:
    """Where the last block that is not all zeros ends.

    Block by block from the end: `startswith` is a memcmp, while comparing memoryviews looks at each byte by itself.
    """
    end = len(data)
    while end:
        start = (end - 1) // BLOCK_SIZE * BLOCK_SIZE
        if not data.startswith(_ZEROS if end - start == BLOCK_SIZE else _ZEROS[: end - start], start):
            return end
        end = start
    return 0


def encode_chunk(plaintext: bytes, salt: bytes, tails: Tails = Tails.TRIM) -> EncodedChunk | None:
    """Encrypt one position of an image; None if it is all zeros.

    plaintext: 1 byte up to the chunk size. salt: `Salt.encode()`.
    """
    stored = trim(plaintext, tails)
    if not stored:
        return None
    key = hkdf_sha256(salt=salt, key=hashlib.sha256(stored).digest(), info=_INFO)
    cipher_text = _crypt(key, stored)
    return EncodedChunk(ChunkName(hashlib.sha256(cipher_text).digest()), key, cipher_text)


def decode_chunk(cipher_text: bytes, key: bytes) -> bytes:
    """The stored plaintext. The caller has verified the name; the zeros of the tail are the caller's to add."""
    return _crypt(key, cipher_text)


def _crypt(key: bytes, data: bytes) -> bytes:
    # CTR is its own inverse. A counter that starts at zero is safe because a key meets one plaintext only.
    return Cipher(algorithms.AES(key), modes.CTR(_ZERO_COUNTER)).encryptor().update(data)
