"""Building images in tests, and reading them back with the formats' own tools as oracles."""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lambdad.image.build import BuildOptions, BuiltImage, build_image
from lambdad.image.flatten import LayerReader
from lambdad.image.limits import Limits
from lambdad.image.oci import ImageConfig, ImageRuntimeConfig, Platform
from lambdad.image.sources import OpenImage
from lambdad.image.tar import TarReader

AMD64 = Platform("amd64")
TOOL_TIMEOUT_S = 120


class LayersSource:
    """Uncompressed layers in memory, as an `ImageSource`."""

    def __init__(self, layers: Sequence[bytes]) -> None:
        self._layers = layers

    @contextmanager
    def open(self, platform: Platform, limits: Limits) -> Iterator[OpenImage]:
        def opener(data: bytes) -> Callable[[], AbstractContextManager[LayerReader]]:
            @contextmanager
            def opened() -> Iterator[LayerReader]:
                yield TarReader(iter((data,)), limits)

            return opened

        yield OpenImage(None, ImageConfig(platform, ImageRuntimeConfig(), ()), tuple(map(opener, self._layers)))


def build_bytes(layers: Sequence[bytes], options: BuildOptions) -> bytes:
    """The image of some layers."""
    out = io.BytesIO()
    build_image(LayersSource(layers), AMD64, out, options)
    return out.getvalue()


def build_file(layers: Sequence[bytes], path: Path, options: BuildOptions) -> BuiltImage:
    """The same into a file."""
    with open(path, "wb") as out:
        return build_image(LayersSource(layers), AMD64, out, options)


def missing_tools() -> str:
    """Names of the file systems' checkers that are not installed; empty if all are."""
    return " ".join(tool for tool in ("e2fsck", "debugfs", "fsck.erofs") if shutil.which(tool) is None)


def check_image(path: Path, options: BuildOptions) -> str:
    """What the format's own checker complains about; empty if nothing."""
    if options.format == "ext4":
        command = ["e2fsck", "-fn", str(path)]
    elif options.block_size == 4096:
        command = ["fsck.erofs", str(path)]
    else:
        return ""  # fsck.erofs of Debian 12 knows no smaller blocks; the kernel tests cover them
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False)
    return "" if done.returncode == 0 else f"{done.returncode}: {done.stdout}{done.stderr}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as the kernel shows it. content: data, target, or nothing. links: other names of the same inode."""

    mode: int
    uid: int
    gid: int
    mtime: int
    content: bytes
    xattrs: tuple[tuple[str, bytes], ...]
    links: tuple[str, ...]


def scan(root: Path) -> dict[str, Seen]:
    """Everything below a directory, by relative path; the directory itself as ''."""
    found: dict[str, tuple[os.stat_result, bytes, tuple[tuple[str, bytes], ...]]] = {}
    names: dict[int, list[str]] = {}
    top = os.fsencode(root)
    for directory, subdirectories, files in os.walk(top):
        here = os.path.relpath(directory, top)
        for name in (b"", *files, *(d for d in subdirectories if os.path.islink(os.path.join(directory, d)))):  # noqa: PTH114
            path = os.path.join(directory, name) if name else directory
            shown = os.fsdecode(os.path.normpath(os.path.join(here, name)))
            shown = "" if shown == "." else shown
            status = os.lstat(path)
            xattrs = tuple(sorted((n, os.getxattr(path, n, follow_symlinks=False)) for n in _xattr_names(path)))
            found[shown] = (status, _content(path, status), xattrs)
            if not stat.S_ISDIR(status.st_mode):
                names.setdefault(status.st_ino, []).append(shown)
    return {
        path: Seen(
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_mtime_ns,
            content,
            xattrs,
            tuple(sorted(names.get(status.st_ino, ()))) if not stat.S_ISDIR(status.st_mode) else (),
        )
        for path, (status, content, xattrs) in found.items()
    }


def _xattr_names(path: bytes) -> list[str]:
    return [name for name in os.listxattr(path, follow_symlinks=False) if name != "security.selinux"]


def _content(path: bytes, status: os.stat_result) -> bytes:
    if stat.S_ISREG(status.st_mode):
        with open(path, "rb") as file:
            return file.read()
    return os.readlink(path) if stat.S_ISLNK(status.st_mode) else b""  # noqa: PTH115


@contextmanager
def mounted(path: Path, at: Path, kind: str) -> Iterator[Path]:
    """The image, mounted read-only over a loop device. Needs root."""
    at.mkdir(exist_ok=True)
    options = "loop,ro,noload" if kind == "ext4" else "loop,ro"
    subprocess.run(["mount", "-t", kind, "-o", options, str(path), str(at)], check=True, timeout=TOOL_TIMEOUT_S)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True, timeout=TOOL_TIMEOUT_S)
