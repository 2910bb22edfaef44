"""The zip format, read without trust."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from lambdad.layers.zipfile_format import BadZip, extra_fields, read_directory, read_entry


def zipped(*entries: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def contents(data: bytes, limit: int = 100) -> dict[str, bytes]:
    source = io.BytesIO(data)
    entries = read_directory(source, limit)
    return {entry.raw_name.decode(): b"".join(read_entry(source, entry)) for entry in entries}


def refuses(data: bytes, text: str, limit: int = 100) -> None:
    with pytest.raises(BadZip, match=text):
        contents(data, limit)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_entries_are_read_with_their_content(method: int) -> None:
    files = {"a": b"", "b": b"x" * 1_000_000, "c/d": bytes(range(256)) * 100}
    assert contents(zipped(*files.items(), method=method)) == files


def test_a_streamed_zip_with_data_descriptors_is_read() -> None:
    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            piece = bytes(data)  # type: ignore[call-overload]
            self.data += piece
            return len(piece)

    stream = Stream()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"content")
    assert contents(stream.data) == {"a": b"content"}


def test_a_zip_behind_a_script_and_before_a_comment_is_read() -> None:
    buffer = io.BytesIO(zipped(("a", b"x")))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"a comment"
    assert contents(b"#!/usr/bin/env python3\n" + buffer.getvalue()) == {"a": b"x"}


def test_a_zip64_archive_is_read() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a", "w", force_zip64=True) as file:
        file.write(b"content")
    assert contents(buffer.getvalue()) == {"a": b"content"}
    wide = widen(zipped(("a", b"content"), method=zipfile.ZIP_STORED))
    assert contents(wide) == {"a": b"content"}
    assert contents(b"prefix" + wide) == {"a": b"content"}


def widen(data: bytes) -> bytes:
    """The archive with every number of its end and its one central entry in the zip64 places."""
    end = data.rindex(b"PK\x05\x06")
    central = data.rindex(b"PK\x01\x02")
    head, name = bytearray(data[central : central + 46]), data[central + 46 : central + 47]
    packed, size = struct.unpack_from("<2L", head, 20)
    (offset,) = struct.unpack_from("<L", head, 42)
    extra = struct.pack("<2H3Q", 1, 24, size, packed, offset)
    struct.pack_into("<2L", head, 20, 0xFFFFFFFF, 0xFFFFFFFF)
    struct.pack_into("<H", head, 30, len(extra))
    struct.pack_into("<L", head, 42, 0xFFFFFFFF)
    directory = bytes(head) + name + extra
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, len(directory), central)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, central + len(directory), 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert end > central
    return data[:central] + directory + end64 + locator + last


def test_the_number_of_entries_is_limited_before_they_are_read() -> None:
    refuses(zipped(*((str(number), b"") for number in range(5))), "more than 4", limit=4)


def test_entries_that_share_bytes_are_refused() -> None:
    """The shape of every non-recursive bomb: many central entries, one kernel of data."""
    data = zipped(("aaaa", b"x" * 10_000), ("bbbb", b"y"))
    second = data.rindex(b"PK\x01\x02")
    first = data.index(b"PK\x01\x02")
    overlapping = bytearray(data)
    overlapping[second : second + 46] = data[first : first + 46]
    refuses(bytes(overlapping), "overlap")


def test_an_entry_that_lies_about_its_size_is_refused() -> None:
    data = zipped(("a", b"x" * 1000))
    central = data.rindex(b"PK\x01\x02")
    for size, text in ((999, "longer than it says"), (1001, "shorter than it says")):
        lying = bytearray(data)
        struct.pack_into("<L", lying, central + 24, size)
        refuses(bytes(lying), text)


def test_a_wrong_checksum_is_refused() -> None:
    data = bytearray(zipped(("a", b"x" * 1000)))
    struct.pack_into("<L", data, data.rindex(b"PK\x01\x02") + 16, 1)
    refuses(bytes(data), "checksum")


@pytest.mark.parametrize("flag", [0x0001, 0x0040, 0x2000])
def test_encrypted_entries_are_refused_by_name(flag: int) -> None:
    data = bytearray(zipped(("secret", b"x")))
    struct.pack_into("<H", data, data.rindex(b"PK\x01\x02") + 8, flag)
    refuses(bytes(data), "'secret' is encrypted")


@pytest.mark.parametrize(("method", "name"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma")])
def test_unusual_compression_is_refused_by_name(method: int, name: str) -> None:
    refuses(zipped(("a", b"x"), method=method), f"compressed with {name}; use deflate")


def test_a_local_header_that_contradicts_the_directory_is_refused() -> None:
    data = zipped(("aaaa", b"x"))
    renamed = data.replace(b"aaaa", b"bbbb", 1)
    refuses(renamed, "name does not match")
    stored = bytearray(data)
    struct.pack_into("<H", stored, 8, 0)
    refuses(bytes(stored), "header does not match")


def test_parts_of_a_split_zip_are_refused() -> None:
    data = bytearray(zipped(("a", b"x")))
    struct.pack_into("<H", data, data.rindex(b"PK\x05\x06") + 4, 1)
    refuses(bytes(data), "split zip")


def test_a_torn_extra_field_ends_the_list() -> None:
    assert list(extra_fields(b"\x01\x00\x02\x00ab\x02\x00\x05\x00x")) == [(1, b"ab"), (2, b"x")]
    assert list(extra_fields(b"\x01\x00")) == []
