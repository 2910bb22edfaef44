"""Zip archives of strangers: what is inside, and onto disk, without letting them leave their directory.

Rules, the same for `inspect` and `extract`:
* names are relative, without `..`; backslashes are separators only in zips made on FAT systems, as `unzip` has it;
* files, directories and symbolic links; devices and pipes are refused;
* a link's target stays inside of the tree, link after link, or is an absolute path that belongs to the function
  inside of its sandbox (`/opt/…`, `/var/task/…`, `/tmp/…`); nothing is ever written through a link;
* of several entries with one name the last counts, as for `unzip -o`; a file where another entry needs a directory
  is refused;
* whoever extracts owns everything, and a function runs as somebody else: everybody may read, and execute what anybody
  may execute. (AWS takes the modes as they are, and `zipfile.writestr` makes files that nobody but root can read.)
  Files without modes are 0644, directories 0755; setuid, setgid and sticky go;
* sizes and checksums are those of the bytes, not the claims of the headers.
"""

from __future__ import annotations

import calendar
import io
import os
import posixpath
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lambdad.layers.zipfile_format import BadZip, ZipEntry, extra_fields, read_directory, read_entry
from lambdad.model.limits import UNZIPPED_MAX

ENTRIES_MAX = 200_000
"""Far above any real package (the largest node_modules have some 50,000 files), far below what hurts a host."""

UNREADABLE = "Could not unzip uploaded file. Please check your file, then try to upload again."
EMPTY = "Uploaded file must be a non-empty zip"

_NAME_MAX = 255
_PATH_MAX = 4096
_LINKS_MAX = 40
_SANDBOX_TREES = ("/opt", "/var/task", "/tmp", "/mnt", "/var/runtime", "/var/lang")


class ArchiveError(Exception):
    """The archive is refused. The text is for the client: AWS's where AWS has one, with the rule that was broken."""


class ArchiveTooLarge(ArchiveError):
    """Unzipped it is larger than allowed."""


@dataclass(frozen=True, slots=True)
class ArchiveInfo:
    """files: files and links. directories: those with an entry of their own. unzipped_size: bytes."""

    files: int
    directories: int
    unzipped_size: int


@dataclass(frozen=True, slots=True)
class _Node:
    """What will stand at one path. target: of a link. mode: permission bits."""

    entry: ZipEntry
    kind: int
    mode: int
    target: str = ""


def inspect(source: bytes | Path, limit: int = UNZIPPED_MAX) -> ArchiveInfo:
    """Read the whole archive and say what is in it. limit: bytes, unzipped. Raises ArchiveError; blocks."""
    with _opened(source) as file, _refusals():
        tree = _plan(file, limit)
        for node in tree.values():
            if node.kind == stat.S_IFREG:
                for _ in read_entry(file, node.entry):
                    pass
        return _describe(tree)


def extract(source: Path, directory: Path, limit: int = UNZIPPED_MAX) -> ArchiveInfo:
    """Unpack the archive into `directory`, which exists and is empty. Raises ArchiveError; blocks.

    What it has written before it raised stays: the caller removes the directory.
    """
    with _opened(source) as file, _refusals():
        tree = _plan(file, limit)
        root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            _write(file, tree, root)
        finally:
            os.close(root)
        return _describe(tree)


@contextmanager
def _opened(source: bytes | Path) -> Iterator[BinaryIO]:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        yield file


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except BadZip as error:
        raise ArchiveError(UNREADABLE) from error


def _describe(tree: dict[str, _Node]) -> ArchiveInfo:
    directories = sum(node.kind == stat.S_IFDIR for node in tree.values())
    size = sum(node.entry.size for node in tree.values() if node.kind != stat.S_IFDIR)
    return ArchiveInfo(len(tree) - directories, directories, size)


def _plan(file: BinaryIO, limit: int) -> dict[str, _Node]:
    """The tree that the archive makes, by path, checked; nothing but link targets has been decompressed."""
    entries = read_directory(file, ENTRIES_MAX)
    if not entries:
        raise ArchiveError(EMPTY)
    if sum(entry.size for entry in entries) > limit:
        raise ArchiveTooLarge(f"Unzipped size must be smaller than {limit} bytes")
    tree: dict[str, _Node] = {}
    for entry in entries:
        path, is_directory = _path_of(entry)
        if path:
            # Deleted first, so that the tree's order is that of the entries that count.
            tree.pop(path, None)
            tree[path] = _node_of(file, path, entry, is_directory)
    _check_parents(tree)
    for path, node in tree.items():
        if node.kind == stat.S_IFLNK:
            _check_link(tree, path, node.target)
    return tree


def _path_of(entry: ZipEntry) -> tuple[str, bool]:
    """(path relative to the root, whether its name says that it is a directory); an empty path is the root itself."""
    name = _decode_name(entry)
    if entry.host == 0 and "/" not in name:
        name = name.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise _refusal(name, "names must be relative and must not contain '..'")
    if any(len(os.fsencode(part)) > _NAME_MAX for part in parts) or len(os.fsencode(name)) > _PATH_MAX:
        raise _refusal(name, "the name is too long")
    return "/".join(parts), name.endswith("/")


def _decode_name(entry: ZipEntry) -> str:
    """Unix tools write UTF-8 without saying so; what is not UTF-8 is the format's own code page 437."""
    try:
        return entry.raw_name.decode()
    except UnicodeDecodeError:
        if entry.is_utf8:
            raise BadZip("a name is not UTF-8 and says that it is") from None
        return entry.raw_name.decode("cp437")


def _node_of(file: BinaryIO, path: str, entry: ZipEntry, is_directory: bool) -> _Node:
    mode = entry.attributes >> 16
    kind = stat.S_IFMT(mode)
    if is_directory or kind == stat.S_IFDIR or (kind == 0 and entry.attributes & 0x10 and entry.size == 0):
        if entry.size:
            raise _refusal(path, "a directory cannot have content")
        return _Node(entry, stat.S_IFDIR, mode & 0o777 | 0o755)
    if kind == stat.S_IFLNK:
        return _Node(entry, kind, 0o777, _read_target(file, path, entry))
    if kind in (0, stat.S_IFREG):
        return _Node(entry, stat.S_IFREG, mode & 0o777 | (0o755 if mode & 0o111 else 0o644))
    raise _refusal(path, "only files, directories and symbolic links are allowed")


def _read_target(file: BinaryIO, path: str, entry: ZipEntry) -> str:
    if not 0 < entry.size < _PATH_MAX:
        raise _refusal(path, "the target of the link is empty or too long")
    target = os.fsdecode(b"".join(read_entry(file, entry)))
    if "\0" in target:
        raise _refusal(path, "the target of the link is not a path")
    return target


def _check_parents(tree: dict[str, _Node]) -> None:
    for path in tree:
        parent = posixpath.dirname(path)
        while parent:
            node = tree.get(parent)
            if node is not None and node.kind != stat.S_IFDIR:
                raise _refusal(path, f"{parent!r} is not a directory")
            parent = posixpath.dirname(parent)


def _check_link(tree: dict[str, _Node], path: str, target: str) -> None:
    """Follow the link as the kernel would, in the tree alone, and refuse it if it ever steps out."""
    here = path.split("/")[:-1]
    left = target.split("/")
    if target.startswith("/"):
        _check_absolute(path, target)
        return
    links = 0
    while left:
        part = left.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            if not here:
                raise _refusal(path, f"the link points out of the archive, to {target!r}")
            here.pop()
            continue
        here.append(part)
        node = tree.get("/".join(here))
        if node is None or node.kind != stat.S_IFLNK:
            continue
        links += 1
        if links > _LINKS_MAX:
            return  # A loop leads nowhere; the kernel says ELOOP.
        if node.target.startswith("/"):
            return  # Checked in its own turn; from there on the path belongs to the sandbox.
        here.pop()
        left = node.target.split("/") + left
        if len(left) > _PATH_MAX:
            raise _refusal(path, "the link leads through too many others")


def _check_absolute(path: str, target: str) -> None:
    whole = posixpath.normpath("/" + target.lstrip("/"))
    if ".." in target.split("/") or not any(whole == tree or whole.startswith(tree + "/") for tree in _SANDBOX_TREES):
        raise _refusal(path, f"the link points out of the archive, to {target!r}")


def _refusal(name: str, rule: str) -> ArchiveError:
    return ArchiveError(f"{UNREADABLE} ({name[:200]!r}: {rule}.)")


def _write(file: BinaryIO, tree: dict[str, _Node], root: int) -> None:
    """Everything below the directory `root`, each step by descriptor, so that no link is followed."""
    with _Directories(root) as directories:
        for path, node in tree.items():
            if node.kind == stat.S_IFDIR:
                directories.open(path)
                continue
            parent, _, name = path.rpartition("/")
            where = directories.open(parent)
            if node.kind == stat.S_IFLNK:
                os.symlink(node.target, name, dir_fd=where)
            else:
                _write_file(file, node, name, where)
        # Modes last: until then this process must be able to write into every directory.
        for path, node in reversed(tree.items()):
            if node.kind == stat.S_IFDIR:
                descriptor = directories.open(path)
                os.fchmod(descriptor, node.mode)
                os.utime(descriptor, (_time_of(node.entry),) * 2)


def _write_file(file: BinaryIO, node: _Node, name: str, where: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=where)
    try:
        for piece in read_entry(file, node.entry):
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, node.mode)
        os.utime(descriptor, (_time_of(node.entry),) * 2)
    finally:
        os.close(descriptor)


class _Directories:
    """Descriptors of directories below a root, made as needed; the way to the last one is kept open."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._parts: list[str] = []
        self._descriptors: list[int] = []

    def __enter__(self) -> _Directories:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave(0)

    def open(self, path: str) -> int:
        """The descriptor of a directory; good until the next call."""
        parts = path.split("/") if path else []
        common = len(posixpath.commonprefix([parts, self._parts]))
        self._leave(common)
        for part in parts[common:]:
            above = self._descriptors[-1] if self._descriptors else self._root
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                descriptor = os.open(part, flags, dir_fd=above)
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=above)
                descriptor = os.open(part, flags, dir_fd=above)
                os.fchmod(descriptor, 0o755)
            self._descriptors.append(descriptor)
            self._parts.append(part)
        return self._descriptors[-1] if self._descriptors else self._root

    def _leave(self, depth: int) -> None:
        while len(self._descriptors) > depth:
            os.close(self._descriptors.pop())
            self._parts.pop()


def _time_of(entry: ZipEntry) -> int:
    """Seconds since the epoch: of the Unix extra field where there is one, else the DOS time taken as UTC."""
    for identifier, content in extra_fields(entry.extra):
        if identifier == 0x5455 and len(content) >= 5 and content[0] & 1:
            return max(0, int(struct.unpack_from("<i", content, 1)[0]))
    date, time = entry.time
    year, month, day = (date >> 9) + 1980, date >> 5 & 15, date & 31
    hour, minute, second = time >> 11, time >> 5 & 63, (time & 31) * 2
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60):
        return calendar.timegm((1980, 1, 1, 0, 0, 0))
    return calendar.timegm((year, month, day, hour, minute, second))
