"""Every image of the corpus, checked: file-system checkers, and the kernel's mount against a reference unpack.

Not a measurement of time: the rows count differences, and the promise is none.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.figures import AtMost, Measurement, Row
from bench.images.chunking import registry_pieces
from bench.images.corpus import open_corpus
from bench.images.recipes import IMAGES
from bench.images.starts import unpacked_image
from bench.setup import Setup
from lambdad.image.build import BuildOptions
from lambdad.testing.image_build import check_image, mounted

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file, its content by hash so that a gigabyte of them fits into memory. twins: other names of the inode."""

    mode: int
    owner: tuple[int, int]
    mtime: int
    content: bytes
    xattrs: tuple[tuple[str, bytes], ...]
    twins: tuple[str, ...]


def measure_image_checks(setup: Setup) -> Measurement:
    """Needs root, the corpus, umoci, skopeo, e2fsck and fsck.erofs."""
    names = IMAGES if setup.effort.rounds > 1 else IMAGES[:2]
    complaints: list[str] = []
    files = 0
    with open_corpus(names, lambda text: print(f"  {text}", flush=True)) as corpus:
        for name, reference in corpus.references.items():
            print(f"  checking {name}", flush=True)
            with unpacked_image(reference, setup.directory / "unpacked") as root:
                expected = _scan(root)
            files += len(expected)
            for options in _variants(str(setup.directory)):
                found = _check(reference, expected, options, setup.directory)
                complaints += [f"{name}, {options.format}, {options.block_size}: {text}" for text in found]
    for text in complaints:
        print(f"  {text}", flush=True)
    return Measurement(
        name="image-check",
        rows=(
            Row("images, each as EROFS with blocks of 1 KiB and of 4 KiB and as ext4", len(names), ""),
            Row("files, links and directories compared, each three times", files, ""),
            Row(
                "complaints of e2fsck -fn and fsck.erofs, differences to umoci's unpack", len(complaints), "", AtMost(0)
            ),
        ),
        notes=(
            "Compared: contents, modes, owners, times, extended attributes, hard links. fsck.erofs of Debian 12 knows "
            "blocks of 4 KiB only; those of 1 KiB are checked by the kernel's mount.",
        ),
    )


def _variants(spool: str) -> Iterator[BuildOptions]:
    yield BuildOptions(format="erofs", spool=spool)
    yield BuildOptions(format="erofs", block_size=4096, spool=spool)
    yield BuildOptions(format="ext4", spool=spool)


def _check(reference: str, expected: dict[str, _Seen], options: BuildOptions, directory: Path) -> list[str]:
    image = directory / "image.img"
    try:
        with image.open("wb") as file:
            for piece in registry_pieces(reference, options):
                # Holes stay holes: the padding of a large image is no disk space.
                if piece.strip(b"\0"):
                    file.write(piece)
                else:
                    file.seek(len(piece), os.SEEK_CUR)
            file.truncate(file.tell())
        complaint = check_image(image, options)
        with mounted(image, directory / "mounted", options.format) as root:
            found = _scan(root)
    finally:
        image.unlink(missing_ok=True)
    found.pop("lost+found", None)
    different = [path for path in sorted({*expected, *found}) if expected.get(path) != found.get(path)]
    shown = [f"{path}: {expected.get(path)} became {found.get(path)}" for path in different[:_SHOWN]]
    if len(different) > _SHOWN:
        shown.append(f"and {len(different) - _SHOWN} more")
    return [*([complaint] if complaint else []), *shown]


def _scan(root: Path) -> dict[str, _Seen]:
    """Everything below a directory by relative path."""
    names: dict[int, list[str]] = {}
    paths: dict[str, Path] = {}
    for folder, directories, files in os.walk(root):
        for name in (*files, *directories):
            path = Path(folder, name)
            shown = str(path.relative_to(root))
            paths[shown] = path
            if not stat.S_ISDIR(path.lstat().st_mode):
                names.setdefault(path.lstat().st_ino, []).append(shown)
    return {shown: _look(path, names) for shown, path in paths.items()}


def _look(path: Path, names: dict[int, list[str]]) -> _Seen:
    status = path.lstat()
    content = b""
    if stat.S_ISREG(status.st_mode):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
    elif stat.S_ISLNK(status.st_mode):
        content = os.fsencode(path.readlink())
    attributes = [name for name in os.listxattr(path, follow_symlinks=False) if name != "security.selinux"]
    return _Seen(
        mode=status.st_mode,
        owner=(status.st_uid, status.st_gid),
        mtime=status.st_mtime_ns,
        content=content,
        xattrs=tuple(sorted((name, os.getxattr(path, name, follow_symlinks=False)) for name in attributes)),
        twins=tuple(sorted(names.get(status.st_ino, ()))),
    )
