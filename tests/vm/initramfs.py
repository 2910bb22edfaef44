"""An initramfs as bytes: the `newc` cpio format, uncompressed, with just what reaching the root disk takes.

Format: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel. No I/O, no clock: the same
files give the same bytes.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping

_TRAILER = "TRAILER!!!"


def build_archive(files: Mapping[str, bytes], *, executable: Iterable[str] = ()) -> bytes:
    """A cpio archive of `files` (path without a leading slash -> content), with the directories that they need.

    executable: the paths that get mode 0755; the others get 0644.
    """
    runnable = set(executable)
    directories = sorted({parent for path in files for parent in _parents(path)})
    entries: list[tuple[str, int, bytes]] = [(name, stat.S_IFDIR | 0o755, b"") for name in directories]
    entries += [
        (path, stat.S_IFREG | (0o755 if path in runnable else 0o644), content)
        for path, content in sorted(files.items())
    ]
    packed = [_pack(number, name, mode, content) for number, (name, mode, content) in enumerate(entries, start=1)]
    return b"".join(packed) + _pack(0, _TRAILER, 0, b"")


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _pack(inode: int, name: str, mode: int, content: bytes) -> bytes:
    links = 2 if stat.S_ISDIR(mode) else 1
    fields = (inode, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name.encode()) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(header) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
