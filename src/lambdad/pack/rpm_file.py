"""An rpm package as a file: its header and the files in it, read as if an enemy had written them.

Own code and not the `rpmfile` package, which reads whole members into memory and checks neither names, links nor
digests. The payload is a `cpio` archive in the newc format under gzip, xz, zstd, bzip2 or nothing. Scripts in the
package are found and never run.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import lzma
import stat
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

from lambdad.image.decompress import PIECE, decompressed
from lambdad.image.errors import ImageError
from lambdad.pack.errors import PackError
from lambdad.pack.inside import make_parents
from lambdad.pack.relocate import canonical

LEAD = 96
HEADER_MAX = 64 * 1024 * 1024
TAGS_MAX = 16 * 1024
UNPACKED_MAX = 2 * 1024**3
ENTRIES_MAX = 300_000
NAME_MAX = 4_096
XZ_MEMORY_MAX = 512 * 1024 * 1024
_LEAD_MAGIC = b"\xed\xab\xee\xdb"
_HEADER_MAGIC = b"\x8e\xad\xe8\x01"
_CPIO = (b"070701", b"070702")
_STRIPPED_CPIO = b"07070X"
_TRAILER = "TRAILER!!!"
_XZ = b"\xfd7zXZ\0"
_LZMA = b"\x5d\0\0"
_BZIP = b"BZh"

_SIGNATURES = (268, 267)
_SCRIPTS = {1023: 1085, 1024: 1086, 1151: 1153, 1152: 1154}
"""Tags of scripts that run before and after an installation, and of the programs that run them."""
_FILE_FLAGS, _BASE_NAMES, _DIR_NAMES, _DIR_INDEXES = 1037, 1117, 1118, 1116
_PAYLOAD_DIGEST, _PAYLOAD_ALGORITHM = 5092, 5093
_READ = (
    1000, *_SIGNATURES, *_SCRIPTS, *_SCRIPTS.values(), _FILE_FLAGS, _BASE_NAMES, _DIR_NAMES, _DIR_INDEXES,
    _PAYLOAD_DIGEST, _PAYLOAD_ALGORITHM,
)  # fmt: skip
_GHOST = 1 << 6
_SHA256 = 8
_INTEGERS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "Q"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RpmHeader:
    """What the header says. raw: the bytes that `signature` (OpenPGP, detached; empty: none) is made over.

    ghosts: paths that the package owns and does not bring; scripts: whether something would run besides ldconfig;
    payload: where the archive begins; payload_sha256: of the archive as it is in the file, empty if not told.
    """

    name: str
    raw: bytes
    signature: bytes
    ghosts: frozenset[str]
    scripts: bool
    payload: int
    payload_sha256: str


Value = int | str | bytes


def read_header(path: Path) -> RpmHeader:
    """Raises PackError."""
    try:
        with path.open("rb") as stream:
            if stream.read(LEAD)[:4] != _LEAD_MAGIC:
                raise PackError(f"{path.name} is not an rpm package")
            signatures, raw = _read_tags(stream)
            stream.seek(-(LEAD + len(raw)) % 8, io.SEEK_CUR)  # padded to eight bytes
            tags, raw = _read_tags(stream)
            return _header(signatures, tags, raw, stream.tell(), path.name)
    except (struct.error, IndexError, UnicodeDecodeError, OSError) as error:
        raise PackError(f"{path.name} has a broken header: {error}") from None


def _header(
    signatures: dict[int, list[Value]], tags: dict[int, list[Value]], raw: bytes, payload: int, file: str
) -> RpmHeader:
    digest = tags.get(_PAYLOAD_DIGEST, [""])[0] if tags.get(_PAYLOAD_ALGORITHM, [0])[0] == _SHA256 else ""
    return RpmHeader(
        name=str(tags.get(1000, [file])[0]),
        raw=raw,
        signature=next((_as_bytes(signatures[tag][0]) for tag in _SIGNATURES if signatures.get(tag)), b""),
        ghosts=frozenset(_ghosts(tags)),
        scripts=any(_is_script(tags, tag, program) for tag, program in _SCRIPTS.items()),
        payload=payload,
        payload_sha256=str(digest),
    )


def _as_bytes(value: Value) -> bytes:
    return value if isinstance(value, bytes) else b""


def _read_tags(stream: BinaryIO) -> tuple[dict[int, list[Value]], bytes]:
    """One header structure: an index of (tag, type, offset, count), then what they point to. Of the tags that are read,
    those with a value.
    """
    intro = stream.read(16)
    magic, _, count, size = struct.unpack(">4s4sII", intro)
    if magic != _HEADER_MAGIC:
        raise PackError("the package's header does not begin as one")
    if count > TAGS_MAX or size > HEADER_MAX:
        raise PackError(f"the package's header has {count} entries and {size} bytes, more than any has")
    index, store = stream.read(16 * count), stream.read(size)
    if len(index) != 16 * count or len(store) != size:
        raise PackError("the package ends inside its header")
    places = {tag: place for tag, *place in struct.iter_unpack(">IIII", index)}
    if any(number > size for _, _, number in places.values()):
        raise PackError("the package's header counts more than it has")
    tags = {tag: _values(store, *places[tag]) for tag in _READ if tag in places}
    return {tag: values for tag, values in tags.items() if values}, intro + index + store


def _values(store: bytes, kind: int, offset: int, count: int) -> list[Value]:
    if kind == 7:
        return [store[offset : offset + count]]
    if count > ENTRIES_MAX:
        raise PackError(f"the package's header has a list of {count} values, more than any has")
    if kind in _INTEGERS:
        return list(struct.unpack_from(f">{count}{_INTEGERS[kind]}", store, offset))
    if kind not in (6, 8, 9):
        return []
    found: list[Value] = []
    for _ in range(count):
        end = store.find(b"\0", offset)
        end = len(store) if end < 0 else end
        found.append(store[offset:end].decode("utf-8", "surrogateescape"))
        offset = end + 1
    return found


def _ghosts(tags: dict[int, list[Value]]) -> Iterator[str]:
    directories = tags.get(_DIR_NAMES, [])
    places = zip(tags.get(_DIR_INDEXES, []), tags.get(_BASE_NAMES, []), tags.get(_FILE_FLAGS, []), strict=False)
    for index, name, flags in places:
        if isinstance(index, int) and isinstance(flags, int) and flags & _GHOST:
            yield f"{directories[index]!s}{name!s}"


def _is_script(tags: dict[int, list[Value]], tag: int, program: int) -> bool:
    """`/sbin/ldconfig` alone is none: the layer's libraries are found without its cache."""
    if tags.get(tag):
        return True
    return bool(tags.get(program)) and tags[program][0] != "/sbin/ldconfig"


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    mode: int
    size: int
    identity: tuple[int, int, int]
    links: int


def unpack(path: Path, header: RpmHeader, directory: Path) -> list[str]:
    """Unpack into `directory`, merged /usr; the canonical paths. Raises PackError, also for a wrong payload digest."""
    _check_payload(path, header)
    unpacker = _Unpacker(directory, path.name)
    try:
        with _Payload(path, header) as reader:
            for entry in reader.entries():
                origin = canonical("/" + entry.name.removeprefix("./").strip("/"))
                if origin == "/" or origin in header.ghosts:
                    reader.skip(entry)
                else:
                    unpacker.place(reader, entry, origin)
        return unpacker.finish()
    except OSError as error:
        raise PackError(f"{path.name} cannot be unpacked: {error.strerror or error}") from None


def _check_payload(path: Path, header: RpmHeader) -> None:
    if not header.payload_sha256:
        return
    with path.open("rb") as stream:
        stream.seek(header.payload)
        if hashlib.file_digest(stream, "sha256").hexdigest() != header.payload_sha256:
            raise PackError(f"the archive of {path.name} is not the one that its header names")


class _Unpacker:
    """Puts the members of one package into a directory that may have those of others; nothing goes through a link."""

    def __init__(self, directory: Path, package: str) -> None:
        self._directory = directory
        self._package = package
        self._paths: list[str] = []
        self._waiting: dict[tuple[int, int, int], list[Path]] = {}
        self._before: dict[Path, str] = {}

    def place(self, reader: _Payload, entry: _Entry, origin: str) -> None:
        target = self._target(origin)
        self._paths.append(origin)
        if stat.S_ISDIR(entry.mode):
            if target.is_symlink() or not target.is_dir():
                target.mkdir()
        elif stat.S_ISLNK(entry.mode):
            self._clear(target)
            target.symlink_to(reader.text(entry))
        elif stat.S_ISREG(entry.mode):
            self._clear(target)
            self._place_file(reader, entry, target)
        else:
            reader.skip(entry)  # devices, sockets and pipes cannot be in a layer

    def finish(self) -> list[str]:
        """The paths. Raises PackError if another package has brought one of them with other content."""
        for targets in self._waiting.values():
            for target in targets:  # links of an empty file
                target.touch(mode=0o644)
        for target, before in self._before.items():
            if _fingerprint(target) != before:
                path = f"/{target.relative_to(self._directory)}"
                raise PackError(f"{self._package} and another package have {path} with other content: they conflict")
        return self._paths

    def _place_file(self, reader: _Payload, entry: _Entry, target: Path) -> None:
        """Of hard links only the last has the bytes; the others wait for it."""
        if entry.links > 1 and not entry.size:
            self._waiting.setdefault(entry.identity, []).append(target)
            return
        with target.open("wb") as stream:
            reader.copy(entry, stream)
        target.chmod(stat.S_IMODE(entry.mode) | 0o400)
        for other in self._waiting.pop(entry.identity, []) if entry.links > 1 else ():
            other.hardlink_to(target)

    def _target(self, origin: str) -> Path:
        """Where a path goes, its parents made."""
        try:
            return make_parents(self._directory, origin, shown="")
        except PackError as error:
            raise PackError(f"{self._package}: {error}") from None

    def _clear(self, target: Path) -> None:
        if target.is_dir() and not target.is_symlink():
            raise PackError(f"{self._package} has a file where {target.name} is a directory")
        if target.is_symlink() or target.exists():
            self._before[target] = _fingerprint(target)
            target.unlink()


def _fingerprint(path: Path) -> str:
    if path.is_symlink():
        return f"link {path.readlink()}"
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class _Payload:
    """The archive of a package, member by member; what a member has must be taken before the next is asked for."""

    def __init__(self, path: Path, header: RpmHeader) -> None:
        self._name = path.name
        self._raw = path.open("rb")
        try:
            self._raw.seek(header.payload)
            self._pieces = decompress_any(self._raw, path.name)
        except BaseException:
            self._raw.close()
            raise
        self._kept = bytearray()
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.close()
        self._raw.close()

    def entries(self) -> Iterator[_Entry]:
        for _ in range(ENTRIES_MAX):
            entry = self._entry()
            if entry.name == _TRAILER:
                return
            yield entry
        raise PackError(f"{self._name} has more than {ENTRIES_MAX} files")

    def _entry(self) -> _Entry:
        head = self._take(110)
        if head[:6] == _STRIPPED_CPIO:
            raise PackError(f"{self._name} has files over 4 GB, which cannot be in a layer")
        if head[:6] not in _CPIO:
            raise PackError(f"{self._name} has a damaged archive")
        try:
            fields = [int(head[at : at + 8], 16) for at in range(6, 110, 8)]
        except ValueError:
            raise PackError(f"{self._name} has a damaged archive") from None
        inode, mode, _, _, links, _, size, major, minor, _, _, length, _ = fields
        if not 0 < length <= NAME_MAX:
            raise PackError(f"{self._name} has a name of {length} bytes")
        name = self._take(length)[:-1].decode("utf-8", "surrogateescape")
        if "\0" in name:
            raise PackError(f"{self._name} has a name with a NUL")
        self._take(-self._at % 4)
        return _Entry(name, mode, size, (major, minor, inode), links)

    def copy(self, entry: _Entry, stream: BinaryIO) -> None:
        left = entry.size
        while left:
            data = self._take(min(left, PIECE))
            stream.write(data)
            left -= len(data)
        self._take(-self._at % 4)

    def text(self, entry: _Entry) -> str:
        if not 0 < entry.size <= NAME_MAX:
            raise PackError(f"{self._name} has a link of {entry.size} bytes")
        data = self._take(entry.size)
        self._take(-self._at % 4)
        if b"\0" in data:
            raise PackError(f"{self._name} has a link with a NUL")
        return data.decode("utf-8", "surrogateescape")

    def skip(self, entry: _Entry) -> None:
        left = entry.size
        while left:
            left -= len(self._take(min(left, PIECE)))
        self._take(-self._at % 4)

    def _take(self, count: int) -> bytes:
        while len(self._kept) < count:
            piece = next(self._pieces, b"")
            if not piece:
                raise PackError(f"{self._name} ends too early")
            self._kept += piece
        data = bytes(self._kept[:count])
        del self._kept[:count]
        self._at += count
        if self._at > UNPACKED_MAX:
            raise PackError(f"{self._name} unpacks to more than {UNPACKED_MAX} bytes")
        return data


def decompress_any(raw: io.RawIOBase | io.BufferedReader[Any], name: str) -> Generator[bytes, None, None]:
    """Pieces of a stream, which can be sought in, under gzip, zstd, xz, bzip2 or nothing. Raises PackError."""
    start = raw.tell()
    head = raw.read(8) or b""
    raw.seek(start)
    try:
        if head.startswith((_XZ, _LZMA)):
            yield from _through(lzma.LZMADecompressor(memlimit=XZ_MEMORY_MAX), raw)
        elif head.startswith(_BZIP):
            yield from _through(bz2.BZ2Decompressor(), raw)
        else:
            yield from decompressed(raw)
    except (ImageError, lzma.LZMAError, OSError, ValueError, EOFError) as error:
        raise PackError(f"{name} cannot be decompressed: {error}") from None


def _through(
    decompressor: lzma.LZMADecompressor | bz2.BZ2Decompressor, raw: io.RawIOBase | io.BufferedReader[Any]
) -> Iterator[bytes]:
    """At most `PIECE` bytes at a time, however much one byte stands for."""
    while not decompressor.eof:
        data = (raw.read(PIECE) or b"") if decompressor.needs_input else b""
        if not data and decompressor.needs_input:
            raise EOFError("it ends too early")
        yield decompressor.decompress(data, PIECE)
