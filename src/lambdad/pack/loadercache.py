"""`/etc/ld.so.cache`: which path ld.so has for a soname.

Reads the format that glibc has written since 2.2 (`glibc-ld.so.cache1.1`), alone or after the older one, with the
hardware capability names that 2.33 added. Source: glibc `sysdeps/generic/dl-cache.h`. It never writes one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_OLD_MAGIC = b"ld.so-1.7.0\0"
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = 48
_ENTRY = struct.Struct("=iIIIQ")
_EXTENSION_MAGIC = 0xEAA42174
_HWCAPS_TAG = 1
_HWCAP_EXTENSION = 1 << 62
_TYPE_MASK = 0xFF
_FLAGS_REQUIRED = 0xFF00
_LIBC6 = 3
ENTRIES_MAX = 200_000

REQUIRED_FLAGS: Mapping[str, int] = {"EM_X86_64": 0x0300, "EM_AARCH64": 0x0A00, "EM_386": 0x0000}


@dataclass(frozen=True, slots=True)
class CachedLibrary:
    """One line of `ldconfig -p`. hwcap: `x86-64-v3` for a build under `glibc-hwcaps`, else None."""

    soname: str
    path: str
    flags: int
    hwcap: str | None


def parse_cache(data: bytes) -> tuple[CachedLibrary, ...]:
    """The libraries of a cache file, in its order; empty for one that glibc would ignore too."""
    start = _start(data)
    if start is None or len(data) < start + _HEADER:
        return ()
    (count,) = struct.unpack_from("=I", data, start + 20)
    (extension,) = struct.unpack_from("=I", data, start + 32)
    if count > ENTRIES_MAX or start + _HEADER + count * _ENTRY.size > len(data):
        return ()
    hwcaps = _hwcap_names(data, start, extension)
    found = []
    for index in range(count):
        flags, key, value, _, hwcap = _ENTRY.unpack_from(data, start + _HEADER + index * _ENTRY.size)
        name: str | None = None
        if hwcap & _HWCAP_EXTENSION:
            position = hwcap & 0xFFFFFFFF
            name = hwcaps[position] if position < len(hwcaps) else "?"
        elif hwcap:
            name = "?"
        soname, path = _string(data, start + key), _string(data, start + value)
        if soname and path:
            found.append(CachedLibrary(soname, path, flags, name))
    return tuple(found)


class LoaderCache:
    """Look-ups in a cache for one machine and the hardware capabilities of one processor."""

    def __init__(self, libraries: Iterable[CachedLibrary], machine: str, hwcaps: tuple[str, ...]) -> None:
        required = REQUIRED_FLAGS.get(machine, -1)
        order = {name: rank for rank, name in enumerate(hwcaps)}
        best: dict[str, tuple[int, str]] = {}
        for library in libraries:
            if library.flags & _TYPE_MASK != _LIBC6 or library.flags & _FLAGS_REQUIRED != required:
                continue
            if library.hwcap is not None and library.hwcap not in order:
                continue
            rank = len(order) if library.hwcap is None else order[library.hwcap]
            if library.soname not in best or rank < best[library.soname][0]:
                best[library.soname] = (rank, library.path)
        self._best = best

    def path_of(self, soname: str) -> str | None:
        found = self._best.get(soname)
        return found[1] if found else None


def _start(data: bytes) -> int | None:
    if data.startswith(_MAGIC):
        return 0
    if data.startswith(_OLD_MAGIC) and len(data) >= 16:
        count = int(struct.unpack_from("=I", data, 12)[0])
        start = (16 + count * 12 + 7) // 8 * 8
        if data[start : start + len(_MAGIC)] == _MAGIC:
            return start
    return None


def _hwcap_names(data: bytes, start: int, extension: int) -> list[str]:
    if extension == 0 or start + extension + 8 > len(data):
        return []
    magic, count = struct.unpack_from("=II", data, start + extension)
    if magic != _EXTENSION_MAGIC:
        return []
    for index in range(min(count, 64)):
        at = start + extension + 8 + index * 16
        if at + 16 > len(data):
            break
        tag, _, offset, size = struct.unpack_from("=IIII", data, at)
        if tag == _HWCAPS_TAG and start + offset + size <= len(data):
            names = struct.unpack_from(f"={size // 4}I", data, start + offset)
            return [_string(data, start + name) for name in names]
    return []


def _string(data: bytes, offset: int) -> str:
    end = data.find(b"\0", offset, offset + 4096)
    return data[offset:end].decode("utf-8", "surrogateescape") if 0 <= offset < end else ""
