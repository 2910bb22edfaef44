"""The manifest of an image: docs/formats/manifest.md as code.

Two views of one file: `ManifestIndex` is what everybody may read (sizes, positions, names), `Manifest` has the keys as
well. Neither holds an object per chunk: the tables stay bytes. Pure: no I/O, no clock, no randomness.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lambdad.chunks.codec import CHUNK_SIZE_MAX, CHUNK_SIZE_MIN, KEY_SIZE, Tails, hkdf_sha256
from lambdad.chunks.interface import NAME_SIZE, ChunkName

MAGIC = b"LMBDMAN\n"
VERSION = 1
SUITE = 1
IMAGE_SIZE_MAX = 2**44

_HEADER = struct.Struct("<8sHHBBBBQII32s32s12sI")
_ROW = struct.Struct("<II32s")
_TAG_SIZE = 16
_TRIMMED = 1


class ManifestInvalid(Exception):
    """The bytes are not a manifest, or not the one that was asked for. The text says which rule they break."""


class ManifestKeyWrong(ManifestInvalid):
    """The manifest is well formed but this key does not open it: another function's key, or a changed byte."""


class FileSystem(IntEnum):
    """What is in the image; the value is the byte in the header."""

    UNKNOWN = 0
    EXT4 = 1
    EROFS = 2


@dataclass(frozen=True, slots=True)
class Row:
    """One stored chunk. length: stored bytes; the rest of the position is zeros."""

    position: int
    length: int
    name: ChunkName
    key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageShape:
    """What is known of an image besides its chunks. size, chunk_size: bytes."""

    size: int
    chunk_size: int
    file_system: FileSystem = FileSystem.UNKNOWN
    tails: Tails = Tails.TRIM

    @property
    def positions(self) -> int:
        return -(-self.size // self.chunk_size)

    def length_at(self, position: int) -> int:
        """Bytes of the image that a position covers: the chunk size, less at the end."""
        return min(self.chunk_size, self.size - position * self.chunk_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestIndex:
    """The part of a manifest that needs no key.

    digest: SHA-256 of the file, hexadecimal: its name. table: name table as it stands in the file.
    """

    shape: ImageShape
    key_id: bytes
    context: bytes
    digest: str
    count: int
    table: bytes

    def names(self) -> Iterator[ChunkName]:
        """Every stored chunk in order of position; a chunk that stands at two positions comes twice."""
        for _, _, name in _ROW.iter_unpack(self.table):
            yield ChunkName(name)

    def stored_bytes(self) -> int:
        """Sum of the stored lengths."""
        return sum(length for _, length, _ in _ROW.iter_unpack(self.table))


class Manifest:
    """An opened manifest: finds the chunk of a position, with its key."""

    __slots__ = ("_keys", "_rows", "index")

    def __init__(self, index: ManifestIndex, keys: bytes) -> None:
        self.index = index
        self._keys = keys
        self._rows = {row[0]: number for number, row in enumerate(_ROW.iter_unpack(index.table))}

    @property
    def shape(self) -> ImageShape:
        return self.index.shape

    def has(self, position: int) -> bool:
        """Whether a chunk is stored for the position; otherwise it is all zeros."""
        return position in self._rows

    def row(self, position: int) -> Row | None:
        """The chunk at a position; None if the position is all zeros."""
        number = self._rows.get(position)
        if number is None:
            return None
        _, length, name = _ROW.unpack_from(self.index.table, number * _ROW.size)
        return Row(position, length, ChunkName(name), self._keys[number * KEY_SIZE : (number + 1) * KEY_SIZE])

    def rows(self) -> Iterator[Row]:
        for number, (position, length, name) in enumerate(_ROW.iter_unpack(self.index.table)):
            yield Row(position, length, ChunkName(name), self._keys[number * KEY_SIZE : (number + 1) * KEY_SIZE])


def key_id_digest(key_name: str) -> bytes:
    """What the header says of the function key: enough to tell that a key is the wrong one, not to find it."""
    return hashlib.sha256(key_name.encode()).digest()


def context_digest(context: str) -> bytes:
    return hashlib.sha256(context.encode()).digest()


def seal_manifest(shape: ImageShape, rows: Sequence[Row], *, key: bytes, key_name: str, context: str) -> bytes:
    """The file. key: the function's 32-byte key, called `key_name` in its ring. context: what the manifest is of.

    Deterministic. `rows` in ascending order of position.
    """
    _check_shape(shape)
    table = b"".join(_ROW.pack(row.position, row.length, row.name) for row in rows)
    _check_table(shape, table)
    keys = b"".join(row.key for row in rows)
    nonce_key = hkdf_sha256(salt=b"", key=key, info=b"lambdad manifest nonce 1")
    unsigned = _pack_header(shape, len(rows), key_name, context, bytes(12))
    nonce = hmac.digest(nonce_key, unsigned + table + keys, "sha256")[:12]
    header = _pack_header(shape, len(rows), key_name, context, nonce)
    sealed = AESGCM(_seal_key(key)).encrypt(nonce, keys, header + table)
    return header + table + sealed


def parse_manifest(data: bytes) -> ManifestIndex:
    """Read what needs no key. Raises `ManifestInvalid`."""
    if len(data) < _HEADER.size + _TAG_SIZE:
        raise ManifestInvalid(f"{len(data)} bytes are too few for a manifest: it was cut off, or is something else")
    fields = _HEADER.unpack_from(data)
    magic, version, header_size, suite, chunk_log2, file_system, flags, size, count, reserved = fields[:10]
    key_id, context, _, end = fields[10:]
    if magic != MAGIC:
        raise ManifestInvalid("the file does not start like a manifest")
    if (version, header_size, suite) != (VERSION, _HEADER.size, SUITE):
        raise ManifestInvalid(f"version {version}, header {header_size}, suite {suite}: written by a newer lambdad?")
    if reserved or end or flags & ~_TRIMMED:
        raise ManifestInvalid("reserved bits of the header are set")
    if file_system not in FileSystem.__members__.values():
        raise ManifestInvalid(f"unknown file system {file_system}")
    expected = _HEADER.size + count * (_ROW.size + KEY_SIZE) + _TAG_SIZE
    if len(data) != expected:
        raise ManifestInvalid(f"{len(data)} bytes instead of {expected} for {count} chunks: cut off or extended")
    if not 12 <= chunk_log2 <= 24:
        raise ManifestInvalid(f"chunk size 2^{chunk_log2} is out of range")
    shape = ImageShape(
        size=size,
        chunk_size=1 << chunk_log2,
        file_system=FileSystem(file_system),
        tails=Tails.TRIM if flags & _TRIMMED else Tails.KEEP,
    )
    _check_shape(shape)
    table = data[_HEADER.size : _HEADER.size + count * _ROW.size]
    _check_table(shape, table)
    digest = hashlib.sha256(data).hexdigest()
    return ManifestIndex(shape=shape, key_id=key_id, context=context, digest=digest, count=count, table=table)


def open_manifest(
    data: bytes, key: bytes, *, key_name: str | None = None, digest: str | None = None, context: str | None = None
) -> Manifest:
    """Check and decrypt. Give `digest` (hexadecimal, as pinned in the configuration) against replay.

    Raises `ManifestKeyWrong` or `ManifestInvalid`.
    """
    index = parse_manifest(data)
    if digest is not None and not hmac.compare_digest(index.digest, digest):
        raise ManifestInvalid(f"manifest {index.digest} stands in the place of {digest}: replayed or exchanged")
    if context is not None and index.context != context_digest(context):
        raise ManifestInvalid(f"the manifest was made for something else than {context!r}")
    if key_name is not None and index.key_id != key_id_digest(key_name):
        raise ManifestKeyWrong(f"the manifest is sealed under another key than {key_name!r}")
    clear = _HEADER.size + len(index.table)
    nonce = data[_HEADER.size - 16 : _HEADER.size - 4]
    try:
        keys = AESGCM(_seal_key(key)).decrypt(nonce, data[clear:], data[:clear])
    except InvalidTag:
        raise ManifestKeyWrong(f"manifest {index.digest}: wrong key, or a byte was changed") from None
    return Manifest(index, keys)


def _seal_key(key: bytes) -> bytes:
    if len(key) != KEY_SIZE:
        raise ManifestKeyWrong(f"a function key has {KEY_SIZE} bytes, not {len(key)}")
    return hkdf_sha256(salt=b"", key=key, info=b"lambdad manifest seal 1")


def _pack_header(shape: ImageShape, count: int, key_name: str, context: str, nonce: bytes) -> bytes:
    return _HEADER.pack(
        MAGIC,
        VERSION,
        _HEADER.size,
        SUITE,
        shape.chunk_size.bit_length() - 1,
        shape.file_system,
        _TRIMMED if shape.tails is Tails.TRIM else 0,
        shape.size,
        count,
        0,
        key_id_digest(key_name),
        context_digest(context),
        nonce,
        0,
    )


def _check_shape(shape: ImageShape) -> None:
    if not CHUNK_SIZE_MIN <= shape.chunk_size <= CHUNK_SIZE_MAX or shape.chunk_size & (shape.chunk_size - 1):
        raise ManifestInvalid(f"chunk size {shape.chunk_size} is not a power of two from 4 KiB to 16 MiB")
    if not 0 <= shape.size <= IMAGE_SIZE_MAX:
        raise ManifestInvalid(f"image size {shape.size} is out of range")


def _check_table(shape: ImageShape, table: bytes) -> None:
    positions = shape.positions
    if len(table) > positions * _ROW.size:
        raise ManifestInvalid(f"more chunks than the {positions} positions of the image")
    last = -1
    for position, length, name in _ROW.iter_unpack(table):
        if not last < position < positions:
            raise ManifestInvalid(f"position {position} is out of order or beyond the image")
        if not 1 <= length <= shape.length_at(position):
            raise ManifestInvalid(f"stored length {length} at position {position} is out of range")
        if len(name) != NAME_SIZE:
            raise ManifestInvalid("a name is not 32 bytes")
        last = position
