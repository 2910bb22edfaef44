"""Whatever bytes come, packing ends, keeps lengths, and says what is wrong."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import tempfile
import zipfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.pack.elves import make_elf

from lambdad.pack.archive import checked_name, extract_zip
from lambdad.pack.aws import policy_principals
from lambdad.pack.elf import ElfError, parse_elf
from lambdad.pack.errors import PackError
from lambdad.pack.loadercache import LoaderCache, parse_cache
from lambdad.pack.lock import parse_lock
from lambdad.pack.manifest import parse_manifest
from lambdad.pack.recipe import parse_recipe
from lambdad.pack.releases import parse_releases
from lambdad.pack.relocate import Mapping, Ownership, rewrite_bytes

GOOD = make_elf(
    needed=["liba.so", "libc.so.6"],
    interpreter="/lib64/ld.so",
    versions={"libc.so.6": [("GLIBC_2.34", 0), ("GLIBC_2.2.5", 2)]},
    defines=["V_1", "V_2"],
    dlopen='[{"soname":["libz.so"]}]',
)


@given(
    st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=8)), max_size=12), st.integers()
)
@settings(max_examples=400, deadline=None)
def test_a_damaged_elf_file_is_read_or_refused(damage, cut):
    data = bytearray(GOOD)
    for at, piece in damage:
        data[at : at + len(piece)] = piece
    with contextlib.suppress(ElfError):
        parse_elf(io.BytesIO(bytes(data[: cut % (len(data) + 1)] if cut % 3 == 0 else data)))


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_random_bytes_after_the_magic_are_read_or_refused(data):
    with contextlib.suppress(ElfError):
        parse_elf(io.BytesIO(b"\x7fELF" + data))


PATHS = st.sampled_from(
    [b"/usr/bin/git", b"/etc/php/x", b"/usr/share", b"/usr", b"\0", b"git", b"/", b"\x48\xb8/etc/php"]
)


@given(st.lists(st.one_of(PATHS, st.binary(max_size=6)), max_size=30), st.booleans(), st.booleans())
@example([b"/usr/bin/git", b"/", b"/usr/bin/git"], False, False)
@example([b"/usr/bin/git", b"/usr/bin/git", b"~", b"/usr/bin/git"], False, False)
@settings(deadline=None)
def test_rewriting_keeps_the_length_and_happens_once(parts, bare, immediates):
    data = b"".join(parts)
    ownership = Ownership(["/usr/bin/git", "/etc/php"])
    first = rewrite_bytes(data, ownership, Mapping(), bare_prefix=bare, immediates=immediates)
    assert len(first.data) == len(data)
    changed = [at for at in range(len(data)) if first.data[at] != data[at]]
    assert all(data[max(0, at - 4) : at + 4].count(b"/") for at in changed)
    again = rewrite_bytes(first.data, ownership, Mapping(), bare_prefix=bare, immediates=immediates)
    assert again.data == first.data


@given(st.binary(max_size=600), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_any_loader_cache_is_read_or_ignored(data, count, extension):
    head = b"glibc-ld.so.cache1.1" + struct.pack("<IIIIIII", count, 0, 0, extension, 0, 0, 0)
    for text in (data, head + data, b"ld.so-1.7.0\0" + struct.pack("<I", count) + head + data):
        LoaderCache(parse_cache(text), "EM_X86_64", ()).path_of("libc.so.6")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["format", "packages", "files", "layers", "published", "Statement", "Principal", "name"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON)
@settings(deadline=None)
def test_any_json_is_a_document_or_an_error_of_ours(value):
    text = json.dumps(value)
    policy_principals(text)
    for parse in (parse_lock, parse_manifest, parse_releases):
        with contextlib.suppress(PackError):
            parse(text)


@given(st.text(max_size=200))
@settings(deadline=None)
def test_any_text_is_a_recipe_or_an_error_of_ours(text):
    with contextlib.suppress(PackError):
        parse_recipe(text)


@given(st.text(max_size=60))
def test_a_checked_name_never_leaves_the_layer(name):
    try:
        clean = checked_name(name)
    except PackError:
        return
    assert not clean.startswith("/")
    assert ".." not in clean.split("/")


NAMES = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c"]), min_size=1, max_size=4).map("/".join)
MODES = st.sampled_from([0, 0o100644, 0o100755, 0o120777, 0o040755, 0o020666, 0o104755])


@given(st.lists(st.tuples(NAMES, MODES, st.sampled_from([b"", b"x", b"/etc/passwd", b"../../..", b"a"])), max_size=8))
@settings(max_examples=200, deadline=None)
def test_no_zip_writes_outside_its_directory_or_through_a_link(entries):
    with tempfile.TemporaryDirectory() as directory:
        outside = Path(directory) / "outside"
        target = Path(directory) / "in" / "opt"
        outside.mkdir()
        target.mkdir(parents=True)
        path = Path(directory) / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            seen = set()
            for name, mode, data in entries:
                if name in seen:
                    continue
                seen.add(name)
                info = zipfile.ZipInfo(name or "e")
                info.create_system = 3
                info.external_attr = mode << 16
                archive.writestr(info, data)
        with contextlib.suppress(PackError):
            extract_zip(path, target)
        assert sorted(entry.name for entry in Path(directory).iterdir()) == ["in", "outside", "x.zip"]
        assert [entry.name for entry in target.parent.iterdir()] == ["opt"]
        assert list(outside.iterdir()) == []
        for entry in target.rglob("*"):
            assert entry.is_symlink() or entry.stat().st_mode & 0o6000 == 0
