"""Layer zips: written the same to the byte every time, and read as if an enemy had written them.

Written: sorted names, 1980, no extra fields, links as links, modes 0755 and 0644. Read: bounded, nothing outside the
target, nothing through a link, no name twice.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from pathlib import Path

from lambdad.model.limits import UNZIPPED_MAX
from lambdad.pack.errors import PackError
from lambdad.pack.manifest import FileEntry

ENTRIES_MAX = 500_000
LINK_MAX = 4_096
_DATE = (1980, 1, 1, 0, 0, 0)
_LEVEL = 6
_COPY = 1024 * 1024


def write_zip(tree: Path, files: tuple[FileEntry, ...], output: Path) -> None:
    """Write the files under `tree` to `output`, atomically; the same files give the same bytes (with one zlib)."""
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        with zipfile.ZipFile(partial, "w", allowZip64=True) as archive:
            for entry in sorted(files, key=lambda entry: entry.path):
                _write_entry(archive, tree, entry)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


def _write_entry(archive: zipfile.ZipFile, tree: Path, entry: FileEntry) -> None:
    kinds = {"file": stat.S_IFREG, "link": stat.S_IFLNK, "directory": stat.S_IFDIR}
    name = entry.path + ("/" if entry.kind == "directory" else "")
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = 3
    info.external_attr = (kinds[entry.kind] | entry.mode) << 16
    if entry.kind == "directory":
        info.external_attr |= 0x10
        archive.writestr(info, b"")
        return
    if entry.kind == "link":
        archive.writestr(info, os.fsencode(entry.digest))
        return
    info.compress_type = zipfile.ZIP_DEFLATED
    info._compresslevel = _LEVEL  # type: ignore[attr-defined]
    info.file_size = entry.size
    with (tree / entry.path).open("rb") as source, archive.open(info, "w") as target:
        while block := source.read(_COPY):
            target.write(block)


def extract_zip(archive_path: Path, target: Path, limit: int = UNZIPPED_MAX) -> None:
    """Unpack a layer or function zip into the empty directory `target`. Raises PackError for whatever is wrong."""
    try:
        with zipfile.ZipFile(archive_path) as archive:
            _extract(archive, target, limit)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, UnicodeDecodeError) as error:
        raise PackError(f"{archive_path.name} is not a usable zip: {error}") from None
    except OSError as error:
        raise PackError(f"{archive_path.name}: {error.strerror or error}") from None


def _extract(archive: zipfile.ZipFile, target: Path, limit: int) -> None:
    infos = archive.infolist()
    if len(infos) > ENTRIES_MAX:
        raise PackError(f"{len(infos)} entries (limit {ENTRIES_MAX})")
    seen: dict[str, str] = {}
    left = limit
    for info in infos:
        name = checked_name(info.filename)
        if name == "":
            continue
        mode = info.external_attr >> 16 if info.create_system == 3 else 0
        kind = _kind(info, mode)
        if info.flag_bits & 0x1:
            raise PackError(f"{name}: encrypted entries cannot be deployed")
        if name in seen and not (kind == seen[name] == "directory"):
            raise PackError(f"{name}: the zip has this name twice")
        _make_parents(name, seen, target)
        seen[name] = kind
        path = target / name
        if kind == "directory":
            path.mkdir(exist_ok=True)
        elif kind == "link":
            if info.file_size > LINK_MAX:
                raise PackError(f"{name}: link target of {info.file_size} bytes")
            link = os.fsdecode(archive.read(info))
            left -= len(link)
            if not link or "\0" in link:
                raise PackError(f"{name}: link without a target")
            path.symlink_to(link)
        else:
            left = _extract_file(archive, info, path, left)
            path.chmod(normal_file_mode(mode))
        if left < 0:
            raise PackError(f"Unzipped size must be smaller than {limit} bytes")


def _make_parents(name: str, seen: dict[str, str], target: Path) -> None:
    parts = name.split("/")[:-1]
    for depth in range(1, len(parts) + 1):
        parent = "/".join(parts[:depth])
        known = seen.get(parent)
        if known is None:
            seen[parent] = "directory"
            (target / parent).mkdir(exist_ok=True)
        elif known != "directory":
            raise PackError(f"{name}: lies under {parent}, which is a {known}")


def _extract_file(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, left: int) -> int:
    with archive.open(info) as source, path.open("xb") as target:
        while block := source.read(_COPY):
            left -= len(block)
            if left < 0:
                return left
            target.write(block)
    return left


def normal_file_mode(mode: int) -> int:
    """Permissions as the zip says, without setuid; a zip without modes (made on Windows) gives 0644."""
    return mode & 0o777 or 0o644


def _kind(info: zipfile.ZipInfo, mode: int) -> str:
    kind = stat.S_IFMT(mode)
    if info.filename.endswith("/") or kind == stat.S_IFDIR:
        return "directory"
    if kind == stat.S_IFLNK:
        return "link"
    if kind in (0, stat.S_IFREG):
        return "file"
    raise PackError(f"{info.filename}: devices, sockets and pipes cannot be deployed")


def checked_name(name: str) -> str:
    """The path of an entry, clean and relative; empty for the root itself. Raises PackError if it leads elsewhere."""
    if name.startswith("/") or "\\" in name or "\0" in name:
        raise PackError(f"{name!r}: absolute names, backslashes and NULs are refused")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise PackError(f"{name!r}: leads out of the layer")
    return "/".join(parts)
