"""ELF files, read as ld.so reads them, and hostile ones refused."""

from __future__ import annotations

import io
import struct

import pytest
from tests.unit.pack.elves import DT_FLAGS_1, make_elf

from lambdad.pack.elf import DYNAMIC_MAX, ElfError, mentioned_sonames, parse_elf


def read(data: bytes):
    return parse_elf(io.BytesIO(data))


def test_needed_soname_and_search_paths_are_read_without_section_headers():
    elf = read(make_elf(needed=["liba.so.1", "libc.so.6"], soname="libme.so.2", rpath="/opt/lib:$ORIGIN", runpath="/x"))
    assert elf.needed == ("liba.so.1", "libc.so.6")
    assert (elf.soname, elf.rpath, elf.runpath) == ("libme.so.2", "/opt/lib:$ORIGIN", "/x")
    assert (elf.machine, elf.kind, elf.bits, elf.dynamic) == ("EM_X86_64", "ET_DYN", 64, True)


def test_a_program_names_its_interpreter_and_a_library_does_not():
    assert read(make_elf(interpreter="/lib64/ld-linux-x86-64.so.2")).executable
    assert not read(make_elf(soname="liba.so")).executable


def test_a_static_pie_without_interpreter_says_that_it_is_a_program():
    assert read(make_elf(tags=[(DT_FLAGS_1, 0x08000000)])).executable


def test_a_file_of_another_machine_is_read_too():
    assert read(make_elf(machine=183)).machine == "EM_AARCH64"


def test_required_versions_name_the_library_and_say_which_are_weak():
    elf = read(make_elf(needed=["libc.so.6"], versions={"libc.so.6": [("GLIBC_2.34", 0), ("GLIBC_2.99", 2)]}))
    assert [(need.library, need.version, need.weak) for need in elf.requires] == [
        ("libc.so.6", "GLIBC_2.34", False),
        ("libc.so.6", "GLIBC_2.99", True),
    ]


def test_a_file_without_dynamic_section_needs_nothing():
    elf = read(make_elf(dynamic=False))
    assert not elf.dynamic and elf.needed == ()


def test_dlopen_notes_name_sonames():
    assert read(make_elf(dlopen='[{"soname":["libz.so.1","libz.so"],"priority":"required"}]')).dlopens == (
        "libz.so.1",
        "libz.so",
    )


@pytest.mark.parametrize("note", ["[", '[{"soname":3}]', "{}", "[" * 5000, '[{"soname":[1, null]}]'])
def test_a_broken_dlopen_note_is_ignored(note):
    assert read(make_elf(dlopen=note)).dlopens == ()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "too short"),
        (b"\x7fELF", "too short"),
        (b"git", "too short"),
        (b"#!/bin/sh\n" + b"x" * 100, "invalid ELF header"),
        (b"\x7fELF\x09" + b"\0" * 100, "class"),
    ],
)
def test_what_is_not_elf_is_refused_in_the_loaders_words(data, words):
    with pytest.raises(ElfError, match=words):
        read(data)


def test_every_truncation_of_a_file_is_read_or_refused_but_never_crashes():
    data = make_elf(needed=["liba.so"], versions={"liba.so": [("V1", 0)]}, interpreter="/lib/ld.so", dlopen="[]")
    for length in range(len(data)):
        try:
            read(data[:length])
        except ElfError:
            continue


def test_a_string_outside_the_table_is_refused():
    with pytest.raises(ElfError, match="outside the string table"):
        read(make_elf(tags=[(1, 10_000_000)]))


def test_a_huge_dynamic_section_is_refused_before_it_is_read():
    data = bytearray(make_elf(needed=["a"]))
    phoff = struct.unpack_from("<Q", data, 32)[0]
    for index in range(struct.unpack_from("<H", data, 56)[0]):
        at = phoff + 56 * index
        if struct.unpack_from("<I", data, at)[0] == 2:
            struct.pack_into("<Q", data, at + 32, (DYNAMIC_MAX + 1) * 16)
    with pytest.raises(ElfError, match="limit"):
        read(bytes(data))


def test_a_loop_of_version_records_ends():
    data = make_elf(needed=["l"], versions={"l": [("V", 0)]}, loop_versions=True)
    with pytest.raises(ElfError, match="version requirements"):
        read(data)


def test_strings_that_look_like_sonames_are_found():
    data = b"\0libgcc_s.so.1\0/usr/lib/libx.so\0libfoo.so\0notalib.so\0"
    assert mentioned_sonames(data) == {"libgcc_s.so.1", "libfoo.so"}
