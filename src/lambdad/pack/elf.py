"""One ELF file: what the dynamic loader reads of it, and nothing else.

Reads program headers and PT_DYNAMIC, never section headers, as ld.so does: a file without sections (`sstrip`) is as
good as any. The structures are pyelftools'; the walk is ours, because input may be hostile: every count, offset and
string has a limit, and whatever is wrong is one `ElfError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from elftools.common.exceptions import ELFError as ElftoolsError
from elftools.common.utils import struct_parse
from elftools.construct.core import ConstructError
from elftools.elf.structs import ELFStructs

MAGIC = b"\x7fELF"
HEADERS_MAX = 1_024
DYNAMIC_MAX = 8_192
VERSIONS_MAX = 8_192
STRINGS_MAX = 64 * 1024 * 1024
STRING_MAX = 4_096
NOTES_MAX = 256 * 1024

_DT_FLAGS_1 = "DT_FLAGS_1"
_DF_1_NODEFLIB = 0x800
_DF_1_PIE = 0x08000000
_VER_FLG_WEAK = 0x2
_NOTE_DLOPEN = 0x407C0C0A
"""`.note.dlopen`, owner `FDO`: the UAPI group's "ELF dlopen() metadata"."""


class ElfError(Exception):
    """The file is not an ELF file that a loader could use; the text says why, in ld.so's words where it has some."""


@dataclass(frozen=True, slots=True)
class VersionNeed:
    """A version (`GLIBC_2.34`) that the file wants of the library `library`; a `weak` one only warns."""

    library: str
    version: str
    weak: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """What ld.so sees of one file.

    rpath, runpath: colon-separated, unexpanded; ld.so ignores `rpath` where `runpath` is present.
    defines: versions that the file offers; None if it has no version definitions at all.
    dlopens: sonames named by its `.note.dlopen`.
    """

    bits: int
    little_endian: bool
    machine: str
    kind: str
    interpreter: str | None = None
    dynamic: bool = False
    needed: tuple[str, ...] = ()
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    no_default_path: bool = False
    pie: bool = False
    requires: tuple[VersionNeed, ...] = ()
    defines: frozenset[str] | None = None
    dlopens: tuple[str, ...] = ()

    @property
    def executable(self) -> bool:
        """A program, as opposed to a library: it names its interpreter, is not position independent, or says so."""
        return self.interpreter is not None or self.kind == "ET_EXEC" or self.pie


@dataclass(frozen=True, slots=True)
class _Load:
    address: int
    offset: int
    size: int


class _Reader:
    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = stream.seek(0, 2)
        stream.seek(0)
        ident = stream.read(16)
        if self.size < (52 if ident[4:5] == b"\x01" else 64):
            raise ElfError("file too short")
        if ident[:4] != MAGIC:
            raise ElfError("invalid ELF header")
        if ident[4] not in (1, 2):
            raise ElfError(f"unknown ELF class {ident[4]}")
        if ident[5] not in (1, 2):
            raise ElfError(f"unknown ELF byte order {ident[5]}")
        self.bits = 32 if ident[4] == 1 else 64
        self.little = ident[5] == 1
        self.structs: Any = ELFStructs(little_endian=self.little, elfclass=self.bits)
        self.structs.create_basic_structs()
        self.header: Any = self._first_header()
        self.loads: list[_Load] = []

    def _first_header(self) -> Any:
        self.structs.create_advanced_structs()
        header = self.parse("Elf_Ehdr", 0)
        self.structs.create_advanced_structs(header["e_type"], header["e_machine"], header["e_ident"]["EI_OSABI"])
        return header

    def parse(self, name: str, offset: int) -> Any:
        if not 0 <= offset < self.size:
            raise ElfError(f"{name} at {offset:#x} lies outside the file")
        return struct_parse(structure(self.structs, name), self.stream, stream_pos=offset)

    def offset_of(self, address: int) -> int:
        for load in self.loads:
            if load.address <= address < load.address + load.size:
                return address - load.address + load.offset
        raise ElfError(f"address {address:#x} is in no PT_LOAD segment")

    def bytes_at(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise ElfError(f"{size} bytes at {offset:#x} lie outside the file")
        self.stream.seek(offset)
        return self.stream.read(size)

    def program_headers(self) -> Iterator[Any]:
        count, entry = int(self.header["e_phnum"]), int(self.header["e_phentsize"])
        if count == 0:
            return
        if entry != self.structs.Elf_Phdr.sizeof():
            raise ElfError("ELF file's phentsize not the expected size")
        if count > HEADERS_MAX:
            raise ElfError(f"{count} program headers (limit {HEADERS_MAX})")
        for index in range(count):
            yield self.parse("Elf_Phdr", int(self.header["e_phoff"]) + index * entry)


def structure(structs: Any, name: str) -> Any:
    """One of pyelftools' structures by its name; they are attributes made at run time."""
    return vars(structs)[name]


@dataclass(slots=True)
class _Dynamic:
    needed: list[int]
    values: dict[str, int]


def read_elf(path: Path) -> Elf:
    """The ELF file at `path`. Raises ElfError, or OSError if it cannot be read."""
    with path.open("rb") as stream:
        return parse_elf(stream)


def parse_elf(stream: BinaryIO) -> Elf:
    """The ELF file in `stream`, which must be seekable. Raises ElfError for anything malformed."""
    try:
        return _parse(_Reader(stream))
    except (ElftoolsError, ConstructError, OverflowError, ValueError, KeyError) as error:
        raise ElfError(f"malformed ELF file: {error}") from error


def _parse(reader: _Reader) -> Elf:
    interpreter: str | None = None
    dynamic_at: tuple[int, int] | None = None
    notes: list[tuple[int, int]] = []
    for segment in reader.program_headers():
        offset, size = int(segment["p_offset"]), int(segment["p_filesz"])
        match segment["p_type"]:
            case "PT_LOAD":
                reader.loads.append(_Load(int(segment["p_vaddr"]), offset, size))
            case "PT_INTERP":
                if size > STRING_MAX:
                    raise ElfError(f"interpreter name of {size} bytes")
                interpreter = _text(reader.bytes_at(offset, size).split(b"\0", 1)[0])
            case "PT_DYNAMIC":
                dynamic_at = (offset, size)
            case "PT_NOTE" if size <= NOTES_MAX:
                notes.append((offset, size))
            case _:
                pass
    common: dict[str, Any] = {
        "bits": reader.bits,
        "little_endian": reader.little,
        "machine": str(reader.header["e_machine"]),
        "kind": str(reader.header["e_type"]),
        "interpreter": interpreter,
        "dlopens": tuple(_dlopens(reader, notes)),
    }
    if dynamic_at is None:
        return Elf(**common)
    dynamic = _read_dynamic(reader, *dynamic_at)
    strings = _string_table(reader, dynamic.values)
    values = dynamic.values
    flags = values.get(_DT_FLAGS_1, 0)
    return Elf(
        **common,
        dynamic=True,
        needed=tuple(strings(offset) for offset in dynamic.needed),
        soname=strings(values["DT_SONAME"]) if "DT_SONAME" in values else None,
        rpath=strings(values["DT_RPATH"]) if "DT_RPATH" in values else None,
        runpath=strings(values["DT_RUNPATH"]) if "DT_RUNPATH" in values else None,
        no_default_path=bool(flags & _DF_1_NODEFLIB),
        pie=bool(flags & _DF_1_PIE),
        requires=tuple(_requires(reader, values, strings)),
        defines=_defines(reader, values, strings),
    )


def _read_dynamic(reader: _Reader, offset: int, size: int) -> _Dynamic:
    entry = reader.structs.Elf_Dyn.sizeof()
    if size // entry > DYNAMIC_MAX:
        raise ElfError(f"dynamic section of {size // entry} entries (limit {DYNAMIC_MAX})")
    found = _Dynamic([], {})
    for index in range(size // entry):
        tag = reader.parse("Elf_Dyn", offset + index * entry)
        name, value = str(tag["d_tag"]), int(tag["d_val"])
        if name == "DT_NULL":
            break
        if name == "DT_NEEDED":
            found.needed.append(value)
        else:
            found.values[name] = value
    return found


class _Strings:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def __call__(self, offset: int) -> str:
        if not 0 <= offset < len(self._data):
            raise ElfError(f"string at {offset:#x} lies outside the string table")
        end = self._data.find(b"\0", offset, offset + STRING_MAX)
        if end < 0:
            raise ElfError(f"string at {offset:#x} does not end")
        return _text(self._data[offset:end])


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _string_table(reader: _Reader, values: dict[str, int]) -> _Strings:
    if "DT_STRTAB" not in values:
        return _Strings(b"")
    size = values.get("DT_STRSZ", 0)
    if size > STRINGS_MAX:
        raise ElfError(f"string table of {size} bytes (limit {STRINGS_MAX})")
    return _Strings(reader.bytes_at(reader.offset_of(values["DT_STRTAB"]), size))


def _requires(reader: _Reader, values: dict[str, int], strings: _Strings) -> Iterator[VersionNeed]:
    if "DT_VERNEED" not in values:
        return
    left = VERSIONS_MAX
    offset = reader.offset_of(values["DT_VERNEED"])
    for _ in range(min(values.get("DT_VERNEEDNUM", 0), VERSIONS_MAX)):
        need = reader.parse("Elf_Verneed", offset)
        library = strings(int(need["vn_file"]))
        at = offset + int(need["vn_aux"])
        for _ in range(int(need["vn_cnt"])):
            if (left := left - 1) < 0:
                raise ElfError(f"more than {VERSIONS_MAX} version requirements")
            aux = reader.parse("Elf_Vernaux", at)
            weak = bool(int(aux["vna_flags"]) & _VER_FLG_WEAK)
            yield VersionNeed(library, strings(int(aux["vna_name"])), weak)
            if int(aux["vna_next"]) == 0:
                break
            at += int(aux["vna_next"])
        if int(need["vn_next"]) == 0:
            break
        offset += int(need["vn_next"])


def _defines(reader: _Reader, values: dict[str, int], strings: _Strings) -> frozenset[str] | None:
    if "DT_VERDEF" not in values:
        return None
    found: set[str] = set()
    offset = reader.offset_of(values["DT_VERDEF"])
    for _ in range(min(values.get("DT_VERDEFNUM", 0), VERSIONS_MAX)):
        definition = reader.parse("Elf_Verdef", offset)
        aux = reader.parse("Elf_Verdaux", offset + int(definition["vd_aux"]))
        found.add(strings(int(aux["vda_name"])))
        if int(definition["vd_next"]) == 0:
            break
        offset += int(definition["vd_next"])
    return frozenset(found)


def _dlopens(reader: _Reader, notes: list[tuple[int, int]]) -> Iterator[str]:
    for offset, size in notes:
        data = reader.bytes_at(offset, size)
        at = 0
        while at + 12 <= len(data):
            name_size, value_size, kind = (
                int.from_bytes(data[at + 4 * i : at + 4 * i + 4], "little" if reader.little else "big")
                for i in range(3)
            )
            value_at = at + 12 + (name_size + 3) // 4 * 4
            value = data[value_at : value_at + value_size]
            if kind == _NOTE_DLOPEN and data[at + 12 : at + 16] == b"FDO\0":
                yield from _dlopen_sonames(value)
            at = value_at + (value_size + 3) // 4 * 4


def _dlopen_sonames(value: bytes) -> Iterator[str]:
    try:
        entries = json.loads(value.rstrip(b"\0"))
    except (ValueError, RecursionError):
        return
    for entry in entries if isinstance(entries, list) else ():
        names = entry.get("soname") if isinstance(entry, dict) else None
        for name in names if isinstance(names, list) else ():
            if isinstance(name, str):
                yield name


_SONAME = re.compile(rb"(?<=\0)(lib[\w.+-]{1,100}\.so(?:\.[\w.]{1,40})?)(?=\0)")


def mentioned_sonames(data: bytes) -> frozenset[str]:
    """Strings of the file that look like sonames: what it may `dlopen`."""
    return frozenset(match.group(1).decode("ascii") for match in _SONAME.finditer(data))
