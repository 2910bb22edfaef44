"""Small ELF files made of bytes: what a compiler would write, and what it never would."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

DT_FLAGS_1 = 0x6FFFFFFB
_TAGS = {"soname": 14, "rpath": 15, "runpath": 29}


def make_elf(
    *,
    needed: Sequence[str] = (),
    soname: str | None = None,
    rpath: str | None = None,
    runpath: str | None = None,
    interpreter: str | None = None,
    machine: int = 62,
    kind: int = 3,
    dynamic: bool = True,
    versions: Mapping[str, Sequence[tuple[str, int]]] | None = None,
    defines: Sequence[str] = (),
    tags: Sequence[tuple[int, int]] = (),
    dlopen: str | None = None,
    loop_versions: bool = False,
) -> bytes:
    """A 64-bit little-endian file; virtual addresses equal file offsets. versions: (name, flags) by library."""
    strings = bytearray(b"\0")

    def string(text: str) -> int:
        at = len(strings)
        strings.extend(text.encode() + b"\0")
        return at

    entries = [(1, string(name)) for name in needed]
    for name, value in (("soname", soname), ("rpath", rpath), ("runpath", runpath)):
        if value is not None:
            entries.append((_TAGS[name], string(value)))
    verneed = _verneed(versions or {}, string, loop_versions)
    verdef = _verdef(defines, string)
    entries += list(tags)

    body = bytearray(b"\0" * (64 + 56 * 4))

    def put(data: bytes) -> int:
        while len(body) % 8:
            body.append(0)
        at = len(body)
        body.extend(data)
        return at

    segments = []
    if interpreter is not None:
        data = interpreter.encode() + b"\0"
        segments.append((3, put(data), len(data)))
    if dlopen is not None:
        text = dlopen.encode() + b"\0"
        note = struct.pack("<III", 4, len(text), 0x407C0C0A) + b"FDO\0" + text + b"\0" * (-len(text) % 4)
        segments.append((4, put(note), len(note)))
    if dynamic:
        table = put(bytes(strings))
        entries += [(5, table), (10, len(strings))]
        if versions:
            entries += [(0x6FFFFFFE, put(verneed)), (0x6FFFFFFF, len(versions))]
        if defines:
            entries += [(0x6FFFFFFC, put(verdef)), (0x6FFFFFFD, len(defines))]
        data = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (0, 0)])
        segments.append((2, put(data), len(data)))
    segments.insert(0, (1, 0, len(body)))
    body[:64] = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01" + b"\0" * 9,
        kind, machine, 1, 0, 64, 0, 0, 64, 56, len(segments), 64, 0, 0,
    )  # fmt: skip
    for index, (segment, offset, size) in enumerate(segments):
        struct.pack_into("<IIQQQQQQ", body, 64 + 56 * index, segment, 4, offset, offset, offset, size, size, 8)
    return bytes(body)


def _verneed(versions, string, loop: bool) -> bytes:
    out = bytearray()
    for index, (library, wanted) in enumerate(versions.items()):
        following = 0 if index + 1 == len(versions) else 16 + 16 * len(wanted)
        count = 65535 if loop else len(wanted)
        out += struct.pack("<HHIII", 1, count, string(library), 16, following)
        for number, (version, flags) in enumerate(wanted):
            last = number + 1 == len(wanted)
            # the record after this one: none, or (for the loop) 2**32 - 0 would be itself; 0 < n keeps it inside
            step = 0 if last else 16
            out += struct.pack("<IHHII", 0, flags, 2 + number, string(version), step)
        if loop:
            # a chain of records, every one inside the file, longer than any limit: next = 16 over copies of the last
            last = out[-16:-4] + struct.pack("<I", 16)
            out = out[:-16] + last * 9000
    return bytes(out)


def _verdef(defines, string) -> bytes:
    out = bytearray()
    for index, version in enumerate(defines):
        following = 0 if index + 1 == len(defines) else 28
        out += struct.pack("<HHHHIII", 1, 0, index + 1, 1, 0, 20, following)
        out += struct.pack("<II", string(version), 0)
    return bytes(out)
