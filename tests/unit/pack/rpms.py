"""Rpm packages and repositories made of bytes: what rpmbuild and createrepo_c write, and what they never would."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import stat
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import zstandard

COMPRESSORS = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "xz": lzma.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "bzip2": bz2.compress,
    "none": lambda data: data,
}
File = tuple[int, bytes]
"""Mode with its kind, and content (a link's target)."""


def regular(content: str = "", mode: int = 0o644) -> File:
    return stat.S_IFREG | mode, content.encode()


def link(target: str) -> File:
    return stat.S_IFLNK | 0o777, target.encode()


def make_cpio(members: Sequence[tuple[str, int, bytes, int, int]]) -> bytes:
    """members: name, mode, data, inode, number of links."""
    out = bytearray()
    for name, mode, data, inode, links in [*members, ("TRAILER!!!", 0, b"", 0, 1)]:
        encoded = name.encode("utf-8", "surrogateescape") + b"\0"
        fields = (inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)


def make_header(tags: Mapping[int, tuple[int, bytes, int]]) -> bytes:
    """tags: type, bytes in the store, count."""
    index, store = bytearray(), bytearray()
    for tag, (kind, data, count) in sorted(tags.items()):
        alignment = {3: 2, 4: 4, 5: 8}.get(kind, 1)
        store += bytes(-len(store) % alignment)
        index += struct.pack(">IIII", tag, kind, len(store), count)
        store += data
    return b"\x8e\xad\xe8\x01\0\0\0\0" + struct.pack(">II", len(tags), len(store)) + bytes(index) + bytes(store)


def text(value: str) -> tuple[int, bytes, int]:
    return 6, value.encode() + b"\0", 1


def make_rpm(
    name: str,
    files: Mapping[str, File],
    *,
    compressor: str = "gzip",
    ghosts: Sequence[str] = (),
    script: str = "",
    interpreter: str = "",
    cpio: bytes | None = None,
    digest: str | None = None,
) -> bytes:
    """A package. digest: of the archive, the right one unless given."""
    members = [(f".{path}", mode, data, number, 1) for number, (path, (mode, data)) in enumerate(files.items(), 1)]
    payload = COMPRESSORS[compressor](make_cpio(members) if cpio is None else cpio)
    tags = {1000: text(name)}
    named = hashlib.sha256(payload).hexdigest() if digest is None else digest
    if named:
        tags |= {5092: (8, named.encode() + b"\0", 1), 5093: (4, struct.pack(">I", 8), 1)}
    if script:
        tags[1024] = text(script)
    if interpreter:
        tags[1086] = (8, interpreter.encode() + b"\0", 1)
    if ghosts:
        bases = b"".join(path.rpartition("/")[2].encode() + b"\0" for path in ghosts)
        directories = b"".join(path.rpartition("/")[0].encode() + b"/\0" for path in ghosts)
        tags[1117] = (8, bases, len(ghosts))
        tags[1118] = (8, directories, len(ghosts))
        tags[1116] = (4, b"".join(struct.pack(">I", number) for number in range(len(ghosts))), len(ghosts))
        tags[1037] = (4, struct.pack(">I", 1 << 6) * len(ghosts), len(ghosts))
    signature = make_header({1000: (4, struct.pack(">I", 7), 1)})
    lead = b"\xed\xab\xee\xdb" + bytes(92)
    return lead + signature + bytes(-len(signature) % 8) + make_header(tags) + payload


def package_xml(
    name: str,
    data: bytes,
    *,
    version: str = "1",
    release: str = "1",
    arch: str = "x86_64",
    provides: Sequence[str] = (),
    requires: Sequence[str] = (),
    files: Sequence[str] = (),
    checksum: str | None = None,
) -> str:
    """A package's entry in primary.xml; its file is NAME.rpm. A wish is `name` or `name EQ 1-2`."""

    def entry(wish: str) -> str:
        word, _, rest = wish.partition(" EQ ")
        version, _, release = rest.partition("-")
        ranged = f' flags="EQ" epoch="0" ver={quoteattr(version)} rel={quoteattr(release)}' if rest else ""
        return f"<rpm:entry name={quoteattr(word)}{ranged}/>"

    own = f'<rpm:entry name={quoteattr(name)} flags="EQ" epoch="0" ver="{version}" rel="{release}"/>'
    return (
        f'<package type="rpm"><name>{escape(name)}</name><arch>{arch}</arch>'
        f'<version epoch="0" ver="{version}" rel="{release}"/>'
        f'<checksum type="sha256" pkgid="YES">{checksum or hashlib.sha256(data).hexdigest()}</checksum>'
        f'<size package="{len(data)}"/><location href="{escape(name)}-{version}.rpm"/><format>'
        f"<rpm:provides>{own}{''.join(map(entry, provides))}</rpm:provides>"
        f"<rpm:requires>{''.join(map(entry, requires))}</rpm:requires>"
        f"{''.join(f'<file>{escape(path)}</file>' for path in files)}</format></package>"
    )


def primary_xml(*packages: str) -> bytes:
    return (
        '<?xml version="1.0"?><metadata xmlns="http://linux.duke.edu/metadata/common" '
        f'xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="{len(packages)}">{"".join(packages)}</metadata>'
    ).encode()


def write_repository(
    directory: Path, packages: Mapping[str, bytes], *entries: str, filelists: str = "", compressor: str = "gzip"
) -> Path:
    """packages: by file name (`NAME-VERSION.rpm`)."""
    data = directory / "repodata"
    data.mkdir(parents=True)
    for name, content in packages.items():
        (directory / name).write_bytes(content)
    lists = {"primary": primary_xml(*entries), "filelists": f"<filelists>{filelists}</filelists>".encode()}
    parts = []
    for kind, content in lists.items():
        packed = COMPRESSORS[compressor](content)
        (data / f"{kind}.xml.z").write_bytes(packed)
        parts.append(
            f'<data type="{kind}"><checksum type="sha256">{hashlib.sha256(packed).hexdigest()}</checksum>'
            f'<location href="repodata/{kind}.xml.z"/></data>'
        )
    (data / "repomd.xml").write_text(f"<repomd>{''.join(parts)}</repomd>")
    return directory
