"""What is in a built layer and why: the file beside the zip, `NAME.manifest.json`.

Pure: values, JSON, and the digest that names content. The content digest depends on paths, kinds, modes and bytes,
and not on how a compressor packed them.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lambdad.pack.errors import PackError

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One path under /opt. kind: file, link or directory; digest: SHA-256 of a file, target of a link.

    package: what brought it (`apt:git`, `pip:requests`, `file`); origin: where it stood before it was moved.
    """

    path: str
    kind: str
    mode: int
    size: int
    digest: str
    package: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageEntry:
    """A package in the layer. size: bytes of its files in the layer; wanted_by: chain of names from the recipe."""

    name: str
    version: str
    size: int
    wanted_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A layer. base: digest of the base that it was built against; glibc: the oldest that has all it needs."""

    name: str
    arch: str
    base: str
    base_name: str
    glibc: str
    content_digest: str
    files: tuple[FileEntry, ...]
    packages: tuple[PackageEntry, ...] = ()
    description: str = ""
    licence: str = ""
    runtimes: tuple[str, ...] = ()
    tests: tuple[tuple[str, str], ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes unzipped, a link counted as the length of its target."""
        return sum(entry.size for entry in self.files)


def content_digest(entries: Iterable[FileEntry]) -> str:
    """SHA-256 over sorted path, kind, mode and content; directories count only by existing."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.path):
        line = f"{entry.path}\0{entry.kind}\0{entry.mode:o}\0{entry.digest}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def normal_mode(mode: int) -> int:
    """0755 or 0644: what AWS needs to be readable by everybody, and the same on every machine."""
    return 0o755 if mode & 0o111 else 0o644


def scan_tree(tree: Path, known: Mapping[str, tuple[str, str]] | None = None) -> tuple[FileEntry, ...]:
    """Every path under `tree`, sorted. known: package and origin by path under /opt."""
    facts = known or {}
    found = []
    for here, directories, files in os.walk(tree):
        directories.sort()
        for name in sorted((*directories, *files)):
            host = Path(here) / name
            path = str(host.relative_to(tree))
            package, origin = facts.get(path, ("", ""))
            info = host.lstat()
            if stat.S_ISLNK(info.st_mode):
                target = os.readlink(host)  # noqa: PTH115 - Path would normalise it
                kind, mode, size, digest = "link", 0o777, len(os.fsencode(target)), target
            elif stat.S_ISDIR(info.st_mode):
                kind, mode, size, digest = "directory", 0o755, 0, ""
            elif stat.S_ISREG(info.st_mode):
                kind, mode, size = "file", normal_mode(info.st_mode), info.st_size
                digest = file_digest(host)
            else:
                raise PackError(f"{path}: only files, links and directories can be in a layer")
            found.append(
                FileEntry(path=path, kind=kind, mode=mode, size=size, digest=digest, package=package, origin=origin)
            )
    return tuple(sorted(found, key=lambda entry: entry.path))


def file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def dump_manifest(manifest: Manifest) -> str:
    """The manifest as JSON, the same for the same manifest."""
    head = {
        "format": FORMAT,
        "name": manifest.name,
        "description": manifest.description,
        "licence": manifest.licence,
        "arch": manifest.arch,
        "runtimes": list(manifest.runtimes),
        "base": manifest.base,
        "base_name": manifest.base_name,
        "glibc": manifest.glibc,
        "content_digest": manifest.content_digest,
        "size": manifest.size,
        "environment": dict(manifest.environment),
        "tests": [list(test) for test in manifest.tests],
        "notes": list(manifest.notes),
        "packages": [
            {"name": one.name, "version": one.version, "size": one.size, "wanted_by": list(one.wanted_by)}
            for one in manifest.packages
        ],
        "files": [
            [one.path, one.kind, one.mode, one.size, one.digest, one.package, one.origin] for one in manifest.files
        ],
    }
    return json.dumps(head, indent=1) + "\n"


_KINDS = {kind: kind for kind in ("file", "link", "directory")}


def _inside(path: str) -> str:
    if path.startswith("/") or ".." in path.split("/"):
        raise PackError(f"the manifest names {path!r}, which is outside the layer")
    return path


def parse_manifest(text: str) -> Manifest:
    """Raises PackError."""
    try:
        table = json.loads(text)
        if table["format"] != FORMAT:
            raise PackError(f"manifest format {table['format']!r} is not {FORMAT}: build the layer again")
        files = tuple(
            FileEntry(
                path=_inside(path),
                kind=_KINDS[kind],
                mode=int(mode),
                size=int(size),
                digest=str(digest),
                package=str(package),
                origin=str(origin),
            )
            for path, kind, mode, size, digest, package, origin in table["files"]
        )
        packages = tuple(
            PackageEntry(name=one["name"], version=one["version"], size=one["size"], wanted_by=tuple(one["wanted_by"]))
            for one in table["packages"]
        )
        return Manifest(
            name=table["name"],
            description=table["description"],
            licence=table["licence"],
            arch=table["arch"],
            runtimes=tuple(table["runtimes"]),
            base=table["base"],
            base_name=table["base_name"],
            glibc=table["glibc"],
            content_digest=table["content_digest"],
            environment=dict(table["environment"]),
            tests=tuple((name, command) for name, command in table["tests"]),
            notes=tuple(table["notes"]),
            files=files,
            packages=packages,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PackError(f"the manifest cannot be read ({error}): build the layer again") from None
