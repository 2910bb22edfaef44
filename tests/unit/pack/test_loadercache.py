"""ld.so.cache: the host's own, and one made of bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from lambdad.pack.loadercache import CachedLibrary, LoaderCache, parse_cache


def make_cache(entries: list[tuple[str, str, int, int]], hwcaps: list[str] = ()) -> bytes:
    """entries: soname, path, flags, hwcap."""
    strings, records = bytearray(), []
    start = 48 + 24 * len(entries)

    def string(text: str) -> int:
        at = start + len(strings)
        strings.extend(text.encode() + b"\0")
        return at

    for soname, path, flags, hwcap in entries:
        records.append(struct.pack("=iIIIQ", flags, string(soname), string(path), 0, hwcap))
    names = [string(name) for name in hwcaps]
    while (start + len(strings)) % 4:
        strings.append(0)
    extension = start + len(strings) if hwcaps else 0
    tail = b""
    if hwcaps:
        tail = struct.pack("=IIIIII", 0xEAA42174, 1, 1, 0, extension + 24, 4 * len(names))
        tail += struct.pack(f"={len(names)}I", *names)
    head = b"glibc-ld.so.cache1.1" + struct.pack("=IIB3xI12x", len(entries), len(strings), 2, extension)
    return head + b"".join(records) + bytes(strings) + tail


def test_a_library_is_found_for_its_machine_only():
    libraries = parse_cache(make_cache([("liba.so", "/x/liba.so", 0x303, 0), ("libb.so", "/y/libb.so", 0x0003, 0)]))
    assert libraries[0] == CachedLibrary("liba.so", "/x/liba.so", 0x303, None)
    cache = LoaderCache(libraries, "EM_X86_64", ())
    assert (cache.path_of("liba.so"), cache.path_of("libb.so")) == ("/x/liba.so", None)
    assert LoaderCache(libraries, "EM_386", ()).path_of("libb.so") == "/y/libb.so"


def test_the_best_build_that_the_processor_runs_is_taken():
    entries = [("liba.so", "/plain", 0x303, 0), ("liba.so", "/v3", 0x303, (1 << 62) | 0)]
    libraries = parse_cache(make_cache(entries, ["x86-64-v3"]))
    assert LoaderCache(libraries, "EM_X86_64", ()).path_of("liba.so") == "/plain"
    assert LoaderCache(libraries, "EM_X86_64", ("x86-64-v4", "x86-64-v3")).path_of("liba.so") == "/v3"


def test_a_cache_behind_one_of_the_old_format_is_found():
    new = make_cache([("liba.so", "/x", 0x303, 0)])
    old = b"ld.so-1.7.0\0" + struct.pack("=I", 1) + b"\0" * 12
    data = old + b"\0" * (-len(old) % 8) + new
    assert [one.path for one in parse_cache(data)] == ["/x"]


@pytest.mark.parametrize("data", [b"", b"glibc-ld.so.cache1.1", make_cache([("a", "/a", 3, 0)])[:60]])
def test_a_broken_cache_is_ignored(data):
    assert parse_cache(data) == ()


def test_the_cache_of_this_machine_names_files_that_exist():
    path = Path("/etc/ld.so.cache")
    if not path.exists():
        pytest.skip("this machine has no /etc/ld.so.cache")
    libraries = parse_cache(path.read_bytes())
    assert any(one.soname == "libc.so.6" for one in libraries)
    assert sum(Path(one.path).exists() for one in libraries) > len(libraries) * 0.9
