"""Small images for tests, made with the stock tools: content that a kernel mounts, uploaded to a directory origin."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lambdad.chunks.codec import Salt
from lambdad.chunks.manifest import FileSystem
from lambdad.chunks.objects import DirectoryObjects
from lambdad.chunks.origin import Origin, OriginStore
from lambdad.chunks.roots import active_root
from lambdad.chunks.upload import Uploaded, UploadPlan, iterate_in_thread, publish_manifest, read_pieces, upload_image
from lambdad.model.clock import SystemClock

KEY = bytes(range(32))


def missing_for_mounts() -> str:
    """Why FUSE files cannot be mounted here; empty if they can."""
    if os.geteuid() != 0:
        return "mounting needs root"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no /dev/fuse: load the module fuse"
    return ""


def missing_for_image(file_system: FileSystem) -> str:
    """Why an image of this kind cannot be made or mounted here; empty if it can."""
    tool = {FileSystem.EXT4: "mke2fs", FileSystem.EROFS: "mkfs.erofs"}[file_system]
    if _find(tool) is None:
        return f"no {tool}: install e2fsprogs and erofs-utils"
    kind = file_system.name.lower()
    if not any(line.split()[-1] == kind for line in Path("/proc/filesystems").read_text().splitlines()):
        return f"this kernel has no {kind}"
    return missing_for_mounts()


def make_tree(directory: Path) -> dict[str, bytes]:
    """Files of many sizes below `directory`; path → content."""
    chooser = random.Random(7)  # noqa: S311  # data of a test, the same in every run
    files = {}
    for number, size in enumerate((0, 1, 100, 4096, 70_000, 524_288, 1_300_000, 3_000_000)):
        path = f"d{number % 3}/file{number}"
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        files[path] = chooser.randbytes(size)
        (directory / path).write_bytes(files[path])
    return files


def make_image(tree: Path, target: Path, file_system: FileSystem) -> None:
    """A file-system image of a directory with the stock tool."""
    if file_system is FileSystem.EROFS:
        command = ["mkfs.erofs", "-T0", "-U", "00000000-0000-0000-0000-000000000001", str(target), str(tree)]
    else:
        command = ["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(target), "24M"]
    program = _find(command[0])
    assert program is not None
    subprocess.run([program, *command[1:]], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True)
class UploadedImage:
    """origin: the directory with its chunks."""

    origin: Path
    uploaded: Uploaded
    key: bytes = KEY


async def upload_file(image: Path, origin_directory: Path, file_system: FileSystem) -> UploadedImage:
    """Chunk, encrypt and publish an image file."""
    origin = Origin(DirectoryObjects(origin_directory), SystemClock())
    root = await active_root(origin.objects, 1.0)
    plan = UploadPlan(salt=Salt(root.id), key=KEY, key_name="test", context="test", file_system=file_system)
    with image.open("rb") as file:
        uploaded = await upload_image(iterate_in_thread(read_pieces(file.read)), OriginStore(origin, root.id), plan)
    await publish_manifest(origin, root.id, uploaded)
    return UploadedImage(origin_directory, uploaded)


def _find(tool: str) -> str | None:
    return shutil.which(tool, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
